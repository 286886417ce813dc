//! From what people type to what the engine names: sessions by name or unique prefix, entries by
//! alias, branch, id prefix or label.

use std::collections::BTreeMap;
use std::sync::Arc;

use treering_tree::{Error, Expect, Id, Kind, Prefix, Session, Sources, Store, limits};

use crate::failure::{Failure, Group, Result};

/// Matches counted before a prefix is called ambiguous.
const CANDIDATES: usize = 16;
/// Entries in one page of a scan, bodies included.
pub(crate) const SCAN_PAGE: usize = 1_000;
/// What stands for no entry at all.
pub(crate) const EMPTY: &str = "empty";

/// The session of that name, or the only one whose name starts so.
pub(crate) async fn session(
    store: &Arc<dyn Store>,
    sources: &Sources,
    name: &str,
) -> Result<Session> {
    let session = |name: &str| Session::new(Arc::clone(store), name, sources.clone());
    match store.session(name).await {
        Ok(_) => return Ok(session(name)),
        Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // Names that start with it are the next ones in order.
    let mut matching = store.sessions(Some(name), CANDIDATES).await?;
    matching.retain(|info| info.name.starts_with(name));
    match matching.as_slice() {
        [] => Err(Error::NotFound { what: "session", name: name.to_owned() }.into()),
        [only] => Ok(session(&only.name)),
        several => {
            let candidates = several.len();
            Err(Error::Ambiguous { what: "session", prefix: name.to_owned(), candidates }.into())
        }
    }
}

/// The entry that a text names in a session. A label is looked for last: that alone reads the
/// session's entries.
pub(crate) async fn entry(session: &Session, text: &str) -> Result<Id> {
    let store = session.store();
    if let Some(id) = store.with_alias(session.name(), text).await? {
        return Ok(id);
    }
    let branches = all_branches(session).await?;
    if let Some(head) = branches.iter().find(|branch| branch.name == text).and_then(|b| b.head) {
        return Ok(head);
    }
    if let Some(id) = by_prefix(store, text).await? {
        return Ok(id);
    }
    let labels = labels(store, session.name()).await?;
    match labels.iter().find(|(_, label)| *label == text) {
        Some((id, _)) => Ok(*id),
        None => Err(Error::NotFound { what: "entry", name: text.to_owned() }.into()),
    }
}

/// The entry that a text names in any session: by id prefix, else by alias.
pub(crate) async fn entry_anywhere(store: &Arc<dyn Store>, text: &str) -> Result<Id> {
    if let Some(id) = by_prefix(store, text).await? {
        return Ok(id);
    }
    let mut found: Vec<Id> = Vec::new();
    let mut after = None;
    loop {
        let page = store.sessions(after.as_deref(), limits::PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        for info in &page {
            found.extend(store.with_alias(&info.name, text).await?);
        }
    }
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [] => {
            let message = format!("entry {text:?} not found");
            let hint = "a branch or label is found with --session SESSION";
            Err(Failure::new(Group::NotFound, message).hint(hint))
        }
        [only] => Ok(*only),
        several => {
            let candidates = several.len();
            Err(Error::Ambiguous { what: "alias", prefix: text.to_owned(), candidates }.into())
        }
    }
}

async fn by_prefix(store: &Arc<dyn Store>, text: &str) -> Result<Option<Id>> {
    let Ok(prefix) = text.parse::<Prefix>() else {
        return Ok(None);
    };
    match store.with_prefix(prefix, CANDIDATES).await?.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(*only)),
        several => {
            let candidates = several.len();
            Err(Error::Ambiguous { what: "entry", prefix: text.to_owned(), candidates }.into())
        }
    }
}

/// What a swap is to expect: `empty`, an entry, or anything.
pub(crate) async fn expect(session: &Session, text: Option<&str>) -> Result<Expect> {
    Ok(match text {
        None => Expect::Any,
        Some(EMPTY) => Expect::Empty,
        Some(text) => Expect::Head(entry(session, text).await?),
    })
}

