//! Erasing in the plain model: which bodies are gone, and the tombstones that say so.

use std::sync::OnceLock;

use treering_tree::{
    Change, Draft, ErrorKind, Expect, Id, Kind, Move, Nonce, Options, Presence, Reason, RedbStore,
    Sources, Store, TOMBSTONE_FORMAT, To, Tombstone,
};

use super::model::Model;

/// Seed of the stores whose tombstones the model foretells: their nonces are secret to others.
pub const SEED: u64 = 1;

fn nonce(id: Id, at_ms: i64) -> Nonce {
    static STORE: OnceLock<RedbStore> = OnceLock::new();
    let store = STORE.get_or_init(|| {
        RedbStore::in_memory(Options::new(Sources::fixed(SEED)).idle_checkpoint(None)).unwrap()
    });
    store.nonce_for(&[b"tombstone", id.as_bytes(), &at_ms.to_le_bytes()])
}

impl Model {
    /// Erases bodies; answers the tombstones. One for each body that was there.
    pub fn erase(
        &mut self,
        session: &str,
        ids: &[Id],
        tombstone: &Tombstone,
    ) -> Result<Vec<Id>, ErrorKind> {
        let mut going: Vec<Id> = Vec::new();
        for id in ids {
            let entry = self.entry(id).ok_or(ErrorKind::NotFound)?;
            let body = entry.body().filter(|_| !self.erased.contains(id));
            match body {
                Some(body) if body.format == TOMBSTONE_FORMAT => return Err(ErrorKind::Invalid),
                Some(_) if !going.contains(id) => going.push(*id),
                _ => {}
            }
        }
        if going.is_empty() {
            return if self.lines.contains_key(session) {
                Ok(Vec::new())
            } else {
                Err(ErrorKind::NotFound)
            };
        }
        let at_ms = tombstone.at_ms;
        let draft = |id: &Id| {
            Draft::new(Kind::Record, at_ms, nonce(*id, at_ms), tombstone.body()).target(*id)
        };
        let ids = self.commit(&Change {
            presence: Presence::Existing,
            entries: going.iter().map(draft).collect(),
            moves: vec![Move { branch: None, expect: Expect::Any, to: To::Last }],
            ..Change::new(session, Reason::Erase, at_ms)
        })?;
        self.erased.extend(going);
        Ok(ids)
    }
}
