//! Index keys in a table, sorted, as many to a row as fill a page. A row for each key would be a descent for each that
//! is merged, and a page built anew entry by entry; here a page takes all that come to it at once.

use std::ops::Bound;

use redb::WriteTransaction;

use super::fault::Fault;
use super::lazy::{Lazy, Transaction};
use super::rows::IndexKey;

type Bytes = &'static [u8];

const KEY_BYTES: usize = size_of::<IndexKey>();
/// Keys of a row at most: a page, but for what redb takes of it.
const MOST: usize = (4_096 - 64) / KEY_BYTES;

/// A table of keys: each row has those from its own key on, up to that of the next. The first has the least key there
/// is.
pub(super) struct KeyTable<T: Transaction>(pub(super) Lazy<T, IndexKey, Bytes>);

/// The keys of a row; what is behind the last whole one is damage.
fn keys(row: &[u8]) -> &[IndexKey] {
    row.as_chunks().0
}

impl<T: Transaction> KeyTable<T> {
    /// Keys from `from` to `to`, at most `limit`. O(log n) where they lie close together, as those of one hash.
    pub(super) fn range(
        &self,
        from: IndexKey,
        to: IndexKey,
        limit: usize,
    ) -> Result<Vec<IndexKey>, Fault> {
        let mut found = Vec::new();
        let Some((last, row)) = self.0.range(..=to)?.next_back().transpose()? else {
            return Ok(found);
        };
        if last.value() <= from {
            take(&mut found, row.value(), from, to, limit);
            return Ok(found);
        }
        let before = self.0.range(..=from)?.next_back().transpose()?;
        let first = before.map_or(from, |(first, _)| first.value());
        for row in self.0.range(first..=to)? {
            take(&mut found, row?.1.value(), from, to, limit);
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    /// How many keys there are. O(n).
    pub(super) fn len(&self) -> Result<u64, Fault> {
        self.0.rows()?.try_fold(0, |len, row| Ok(len + keys(row?.1.value()).len() as u64))
    }
}

fn take(found: &mut Vec<IndexKey>, row: &[u8], from: IndexKey, to: IndexKey, limit: usize) {
    let keys = keys(row);
    let first = keys.partition_point(|key| *key < from);
    let ours = keys[first..].iter().take_while(|key| **key <= to);
    found.extend(ours.take(limit.saturating_sub(found.len())));
}

impl KeyTable<&WriteTransaction> {
    /// Adds keys, which come sorted. O(log n) for each row that they come to.
    pub(super) fn merge(&mut self, mut new: &[IndexKey]) -> Result<(), Fault> {
        let mut all = Vec::with_capacity(2 * MOST);
        while let Some(first) = new.first() {
            all.clear();
            let mut at = IndexKey::default();
            if let Some((key, row)) = self.0.range(..=*first)?.next_back().transpose()? {
                at = key.value();
                all.extend_from_slice(keys(row.value()));
            }
            let behind = (Bound::Excluded(*first), Bound::Unbounded);
            let next = self.0.range::<IndexKey>(behind)?.next().transpose()?;
            let next = next.map(|(key, _)| key.value());
            let ours = new.partition_point(|key| next.is_none_or(|next| *key < next));
            all.extend_from_slice(&new[..ours]);
            #[allow(clippy::stable_sort_primitive, reason = "two runs, which it merges")]
            all.sort();
            all.dedup();
            self.put(at, &all)?;
            new = &new[ours..];
        }
        Ok(())
    }

    /// Puts the keys from `at` on in as few rows as they fit in, each as long as the others.
    fn put(&mut self, at: IndexKey, keys: &[IndexKey]) -> Result<(), Fault> {
        let rows = keys.len().div_ceil(MOST).max(1);
        for (nth, row) in keys.chunks(keys.len().div_ceil(rows).max(1)).enumerate() {
            let key = if nth == 0 { at } else { row[0] };
            let row = row.as_flattened();
            self.0.changed()?.insert_reserve(key, row.len())?.as_mut().copy_from_slice(row);
        }
        Ok(())
    }

    /// Takes a key away, as damage may; answers whether it was there.
    #[cfg(test)]
    pub(super) fn remove(&mut self, key: IndexKey) -> bool {
        let (at, mut all) = {
            let (at, row) = self.0.range(..=key).unwrap().next_back().unwrap().unwrap();
            (at.value(), keys(row.value()).to_vec())
        };
        let before = all.len();
        all.retain(|one| *one != key);
        self.put(at, &all).unwrap();
        all.len() < before
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::redb::rows::index_key;
    use crate::redb::tables::WriteTables;
    use crate::redb::test_disk::in_memory;

    fn with_tables(test: impl FnOnce(&mut WriteTables<'_>)) {
        let database = in_memory();
        let txn = database.begin_write().unwrap();
        test(&mut WriteTables::open(&txn).unwrap());
    }

    proptest! {
        #[test]
        fn what_was_merged_is_found_in_order_and_no_row_is_longer_than_a_page(
            // Few hashes, so that many keys share one.
            groups in prop::collection::vec(prop::collection::btree_set((0_u64..400, 0_u64..9), 1..900), 1..6),
            bounds in prop::collection::vec((0_u64..400, 0_u64..40), 20),
            limit in 0_usize..30,
        ) {
            with_tables(|tables| {
                let table = &mut tables.ids;
                let mut model = BTreeSet::new();
                for group in groups {
                    let keys: Vec<_> =
                        group.into_iter().map(|(hash, number)| index_key(hash << 55, number)).collect();
                    table.merge(&keys).unwrap();
                    model.extend(keys);
                    assert_eq!(table.len().unwrap(), model.len() as u64);
                }
                for (hash, more) in bounds {
                    let from = index_key(hash << 55, 0);
                    let to = index_key((hash + more).min(511) << 55, u64::MAX);
                    let expected: Vec<_> = model.range(from..=to).copied().collect();
                    assert_eq!(table.range(from, to, usize::MAX).unwrap(), expected);
                    let few = &expected[..limit.min(expected.len())];
                    assert_eq!(table.range(from, to, limit).unwrap(), few);
                }
                let rows = table.0.rows().unwrap().map(|row| row.unwrap().1.value().len());
                assert!(rows.into_iter().all(|bytes| (1..=MOST * KEY_BYTES).contains(&bytes)));
            });
        }
    }

    #[test]
    fn random_keys_fill_their_pages_as_those_of_a_tree_do() {
        with_tables(|tables| {
            let hash = |nth: u64| nth.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
            for merge in 0..20 {
                let mut keys: Vec<_> = (merge * 5_000..(merge + 1) * 5_000)
                    .map(|nth| index_key(hash(nth).wrapping_mul(0xBF58_476D_1CE4_E5B9), nth))
                    .collect();
                keys.sort_unstable();
                tables.ids.merge(&keys).unwrap();
            }
            let rows = tables.ids.0.rows().unwrap().count();
            assert!((100_000 / MOST..100_000 / MOST * 2).contains(&rows), "{rows} rows");
        });
    }

    #[test]
    fn a_key_that_is_torn_is_none_and_hides_no_other() {
        with_tables(|tables| {
            let one = [index_key(7, 1), index_key(8, 2)];
            let torn = [one.as_flattened(), &[9; KEY_BYTES - 1]].concat();
            tables.ids.0.insert(IndexKey::default(), torn.as_slice()).unwrap();
            let all = (index_key(0, 0), index_key(u64::MAX, u64::MAX));
            assert_eq!(tables.ids.range(all.0, all.1, 9).unwrap(), one);
            tables.ids.merge(&[index_key(9, 3)]).unwrap();
            assert_eq!(
                tables.ids.range(all.0, all.1, 9).unwrap(),
                [one[0], one[1], index_key(9, 3)]
            );
        });
    }
}
