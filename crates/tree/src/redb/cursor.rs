//! Reads rows of a numbered table one after another, going down. Where the numbers of a path lie close
//! together, the next row is a step of an open range instead of a descent from the root.

use redb::{AccessGuard, Range, ReadOnlyTable};

use super::fault::Fault;
use crate::place::Number;

type Bytes = &'static [u8];

/// Rows passed over before a new descent is cheaper.
const NEAR: usize = 4;

pub(super) struct Cursor<'t> {
    table: &'t ReadOnlyTable<u64, Bytes>,
    rows: Option<Range<'t, u64, Bytes>>,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(table: &'t ReadOnlyTable<u64, Bytes>) -> Self {
        Self { table, rows: None }
    }

    /// The row of this number, which is lower than the one asked for before.
    pub(super) fn get(&mut self, number: Number) -> Result<Option<AccessGuard<'t, Bytes>>, Fault> {
        if let Some(rows) = &mut self.rows {
            for row in rows.rev().take(NEAR) {
                let (key, value) = row?;
                if key.value() <= number {
                    if key.value() == number {
                        return Ok(Some(value));
                    }
                    break;
                }
            }
        }
        let mut rows = self.table.range(..=number)?;
        let found = rows.next_back().transpose()?;
        self.rows = Some(rows);
        Ok(found.filter(|(key, _)| key.value() == number).map(|(_, value)| value))
    }
}
