//! The first half of `recover`: goes through the raw bytes of a damaged file, page by page, and notes
//! what it recognizes and where it lies. Entries prove themselves by their hash; rows that cannot are
//! taken where they are whole and agree with their keys. Old states of a page count too: redb copies on
//! write, and what a newer page lost an older one may still have. Memory is for ids and names only.

mod orphans;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::Range;

use self::orphans::Orphan;
use super::leaf::{PAGE_BYTES, Raw, Widths};
use super::log::{HEAD_BYTES, RecordHead};
use super::place_row;
use super::redo::{Does, steps};
use super::rows::{
    COUNTERS_KEY, Counters, IDENTITY_KEY, Identity, MASTER_KEY, SessionRow, State, read_head,
    sealing_number,
};
use super::{roll, shrink};
use crate::counted::Counted;
use crate::derive::needs_target;
use crate::encode::{self, Told};
use crate::entry::{Content, Entry, Kind};
use crate::id::Id;
use crate::limits;
use crate::message::TOMBSTONE_FORMAT;
use crate::place::Number;
use crate::store::JournalRow;

/// Bytes hashed in vain, as a multiple of the file, before frames are no longer searched for where no
/// leaf leads to them: a crafted file must not cost more.
const VAIN_FACTOR: u64 = 16;
/// Bytes of the longest row that is not an entry.
const ROW_BYTES: u64 = 16 << 20;
/// Bytes of the longest chunk: one entry at the limit, and what lies around it.
const CHUNK_BYTES: u64 = limits::BODY_BYTES + ROW_BYTES;
/// Bytes in which the head of a frame, up to its body, must lie.
const FRAME_HEAD_BYTES: usize = 512 << 10;

const NUMBERED: Widths = Widths { key: Some(8), value: None };
const NAMED: Widths = Widths { key: None, value: None };
const NAMES: Widths = Widths { key: None, value: Some(8) };

/// Where an entry lies, and what it hangs on.
pub(super) struct Found {
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) number: Option<Number>,
    pub(super) parent: Option<Id>,
    /// The target, where there is no placing the entry without it.
    pub(super) target: Option<Id>,
    pub(super) erased: bool,
}

/// What a place row says that an entry does not.
pub(super) struct Placed {
    pub(super) number: Number,
    pub(super) parent: Option<Number>,
    pub(super) session: u64,
    pub(super) depth: u64,
    pub(super) size: Counted,
}

/// Where a branch was, and when: the number of the newest journal row known to be taken in.
pub(super) struct Head {
    pub(super) as_of: u64,
    /// `None` where the branch was taken away.
    pub(super) at: Option<At>,
}

/// What a branch is bound to, as the row that tells it names it.
pub(super) enum At {
    Nothing,
    Entry(Id),
    Number(Number),
}

/// What rows that lie together tell of one another.
#[derive(Default)]
struct Seen {
    recognized: bool,
    /// Number of the newest journal row that they are known to follow.
    as_of: u64,
    heads: Vec<(u64, String, Option<Number>)>,
}

/// Everything that was recognized.
#[derive(Default)]
pub(super) struct Salvage {
    pub(super) bytes: u64,
    pub(super) entries: HashMap<Id, Found>,
    pub(super) places: HashMap<Id, Placed>,
    pub(super) numbers: HashMap<Number, Id>,
    pub(super) sessions: BTreeMap<u64, SessionRow>,
    pub(super) names: BTreeMap<u64, String>,
    pub(super) heads: BTreeMap<(u64, String), Head>,
    /// First number, count and session of the entries of a journal row.
    pub(super) runs: BTreeMap<Number, (u64, u64)>,
    pub(super) identity: Option<Identity>,
    /// The wrapped secret of an encrypted store.
    pub(super) master: Option<Vec<u8>>,
    /// Wrapped keys by number, the forgotten ones empty.
    pub(super) keys: BTreeMap<u64, Vec<u8>>,
    pub(super) counters: Option<Counters>,
    /// What tombstones name: never to come back from an older page.
    pub(super) erased: HashSet<Id>,
    pub(super) orphans: Vec<Orphan>,
    /// Where the frame ends that was found last by searching, and its entry.
    pub(super) last: Option<(u64, Id)>,
}

/// What became of something that looks like a frame.
#[derive(PartialEq)]
enum Taken {
    Entry(Id),
    Orphan,
    No,
}

