//! What a change sees while it is checked: the store, and on top of it the entries it adds itself.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::cache::Caches;
use super::index::{Index, Which};
use super::keyring::Keyring;
use super::rows::{SessionRow, id_hash};
use super::sessions::Sessions;
use super::tables::WriteTables;
use crate::ancestry::Places;
use crate::derive::{self, Above};
use crate::entry::{Draft, Entry, Envelope, Parent};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::place::{Number, Place};

/// New entries of a change that are looked through for an id; more of them are found by their hash.
const FEW: usize = 8;

/// An entry of the change that is new, ready to be written.
pub(super) struct New {
    /// Which draft of the change it is.
    pub(super) draft: usize,
    pub(super) entry: Arc<Entry>,
    pub(super) place: Arc<Place>,
}

/// The places of the store and of the entries that this change adds.
pub(super) struct Overlay<'a, 't> {
    pub(super) tables: &'a WriteTables<'t>,
    pub(super) index: &'a Index,
    pub(super) caches: &'a Caches,
    pub(super) keyring: &'a Keyring,
    pub(super) sessions: &'a Sessions,
    /// Entries the store holds; numbers from here on are the change's own.
    pub(super) entries: u64,
    pub(super) new: RefCell<Vec<New>>,
    /// Those behind the first few.
    pub(super) new_ids: RefCell<HashMap<Id, Number>>,
    /// By short hash; as in the index, whoever finds something by it compares the alias itself.
    pub(super) new_aliases: RefCell<HashMap<u64, Vec<Number>>>,
}

impl Places for Overlay<'_, '_> {
    fn place(&self, number: Number) -> Result<Arc<Place>> {
        if let Some(place) = self.of_new(number, |new| Arc::clone(&new.place)) {
            return Ok(place);
        }
        if let Some(place) = self.sessions.leaf(number) {
            return Ok(Arc::clone(place));
        }
        if let Some(place) = self.caches.place(number) {
            return Ok(place);
        }
        Ok(Arc::new(self.tables.place_at(number)?))
    }
}

impl Above for Overlay<'_, '_> {
    fn envelope(&self, number: Number) -> Result<Envelope> {
        match self.of_new(number, |new| new.entry.envelope().clone()) {
            Some(envelope) => Ok(envelope),
            None => Ok(self.tables.envelope_at(number)?),
        }
    }

    fn number_of(&self, id: &Id) -> Result<Number> {
        self.find(id)?.map(|place| place.number).ok_or_else(|| Error::no_entry(id))
    }
}

impl Overlay<'_, '_> {
    /// Adds an entry of the change; answers its place.
    pub(super) fn add(&self, new: New) -> Arc<Place> {
        let place = Arc::clone(&new.place);
        let mut all = self.new.borrow_mut();
        if all.len() >= FEW {
            self.new_ids.borrow_mut().insert(place.id, place.number);
        }
        if let Some(alias) = place.alias {
            self.new_aliases.borrow_mut().entry(alias).or_default().push(place.number);
        }
        all.push(new);
        place
    }

    /// What the change itself has at that number.
    fn of_new<T>(&self, number: Number, what: impl FnOnce(&New) -> T) -> Option<T> {
        let nth = usize::try_from(number.checked_sub(self.entries)?).ok()?;
        self.new.borrow().get(nth).map(what)
    }

    pub(super) fn find(&self, id: &Id) -> Result<Option<Arc<Place>>> {
        if let Some(place) = self.find_new(id)? {
            return Ok(Some(place));
        }
        let view = self.index.view();
        for number in view.numbers(Which::Ids, &self.tables.ids, id_hash(id))? {
            if number < self.entries {
                let place = self.place(number)?;
                if place.id == *id {
                    return Ok(Some(place));
                }
            }
        }
        Ok(None)
    }

    fn find_new(&self, id: &Id) -> Result<Option<Arc<Place>>> {
        if let Some(new) = self.new.borrow().iter().take(FEW).find(|new| new.place.id == *id) {
            return Ok(Some(Arc::clone(&new.place)));
        }
        let number = self.new_ids.borrow().get(id).copied();
        number.map(|number| self.place(number)).transpose()
    }

    /// The entry that holds this alias in this tree, and its place.
    fn aliased(&self, tree: u64, alias: &str) -> Result<Option<(Arc<Place>, Envelope)>> {
        let hash = derive::alias_hash(tree, alias);
        let view = self.index.view();
        let mut numbers = view.numbers(Which::Aliases, &self.tables.aliases, hash)?;
        numbers.extend(self.new_aliases.borrow().get(&hash).into_iter().flatten());
        for number in numbers {
            if number < self.entries || self.of_new(number, |_| ()).is_some() {
                let envelope = self.envelope(number)?;
                if envelope.alias.as_deref() == Some(alias) {
                    return Ok(Some((self.place(number)?, envelope)));
                }
            }
        }
        Ok(None)
    }

    pub(super) fn id_of(&self, number: Option<Number>) -> Result<Option<Id>> {
        number.map(|number| self.place(number).map(|place| place.id)).transpose()
    }

    fn same_body(&self, number: Number, draft: &Draft) -> Result<bool> {
        if let Some(same) = self.of_new(number, |new| is_same(&new.entry, draft)) {
            return Ok(same);
        }
        let place = self.place(number)?;
        let entry = self.tables.entry_at(number, &place.id)?;
        let entry = self.keyring.opened(self.tables, entry)?;
        Ok(is_same(&entry, draft))
    }

    /// The entry a draft already is, by alias or by the id it has there.
    pub(super) fn known(
        &self,
        draft: &Draft,
        id: &Id,
        above: Option<&Arc<Place>>,
        session: &SessionRow,
    ) -> Result<Option<Arc<Place>>> {
        if let Some(alias) = &draft.envelope().alias
            && let Some((place, envelope)) = self.aliased(session.tree, alias)?
        {
            let mut wanted = draft.envelope().clone();
            // A draft that goes under what is there is still that draft when it is tried again after its
            // branch has moved on.
            let moved_on = draft.parent == Parent::Previous && place.session == session.number;
            wanted.parent = if moved_on { envelope.parent } else { above.map(|place| place.id) };
            let same =
                envelope.same_but_for_time(&wanted) && self.same_body(place.number, draft)?;
            if same {
                return Ok(Some(place));
            }
            // What stands on another tree's entries may have the alias of one of them for another. The
            // very entry is itself in any tree.
            let itself = self.find(id)?;
            let taken = || Error::AliasTaken { alias: alias.clone(), existing: place.id };
            return itself.ok_or_else(taken).map(Some);
        }
        let has_no_child = |place: &Arc<Place>| {
            place.number >= self.entries || self.sessions.leaf(place.number).is_some()
        };
        if above.is_some_and(has_no_child) { self.find_new(id) } else { self.find(id) }
    }
}

/// Whether an entry has the body of a draft, whatever its nonce.
fn is_same(entry: &Entry, draft: &Draft) -> bool {
    match (entry.body(), draft.whole()) {
        (Some(body), Some(whole)) => *body == whole.body,
        // What was erased here cannot be compared; the alias and the envelope speak for it.
        (None, Some(_)) => true,
        (_, None) => entry.commitment() == Some(draft.commitment()),
    }
}
