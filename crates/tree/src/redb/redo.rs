//! What a group of changes does to the tables, row by row: what the log records, and how it is done again.

use serde::Serialize;

use super::fault::Fault;
use super::log::HEAD_BYTES;
use super::rows::Counters;
use super::tables::WriteTables;
use crate::encode;
use crate::error::{Error, Result};

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Does {
    AppendsEntry = 1,
    AppendsPlace,
    AppendsJournal,
    ReplacesEntry,
    PutsState,
    RemovesState,
    PutsName,
    PutsMeta,
    /// Counters, but for those that are redb's own.
    Counts,
}

impl Does {
    const ALL: [Self; 9] = [
        Self::AppendsEntry,
        Self::AppendsPlace,
        Self::AppendsJournal,
        Self::ReplacesEntry,
        Self::PutsState,
        Self::RemovesState,
        Self::PutsName,
        Self::PutsMeta,
        Self::Counts,
    ];
}

/// The record of a group while it is made.
#[derive(Debug, Default)]
pub(super) struct Redo {
    /// `None` where nothing is recorded, or what was did not fit.
    record: Option<Vec<u8>>,
    room: usize,
    /// A value that was encoded to be noted: memory that comes and goes costs more than what is written to it.
    packed: Vec<u8>,
}

impl Redo {
    /// A record of at most so many bytes, its head included, in that buffer.
    pub(super) fn within(room: usize, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(HEAD_BYTES, 0);
        Self { record: (room > HEAD_BYTES).then_some(buffer), room, packed: Vec::new() }
    }

    /// Notes what becomes of a row. Once a record does not fit there is none.
    pub(super) fn note(&mut self, does: Does, key: &[u8], value: &[u8]) {
        let Some(record) = &mut self.record else { return };
        let (Ok(key_len), Ok(value_len)) = (u32::try_from(key.len()), u32::try_from(value.len()))
        else {
            self.record = None;
            return;
        };
        if record.len() + 9 + key.len() + value.len() > self.room {
            self.record = None;
            return;
        }
        record.push(does as u8);
        record.extend(key_len.to_le_bytes());
        record.extend(value_len.to_le_bytes());
        record.extend(key);
        record.extend(value);
    }

    /// The same of a value that is to be encoded, if there is a record.
    pub(super) fn note_packed<T: Serialize>(
        &mut self,
        does: Does,
        key: &[u8],
        value: &T,
    ) -> Result<()> {
        if self.record.is_some() {
            let mut packed = std::mem::take(&mut self.packed);
            encode::pack_into(&mut packed, value)?;
            self.note(does, key, &packed);
            self.packed = packed;
        }
        Ok(())
    }

    /// Whether there is a record, and will be one with so many bytes more.
    pub(super) fn fits(&self, more: usize) -> bool {
        self.record.as_ref().is_some_and(|record| record.len() + more <= self.room)
    }

    /// The record, if everything fitted.
    pub(super) fn into_record(self) -> Option<Vec<u8>> {
        self.record
    }
}

/// What becomes of one row.
pub(super) struct Step<'r> {
    pub(super) does: Does,
    pub(super) key: &'r [u8],
    pub(super) value: &'r [u8],
    /// Where in the record the value begins.
    pub(super) at: usize,
}

impl Step<'_> {
    /// The key, where it is a number.
    pub(super) fn number(&self) -> Result<u64> {
        number_of(self.key)
    }
}

fn number_of(bytes: &[u8]) -> Result<u64> {
    bytes.try_into().map(u64::from_le_bytes).map_err(|_| malformed())
}

fn malformed() -> Error {
    Error::corrupt("log", "a record is none of ours")
}

/// The steps of a record, which begins with its head.
pub(super) fn steps(record: &[u8]) -> impl Iterator<Item = Result<Step<'_>>> {
    let mut at = HEAD_BYTES;
    std::iter::from_fn(move || {
        let rest = record.get(at..).filter(|rest| !rest.is_empty())?;
        let step = take(rest, at);
        at = step.as_ref().map_or(record.len(), |step| step.at + step.value.len());
        Some(step.ok_or_else(malformed))
    })
}

fn take(rest: &[u8], start: usize) -> Option<Step<'_>> {
    let (does, after) = rest.split_first()?;
    let does = Does::ALL.into_iter().find(|known| *known as u8 == *does)?;
    let (key_len, after) = after.split_first_chunk()?;
    let (value_len, after) = after.split_first_chunk()?;
    let (key, after) =
        after.split_at_checked(usize::try_from(u32::from_le_bytes(*key_len)).ok()?)?;
    let value = after.get(..usize::try_from(u32::from_le_bytes(*value_len)).ok()?)?;
    let at = start + (rest.len() - after.len());
    Some(Step { does, key, value, at })
}