/// Goes through the whole file. `progress` hears of bytes done and in all.
pub(super) fn scan(raw: &mut Raw, progress: &mut dyn FnMut(u64, u64)) -> io::Result<Salvage> {
    let mut salvage = Salvage { bytes: raw.len(), ..Salvage::default() };
    let mut known_to = 0;
    let mut vain = 0;
    let mut offset = 0;
    while offset < raw.len() {
        let end = offset + PAGE_BYTES;
        let mut known = None;
        if offset >= known_to {
            known = match salvage.record(raw, offset, &mut vain)? {
                None => salvage.page(raw, offset)?,
                record => record,
            };
            known_to = known.unwrap_or(offset);
        }
        // What lies inside an entry that is whole is that entry's.
        if known.is_none() && known_to < end && vain < raw.len().saturating_mul(VAIN_FACTOR) {
            known_to = salvage.search(raw, known_to..end, &mut vain)?;
        }
        offset = end;
        progress(offset.min(raw.len()), raw.len());
    }
    salvage.adopt(raw, &mut vain)?;
    Ok(salvage)
}

/// The entry of a frame at `offset`, under this parent where it does not name it.
pub(super) fn read_frame(
    raw: &mut Raw,
    offset: u64,
    len: usize,
    parent: Option<Id>,
) -> io::Result<Option<Entry>> {
    Ok(told(raw.at(offset, len)?, len).and_then(|told| told.under(parent).ok()))
}

/// What a frame of this length tells.
fn told(bytes: &[u8], len: usize) -> Option<Told> {
    Told::read(bytes, shrink::expand).ok().filter(|told| told.len == len)
}

impl Salvage {
    /// Takes what the leaf at `offset` holds; answers how far its entries reach, or `None` where
    /// not everything of it was recognized.
    fn page(&mut self, raw: &mut Raw, offset: u64) -> io::Result<Option<u64>> {
        let mut known = None;
        let mut whole = true;
        for pair in raw.leaf(offset, NUMBERED)? {
            let key = raw.range(&pair.key)?.try_into().map(u64::from_le_bytes);
            let Ok(first) = key else { continue };
            let len = pair.value.end - pair.value.start;
            if len > CHUNK_BYTES {
                whole = false;
                continue;
            }
            let rows: Vec<_> = roll::ranges(raw.range(&pair.value)?).collect();
            let (mut frames, mut above) = (0, None);
            for (nth, row) in &rows {
                let offset = pair.value.start + row.start as u64;
                let told = told(raw.at(offset, row.len())?, row.len());
                let taken = self.take(told, offset, Some(first.saturating_add(*nth as u64)), above);
                if taken != Taken::No {
                    known = known.max(Some(offset + row.len() as u64));
                    frames += 1;
                }
                above = if let Taken::Entry(id) = taken { Some(id) } else { None };
            }
            whole &= frames == rows.len();
            if frames == 0 && len <= ROW_BYTES {
                let chunk = raw.range(&pair.value)?;
                if self.rows(roll::rows(first, chunk)) {
                    (known, whole) = (known.max(Some(offset)), true);
                }
            }
        }
        if known.is_none() && self.state(raw, offset)? {
            return Ok(Some(offset));
        }
        Ok(known.filter(|_| whole))
    }

    /// Takes what the record of the log at `offset` says, an old one too; answers how far it reaches.
    fn record(&mut self, raw: &mut Raw, offset: u64, vain: &mut u64) -> io::Result<Option<u64>> {
        let Some(head) = raw.at(offset, HEAD_BYTES)?.first_chunk().and_then(RecordHead::of) else {
            return Ok(None);
        };
        let len = HEAD_BYTES.saturating_add(head.len());
        let limit = raw.len().saturating_mul(VAIN_FACTOR);
        if len as u64 > (raw.len() - offset).min(limit.saturating_sub(*vain)) {
            return Ok(None);
        }
        let record = raw.at(offset, len)?.to_vec();
        if !head.proves(&record[HEAD_BYTES..]) {
            *vain += len as u64;
            return Ok(None);
        }
        let mut seen = Seen::default();
        for step in steps(&record).map_while(Result::ok) {
            let number = step.number().ok();
            match (step.does, number) {
                (Does::AppendsEntry | Does::ReplacesEntry, Some(_)) => {
                    let told = told(step.value, step.value.len());
                    self.take(told, offset + step.at as u64, number, None);
                }
                (Does::AppendsPlace | Does::AppendsJournal, Some(number)) => {
                    self.row(number, step.value);
                    if step.does == Does::AppendsJournal {
                        seen.as_of = seen.as_of.max(number);
                    }
                }
                (Does::PutsState | Does::PutsMeta, _) => {
                    self.named(step.key, step.value, &mut seen);
                }
                (Does::PutsName, _) => {
                    let name = std::str::from_utf8(step.key).ok();
                    let session = step.value.try_into().map(u64::from_le_bytes);
                    if let (Some(name), Ok(session)) = (name, session) {
                        self.names.insert(session, name.to_owned());
                    }
                }
                (Does::Counts, _) => {
                    if let Ok(counters) = encode::unpack("counters", step.value) {
                        self.counters(counters);
                    }
                }
                _ => {}
            }
        }
        self.heads(seen);
        Ok(Some(offset + len as u64))
    }