/// A head as people read it.
pub(crate) fn short(head: Option<Id>) -> String {
    head.map_or_else(|| EMPTY.to_owned(), |id| id.short())
}

/// All branches of a session.
pub(crate) async fn all_branches(session: &Session) -> Result<Vec<treering_tree::Branch>> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = session.store().branches(session.name(), after.as_deref(), limits::PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        after = Some(last.name.clone());
        all.extend(page);
    }
}

/// The labels that count in a session: the newest of each entry. Reads all its entries.
pub(crate) async fn labels(store: &Arc<dyn Store>, session: &str) -> Result<BTreeMap<Id, String>> {
    let mut labels = BTreeMap::new();
    let mut from = 0;
    loop {
        let page = store.scan(Some(session), from, SCAN_PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(labels);
        };
        from = last.place.number + 1;
        for stored in &page {
            note_label(&mut labels, &stored.entry);
        }
    }
}

/// Takes an entry into account, if it is a label. To be called in append order.
pub(crate) fn note_label(labels: &mut BTreeMap<Id, String>, entry: &treering_tree::Entry) {
    let envelope = entry.envelope();
    let (Kind::Record, Some(target)) = (envelope.kind, envelope.target) else { return };
    match entry.body().and_then(treering_interchange::label) {
        Some(label) if label.is_empty() => drop(labels.remove(&target)),
        Some(label) => drop(labels.insert(target, label)),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use treering_tree::{Message, Options, RedbStore, Role};

    use super::*;
    use crate::failure::Failure;

    async fn append(session: &Session, text: &str, alias: &str) -> Id {
        let body = Message::text(Role::User, text).body();
        let draft = session.draft(Kind::User, body).alias(alias);
        session.append(draft, Expect::Any).await.unwrap().ids[0]
    }

    fn told(failure: &Failure) -> String {
        format!("{failure:?}")
    }

    #[tokio::test]
    async fn sessions_are_found_by_name_or_unique_prefix() {
        let sources = Sources::fixed(1);
        let store = RedbStore::in_memory(Options::new(sources.clone())).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        for name in ["work", "work-2", "write"] {
            append(&Session::new(Arc::clone(&store), name, sources.clone()), "x", name).await;
        }
        let found = async |name: &str| session(&store, &sources, name).await;
        assert_eq!(found("work").await.unwrap().name(), "work");
        assert_eq!(found("wr").await.unwrap().name(), "write");
        assert!(told(&found("wor").await.unwrap_err()).contains("2 match"));
        assert!(told(&found("x").await.unwrap_err()).contains("NotFound"));
    }

    #[tokio::test]
    async fn entries_are_found_by_alias_branch_prefix_and_label() {
        let sources = Sources::fixed(2);
        let store = RedbStore::in_memory(Options::new(sources.clone())).unwrap();
        let session = Session::new(Arc::new(store), "s", sources);
        let first = append(&session, "one", "uuid-1").await;
        let second = append(&session, "two", "uuid-2").await;
        session.label(first, "start").await.unwrap();
        let found = async |text: &str| entry(&session, text).await;
        assert_eq!(found("uuid-1").await.unwrap(), first);
        assert_eq!(found(&second.short()).await.unwrap(), second);
        assert_eq!(found("start").await.unwrap(), first);
        assert_eq!(found("main").await.unwrap(), session.head().await.unwrap().unwrap());
        assert!(told(&found("nothing").await.unwrap_err()).contains("NotFound"));
        session.label(first, "").await.unwrap();
        assert!(found("start").await.is_err());
        assert_eq!(entry_anywhere(session.store(), "uuid-2").await.unwrap(), second);
        assert_eq!(expect(&session, Some(EMPTY)).await.unwrap(), Expect::Empty);
        assert_eq!(expect(&session, Some("uuid-1")).await.unwrap(), Expect::Head(first));
    }
}