/// Does again what a record says; `counters` become what they were after it.
pub(super) fn redo(
    record: &[u8],
    tables: &mut WriteTables<'_>,
    counters: &mut Counters,
) -> Result<(), Fault> {
    for step in steps(record) {
        let step = step?;
        match step.does {
            Does::AppendsEntry => tables.append_entry(step.number()?, step.value)?,
            Does::AppendsPlace => tables.append_place(step.number()?, step.value)?,
            Does::AppendsJournal => tables.append_journal(step.number()?, step.value)?,
            Does::ReplacesEntry => tables.replace_entry(step.number()?, step.value)?,
            Does::PutsState => tables.put_state(step.key, step.value)?,
            Does::RemovesState => tables.remove_state(step.key)?,
            Does::PutsName => tables.put_name(step.key, number_of(step.value)?)?,
            Does::PutsMeta => tables.put_meta(step.key, step.value)?,
            Does::Counts => {
                let now: Counters = encode::unpack("counters", step.value)?;
                // What is merged of the index is what redb saved of it.
                *counters = Counters { indexed: counters.indexed, ..now };
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redb::test_disk::in_memory;

    #[test]
    fn steps_are_what_was_noted_and_a_cut_record_is_an_error_in_the_end() {
        let noted: Vec<(Does, Vec<u8>, Vec<u8>)> = Does::ALL
            .into_iter()
            .enumerate()
            .map(|(nth, does)| (does, vec![1; nth], vec![2; 300 - 37 * nth]))
            .collect();
        let mut redo = Redo::within(1 << 20, Vec::new());
        for (does, key, value) in &noted {
            redo.note(*does, key, value);
        }
        let record = redo.into_record().unwrap();
        let read: Vec<_> = steps(&record)
            .map(|step| step.unwrap())
            .map(|step| {
                assert_eq!(&record[step.at..step.at + step.value.len()], step.value);
                (step.does, step.key.to_vec(), step.value.to_vec())
            })
            .collect();
        assert_eq!(read, noted);
        for cut in HEAD_BYTES + 1..record.len() {
            let whole = steps(&record[..cut]).take_while(Result::is_ok).count();
            let all: Vec<_> = steps(&record[..cut]).collect();
            assert!(all.len() == whole || all.len() == whole + 1 && whole < noted.len(), "{cut}");
        }
    }

    #[test]
    fn a_record_that_does_not_fit_is_none() {
        let noted = 9 + 8 + 100;
        for (room, fits) in
            [(HEAD_BYTES + noted, true), (HEAD_BYTES + noted - 1, false), (0, false)]
        {
            let mut redo = Redo::within(room, vec![1; 9]);
            assert_eq!(redo.fits(0), room > 0);
            redo.note(Does::AppendsEntry, &[0; 8], &[0; 100]);
            assert_eq!(redo.fits(0), fits);
            assert!(!redo.fits(1));
            redo.note(Does::AppendsEntry, &[0; 8], &[0; 100]);
            assert_eq!(redo.into_record(), None);
        }
    }

    #[test]
    fn what_does_not_fit_leaves_no_half_of_a_record() {
        let noted = |room| {
            let mut redo = Redo::within(room, Vec::new());
            redo.note(Does::PutsState, &[1; 8], &[2; 100]);
            redo.into_record().map(|record| record.len())
        };
        let most = HEAD_BYTES + 9 + 8 + 100;
        assert_eq!([most - 1, most].map(noted), [None, Some(most)]);
        assert_eq!(Redo::within(HEAD_BYTES, Vec::new()).into_record(), None);
    }

    #[test]
    fn counters_done_again_leave_alone_how_far_the_index_is_merged() {
        let database = in_memory();
        let txn = database.begin_write().unwrap();
        let mut tables = WriteTables::open(&txn).unwrap();
        let mut counters = Counters { entries: 6, indexed: 5, ..Counters::default() };
        let after = Counters { entries: 9, indexed: 8, ..Counters::default() };
        let mut redo = Redo::within(1 << 10, Vec::new());
        redo.note(Does::Counts, &[], &encode::pack(&after).unwrap());
        super::redo(&redo.into_record().unwrap(), &mut tables, &mut counters).unwrap();
        assert_eq!((counters.entries, counters.indexed), (9, 5));
    }
}