    /// Looks for frames at every byte that no leaf leads to; answers how far they reach.
    fn search(&mut self, raw: &mut Raw, range: Range<u64>, vain: &mut u64) -> io::Result<u64> {
        let Range { start: mut at, end } = range;
        while at < end {
            let rest = raw.at(at, usize::try_from(end - at).unwrap_or(0))?;
            let Some(skipped) = rest.iter().position(|byte| *byte == encode::FRAME_VERSION) else {
                return Ok(end);
            };
            at += skipped as u64;
            let len = encode::frame_len(raw.at(at, FRAME_HEAD_BYTES)?);
            let Some(len) = len else {
                at += 1;
                continue;
            };
            let told = told(raw.at(at, len)?, len);
            let above = self.last.filter(|(end, _)| *end == at).map(|(_, id)| id);
            if let Taken::Entry(id) = self.take(told, at, None, above) {
                at += len as u64;
                self.last = Some((at, id));
            } else {
                *vain += len as u64;
                at += 1;
            }
        }
        Ok(at)
    }

    /// Takes the entry of a frame, if it is one; `above` is that of the frame right before it.
    fn take(
        &mut self,
        told: Option<Told>,
        offset: u64,
        number: Option<Number>,
        above: Option<Id>,
    ) -> Taken {
        let Some(mut told) = told else { return Taken::No };
        let len = told.len;
        let mut parent = None;
        if let Some(mark) = told.follows() {
            let before = number.and_then(|number| number.checked_sub(1));
            let before = before.and_then(|before| self.numbers.get(&before)).copied();
            let mut near = [above, before].into_iter().flatten();
            parent = near.find(|id| told.is_under(*id));
            if parent.is_none() {
                self.orphans.push(Orphan { offset, len, number, mark });
                return Taken::Orphan;
            }
        }
        let Ok(entry) = told.under(parent) else { return Taken::No };
        self.entry(&entry, offset, len, number);
        Taken::Entry(entry.id())
    }

