//! Tables that are opened when they are first asked for. redb goes down its table of tables and compares names of types
//! for each; most groups of changes need none of them, and most reads few.

use std::borrow::Borrow;
use std::ops::RangeBounds;
use std::sync::{Arc, OnceLock};

use redb::{
    AccessGuard, Key, Range, ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata,
    Table, TableError, Value, WriteTransaction,
};

use super::fault::Fault;
use super::tables::Definition;
use crate::error::Error;

/// A transaction.
pub(super) trait Transaction {
    /// One of its tables.
    type Table<K: Key + 'static, V: Value + 'static>: ReadableTable<K, V>;

    /// Opens a table.
    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: Definition<K, V>,
    ) -> Result<Self::Table<K, V>, TableError>;
}

impl<'t> Transaction for &'t WriteTransaction {
    type Table<K: Key + 'static, V: Value + 'static> = Table<'t, K, V>;

    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: Definition<K, V>,
    ) -> Result<Table<'t, K, V>, TableError> {
        self.open_table(definition)
    }
}

impl Transaction for Arc<ReadTransaction> {
    type Table<K: Key + 'static, V: Value + 'static> = ReadOnlyTable<K, V>;

    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: Definition<K, V>,
    ) -> Result<ReadOnlyTable<K, V>, TableError> {
        self.open_table(definition)
    }
}

/// A table that may not be open yet.
pub(super) struct Lazy<T: Transaction, K: Key + 'static, V: Value + 'static> {
    txn: T,
    definition: Definition<K, V>,
    opened: OnceLock<T::Table<K, V>>,
}

impl<T: Transaction, K: Key + 'static, V: Value + 'static> Lazy<T, K, V> {
    pub(super) fn new(txn: T, definition: Definition<K, V>) -> Self {
        Self { txn, definition, opened: OnceLock::new() }
    }

    /// The table.
    pub(super) fn opened(&self) -> Result<&T::Table<K, V>, Fault> {
        if let Some(table) = self.opened.get() {
            return Ok(table);
        }
        let table = self.txn.table(self.definition)?;
        Ok(self.opened.get_or_init(|| table))
    }

    pub(super) fn get<'k>(
        &self,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<Option<AccessGuard<'_, V>>, Fault> {
        Ok(self.opened()?.get(key)?)
    }

    pub(super) fn range<'k, R: Borrow<K::SelfType<'k>> + 'k>(
        &self,
        range: impl RangeBounds<R> + 'k,
    ) -> Result<Range<'_, K, V>, Fault> {
        Ok(self.opened()?.range(range)?)
    }

    /// All of it.
    pub(super) fn rows(&self) -> Result<Range<'_, K, V>, Fault> {
        Ok(self.opened()?.iter()?)
    }

    pub(super) fn len(&self) -> Result<u64, Fault> {
        Ok(self.opened()?.len()?)
    }
}

impl<'t, K: Key + 'static, V: Value + 'static> Lazy<&'t WriteTransaction, K, V> {
    /// The table, to be changed.
    pub(super) fn changed(&mut self) -> Result<&mut Table<'t, K, V>, Fault> {
        self.opened()?;
        let opened = self.opened.get_mut();
        Ok(opened.ok_or_else(|| Error::corrupt("table", "it is open and cannot be changed"))?)
    }

    pub(super) fn insert<'k, 'v>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
    ) -> Result<(), Fault> {
        self.changed()?.insert(key, value)?;
        Ok(())
    }

    pub(super) fn remove<'k>(&mut self, key: impl Borrow<K::SelfType<'k>>) -> Result<(), Fault> {
        self.changed()?.remove(key)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use redb::{Database, ReadableDatabase};

    use super::*;

    const THERE: Definition<u64, u64> = Definition::new("there");
    const MISSING: Definition<u64, u64> = Definition::new("missing");

    #[test]
    fn a_table_is_opened_and_made_by_whoever_asks_for_it_first_and_by_nobody_else() {
        let backend = redb::backends::InMemoryBackend::new();
        let database = Database::builder().create_with_backend(backend).unwrap();
        let txn = database.begin_write().unwrap();
        let mut there = Lazy::new(&txn, THERE);
        let missing = Lazy::new(&txn, MISSING);
        there.insert(1, 2).unwrap();
        there.insert(3, 4).unwrap();
        there.remove(3).unwrap();
        assert_eq!(there.len().unwrap(), 1);
        drop((there, missing));
        txn.commit().unwrap();

        let txn = Arc::new(database.begin_read().unwrap());
        let there = Lazy::new(Arc::clone(&txn), THERE);
        let missing = Lazy::new(Arc::clone(&txn), MISSING);
        assert_eq!(there.get(1).unwrap().unwrap().value(), 2);
        assert_eq!(there.range(2..).unwrap().count(), 0);
        assert_eq!(there.rows().unwrap().count(), 1);
        assert!(missing.get(1).is_err());
    }
}