    fn entry(&mut self, entry: &Entry, offset: u64, len: usize, number: Option<Number>) {
        let (id, envelope) = (entry.id(), entry.envelope());
        if let Some(number) = number {
            self.numbers.insert(number, id);
        }
        if matches!(entry.content(), Content::Lost) {
            return;
        }
        let erased = matches!(entry.content(), Content::Erased { .. });
        let is_tombstone = entry.body().is_some_and(|body| body.format == TOMBSTONE_FORMAT);
        if envelope.kind == Kind::Record && is_tombstone {
            self.erased.extend(envelope.target);
        }
        let found = Found {
            offset,
            len: u32::try_from(len).unwrap_or(u32::MAX),
            number,
            parent: envelope.parent,
            target: envelope.target.filter(|_| needs_target(envelope.kind)),
            erased,
        };
        match self.entries.entry(id) {
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(found);
            }
            std::collections::hash_map::Entry::Occupied(mut known) => {
                let number = known.get().number.or(number);
                // Of an erased entry and its older, whole state the erased one is right.
                if erased && !known.get().erased {
                    known.insert(found);
                }
                known.get_mut().number = number;
            }
        }
    }

    /// Takes rows of a roll; tells whether any is one of ours.
    fn rows<'r>(&mut self, rows: impl Iterator<Item = (u64, &'r [u8])>) -> bool {
        rows.fold(false, |any, (number, bytes)| self.row(number, bytes) || any)
    }

    /// Takes a place or a journal row; tells whether it is one.
    fn row(&mut self, number: Number, bytes: &[u8]) -> bool {
        if let Ok(place) = place_row::unpack(number, bytes) {
            let placed = Placed {
                number,
                parent: place.parent.filter(|parent| *parent < number),
                session: place.session,
                depth: place.depth,
                size: Counted { tokens: place.tokens, counter: place.counter },
            };
            self.numbers.insert(number, place.id);
            self.places.insert(place.id, placed);
            return true;
        }
        if let Ok(row) = encode::unpack::<JournalRow>("journal", bytes)
            && row.number == number
        {
            self.journal(row);
            return true;
        }
        false
    }

    fn journal(&mut self, row: JournalRow) {
        if row.entries > 0 {
            self.runs.insert(row.first_entry, (row.entries, row.session));
        }
        for moved in row.moves {
            let at = moved.exists.then(|| moved.to.map_or(At::Nothing, At::Entry));
            self.head(row.session, moved.branch, row.number, at);
        }
    }

    fn head(&mut self, session: u64, branch: String, as_of: u64, at: Option<At>) {
        let known = self.heads.entry((session, branch));
        let newest = known.or_insert(Head { as_of, at: None });
        if as_of >= newest.as_of {
            *newest = Head { as_of, at };
        }
    }

    /// Takes a leaf of the tables whose keys are bytes; tells whether it is one.
    fn state(&mut self, raw: &mut Raw, offset: u64) -> io::Result<bool> {
        let mut seen = Seen::default();
        for pair in raw.leaf(offset, NAMED)? {
            if pair.value.end - pair.key.start > ROW_BYTES {
                continue;
            }
            let key = raw.range(&pair.key)?.to_vec();
            let value = raw.range(&pair.value)?.to_vec();
            self.named(&key, &value, &mut seen);
        }
        if !seen.recognized {
            return self.session_names(raw, offset);
        }
        self.heads(seen);
        Ok(true)
    }

    /// Takes a row whose key is bytes.
    fn named(&mut self, key: &[u8], value: &[u8], seen: &mut Seen) {
        if let Some(number) = sealing_number(key) {
            self.key(number, value);
            return;
        }
        match (key.split_first_chunk::<8>(), key) {
            (_, MASTER_KEY) => self.master = Some(value.to_vec()),
            (_, IDENTITY_KEY) => {
                self.identity = encode::unpack("meta", value).ok().or(self.identity.take());
            }
            (None, COUNTERS_KEY) => {
                if let Ok(state) = encode::unpack::<State>("counters", value) {
                    seen.as_of = seen.as_of.max(state.counters.journal_rows.saturating_sub(1));
                    self.rows(state.places.rows().chain(state.journal.rows()));
                    self.counters(state.counters);
                    seen.recognized = true;
                }
            }
            (Some((number, [])), _) => {
                if let Some(row) = session(u64::from_be_bytes(*number), value) {
                    seen.as_of = seen.as_of.max(row.last_journal);
                    self.session(row);
                    seen.recognized = true;
                }
            }
            (Some((number, branch)), _) => {
                let branch = std::str::from_utf8(branch).ok();
                let branch = branch.filter(|name| limits::check_name("branch", name).is_ok());
                if let (Some(branch), Ok(head)) = (branch, read_head(value)) {
                    seen.heads.push((u64::from_be_bytes(*number), branch.to_owned(), head));
                }
            }
            _ => {}
        }
    }

    fn heads(&mut self, Seen { as_of, heads, .. }: Seen) {
        for (session, branch, head) in heads {
            self.head(session, branch, as_of, Some(head.map_or(At::Nothing, At::Number)));
        }
    }

    /// What an older page still has of a key that was forgotten does not bring it back.
    fn key(&mut self, number: u64, wrapped: &[u8]) {
        let known = self.keys.entry(number).or_insert_with(|| wrapped.to_vec());
        if wrapped.is_empty() {
            known.clear();
        }
    }

    fn session_names(&mut self, raw: &mut Raw, offset: u64) -> io::Result<bool> {
        let mut names = Vec::new();
        for pair in raw.leaf(offset, NAMES)? {
            let key = raw.range(&pair.key)?;
            let name = std::str::from_utf8(key).ok().map(str::to_owned);
            let name = name.filter(|name| limits::check_name("session", name).is_ok());
            let number = raw.range(&pair.value)?.try_into().map(u64::from_le_bytes);
            match (name, number) {
                (Some(name), Ok(number)) => names.push((number, name)),
                // A page of something else, that happens to look like one of names.
                _ => return Ok(false),
            }
        }
        let recognized = !names.is_empty();
        self.names.extend(names);
        Ok(recognized)
    }

    fn counters(&mut self, counters: Counters) {
        let rows = |counters: &Counters| counters.journal_rows;
        if self.counters.as_ref().is_none_or(|known| rows(known) <= rows(&counters)) {
            self.counters = Some(counters);
        }
    }

    fn session(&mut self, row: SessionRow) {
        let at = row.has_active.then(|| row.head.map_or(At::Nothing, At::Number));
        self.head(row.number, row.active.clone(), row.last_journal, at);
        let known = self.sessions.get(&row.number);
        if known.is_none_or(|known| known.last_journal <= row.last_journal) {
            self.sessions.insert(row.number, row);
        }
    }
}

fn session(number: u64, bytes: &[u8]) -> Option<SessionRow> {
    let row = encode::unpack::<SessionRow>("session", bytes).ok()?;
    let named = |name: &str| limits::check_name("name", name).is_ok();
    (row.number == number && named(&row.name) && named(&row.active)).then_some(row)
}

#[cfg(test)]
mod tests;
