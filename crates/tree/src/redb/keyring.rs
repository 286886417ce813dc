//! The keys of an encrypted store: which session has which, and how bodies go under them and come out again.
//!
//! Rows of `meta`: under `master` a wrapped secret, which tells the right master key from a wrong one and is
//! what imported entries' nonces are derived with; under `key` and a number a session's wrapped key, or nothing
//! where it was forgotten.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fault::Fault;
use super::rows::{KeyRows, SessionRow};
use super::tables::{MetaRow, ReadTables, WriteTables};
use super::{Options, shrink};
use crate::encode;
use crate::encrypt::{Encrypt, NONCE_BYTES, SessionKey};
use crate::entry::{Content, Entry, Sealed};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::message::TOMBSTONE_FORMAT;
use crate::sources::Sources;

const MASTER_CONTEXT: &[u8] = b"treering/master/1";
const KEY_CONTEXT: &[u8] = b"treering/key/1";

/// Keys, unwrapped when they are needed first.
pub(super) struct Keyring {
    encrypt: Option<Arc<dyn Encrypt>>,
    sources: Sources,
    /// `None` for a key that was forgotten.
    keys: Mutex<BTreeMap<u64, Option<SessionKey>>>,
}

/// The key that what a session appends goes under.
pub(super) struct Sealing<'k> {
    encrypt: &'k dyn Encrypt,
    pub(super) number: u64,
    key: SessionKey,
}

impl Keyring {
    /// The keys of a store, and its secret where it is encrypted.
    ///
    /// # Errors
    /// `Key` where the store is encrypted and the options bring no key or another one, or the other way round.
    pub(super) fn open(options: &Options, tables: &ReadTables) -> Result<(Self, Option<[u8; 32]>)> {
        let encrypt = options.encrypt.clone();
        let secret = match (&encrypt, tables.master_row().map_err(Error::from)?) {
            (None, None) => None,
            (Some(encrypt), Some(row)) => Some(*encrypt.unwrap(&row, MASTER_CONTEXT)?.bytes()),
            (None, Some(_)) => {
                return Err(Error::Key { why: "the store is encrypted: open it with its key" });
            }
            (Some(_), None) => {
                let why = "the store is not encrypted: export it and import it into one that is";
                return Err(Error::Key { why });
            }
        };
        let (sources, keys) = (options.sources.clone(), Mutex::default());
        Ok((Self { encrypt, sources, keys }, secret))
    }

    /// The row that makes a new store an encrypted one, where the options bring a key.
    pub(super) fn new_master(options: &Options) -> Result<Option<Vec<u8>>> {
        let secret = random_key(&options.sources);
        let wrap = |encrypt: &Arc<dyn Encrypt>| {
            encrypt.wrap(&secret, random(&options.sources), MASTER_CONTEXT)
        };
        options.encrypt.as_ref().map(wrap).transpose()
    }

    /// The key of a session, made where it has none yet, which its row is then to name; `None` where the store is not
    /// encrypted.
    pub(super) fn of_session(
        &self,
        tables: &mut WriteTables<'_>,
        session: &SessionRow,
    ) -> Result<Option<Sealing<'_>>> {
        let Some(encrypt) = self.encrypt.as_deref() else { return Ok(None) };
        if let Some(number) = session.key
            && let Some(key) = self.key(tables, number)?
        {
            return Ok(Some(Sealing { encrypt, number, key }));
        }
        let number = tables.next_key().map_err(Error::from)?;
        let key = random_key(&self.sources);
        let wrapped = encrypt.wrap(&key, random(&self.sources), &context(number))?;
        tables.put_key(number, &wrapped).map_err(Error::from)?;
        self.keys().insert(number, Some(key.clone()));
        Ok(Some(Sealing { encrypt, number, key }))
    }

    /// Forgets the keys that another process has forgotten. They stay forgotten for older snapshots too.
    pub(super) fn take_up(&self, rows: &impl KeyRows) -> Result<(), Fault> {
        for (number, key) in self.keys().iter_mut() {
            if rows.key_row(*number)?.is_none_or(|row| row.is_empty()) {
                *key = None;
            }
        }
        Ok(())
    }

    /// Takes the key from a session: what was sealed under it is erased.
    pub(super) fn forget(
        &self,
        tables: &mut WriteTables<'_>,
        session: &mut SessionRow,
    ) -> Result<(), Fault> {
        if let Some(number) = session.key.take() {
            tables.put_key(number, &[])?;
            self.keys().insert(number, None);
        }
        Ok(())
    }

    /// A row of `meta`, its key wrapped anew under another master key where it holds one.
    pub(super) fn rewrapped(&self, row: MetaRow<'_>, to: &dyn Encrypt) -> Result<Vec<u8>> {
        let plain = || Error::Key { why: "the store is not encrypted" };
        let from = self.encrypt.as_deref().ok_or_else(plain)?;
        let (wrapped, context) = match row {
            MetaRow::Master(wrapped) => (wrapped, MASTER_CONTEXT.to_vec()),
            MetaRow::Key(number, wrapped) if !wrapped.is_empty() => (wrapped, context(number)),
            MetaRow::Key(_, other) | MetaRow::Other(other) => return Ok(other.to_vec()),
        };
        to.wrap(&from.unwrap(wrapped, &context)?, random(&self.sources), &context)
    }

    /// The entry with its body, or erased where its key was forgotten.
    pub(super) fn opened(&self, rows: &impl KeyRows, entry: Entry) -> Result<Entry> {
        let Content::Sealed(sealed) = entry.content() else { return Ok(entry) };
        let id = entry.id();
        let missing = || Error::Key { why: "the store is encrypted: open it with its key" };
        let encrypt = self.encrypt.as_deref().ok_or_else(missing)?;
        let Some(key) = self.key(rows, sealed.key)? else { return Ok(entry.without_body()) };
        let bytes = encrypt.open(&key, nonce_of(&id), id.as_bytes(), &sealed.bytes)?;
        let broken = |why: &str| Error::corrupt("entry", format!("{id}: sealed body: {why}"));
        let (commitment, whole) =
            encode::unsealed(&bytes, shrink::expand).map_err(|why| broken(&why))?;
        if commitment != sealed.commitment {
            return Err(broken("it is another one"));
        }
        Ok(entry.in_state(Content::Whole(Arc::new(whole))))
    }

    fn key(&self, rows: &impl KeyRows, number: u64) -> Result<Option<SessionKey>> {
        if let Some(known) = self.keys().get(&number) {
            return Ok(known.clone());
        }
        let row = rows.key_row(number).map_err(Error::from)?;
        let row = row.ok_or_else(|| Error::corrupt("key", format!("{number} is missing")))?;
        let unwrap = |encrypt: &Arc<dyn Encrypt>| encrypt.unwrap(&row, &context(number));
        let key = match &self.encrypt {
            Some(encrypt) if !row.is_empty() => Some(unwrap(encrypt)?),
            _ => None,
        };
        self.keys().insert(number, key.clone());
        Ok(key)
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<u64, Option<SessionKey>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sealing<'_> {
    /// The entry as it is stored, where it is stored sealed.
    pub(super) fn seal(&self, entry: &Entry, shorter: Option<&[u8]>) -> Result<Option<Entry>> {
        let Content::Whole(whole) = entry.content() else { return Ok(None) };
        if !is_sealed(entry) {
            return Ok(None);
        }
        let id = entry.id();
        let text = encode::to_seal(whole, shorter);
        let bytes = self.encrypt.seal(&self.key, nonce_of(&id), id.as_bytes(), text)?;
        let Some(commitment) = entry.commitment() else { return Ok(None) };
        let sealed = Sealed { commitment, key: self.number, bytes };
        Ok(Some(entry.in_state(Content::Sealed(Arc::new(sealed)))))
    }
}

/// Whether there is a body to seal. Tombstones stay open: they outlive the keys.
pub(super) fn is_sealed(entry: &Entry) -> bool {
    entry.body().is_some_and(|body| body.format != TOMBSTONE_FORMAT)
}

/// A wrapped key is bound to its number.
fn context(number: u64) -> Vec<u8> {
    [KEY_CONTEXT, &number.to_be_bytes()].concat()
}

/// An id has one text, so that no nonce is ever used for two.
fn nonce_of(id: &Id) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce.copy_from_slice(&id.as_bytes()[..NONCE_BYTES]);
    nonce
}

fn random(sources: &Sources) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    sources.fill(&mut nonce);
    nonce
}

fn random_key(sources: &Sources) -> SessionKey {
    let mut bytes = [0; 32];
    sources.fill(&mut bytes);
    SessionKey::new(bytes)
}

#[cfg(all(test, feature = "encrypt"))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::encrypt::MasterKey;
    use crate::entry::{Body, Envelope, Kind, Nonce};

    /// One key, under number 0.
    struct Row(Vec<u8>);

    impl KeyRows for Row {
        fn key_row(&self, number: u64) -> Result<Option<Vec<u8>>, Fault> {
            Ok((number == 0).then(|| self.0.clone()))
        }
    }

    fn entry(text: &str) -> Entry {
        let body = Body::new("test/1", text.as_bytes());
        Entry::new(Envelope::new(Kind::User, 7), Nonce([3; 16]), body)
    }

    fn keyring() -> (Keyring, Row) {
        let encrypt: Arc<dyn Encrypt> = Arc::new(MasterKey::new([9; 32]));
        let key = SessionKey::new([4; 32]);
        let row = Row(encrypt.wrap(&key, [1; NONCE_BYTES], &context(0)).unwrap());
        let (sources, keys) = (Sources::fixed(1), Mutex::default());
        (Keyring { encrypt: Some(encrypt), sources, keys }, row)
    }

    fn sealed(keyring: &Keyring, row: &Row, entry: &Entry) -> Sealed {
        let key = keyring.key(row, 0).unwrap().unwrap();
        let sealing = Sealing { encrypt: keyring.encrypt.as_deref().unwrap(), number: 0, key };
        let sealed = sealing.seal(entry, None).unwrap().unwrap();
        match sealed.content() {
            Content::Sealed(sealed) => Sealed::clone(sealed),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_sealed_body_opens_in_its_own_entry_and_in_no_other() {
        let (keyring, row) = keyring();
        let (one, other) = (entry("one"), entry("two"));
        let of_one = sealed(&keyring, &row, &one);
        let opened = |entry: &Entry, sealed: &Sealed| {
            let sealed = Content::Sealed(Arc::new(sealed.clone()));
            keyring.opened(&row, entry.in_state(sealed))
        };
        assert_eq!(opened(&one, &of_one).unwrap(), one);
        let moved =
            Sealed { commitment: sealed(&keyring, &row, &other).commitment, ..of_one.clone() };
        assert!(matches!(opened(&other, &moved), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn every_changed_bit_of_a_sealed_body_shows() {
        let (keyring, row) = keyring();
        let one = entry("one");
        let whole = sealed(&keyring, &row, &one);
        for bit in 0..whole.bytes.len() * 8 {
            let mut changed = whole.clone();
            changed.bytes[bit / 8] ^= 1 << (bit % 8);
            let entry = one.in_state(Content::Sealed(Arc::new(changed)));
            assert!(matches!(keyring.opened(&row, entry), Err(Error::Corrupt { .. })), "{bit}");
        }
        let missing = one.in_state(Content::Sealed(Arc::new(Sealed { key: 1, ..whole })));
        assert!(matches!(keyring.opened(&row, missing), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn a_frame_of_a_sealed_entry_verifies_without_its_key() {
        let (keyring, row) = keyring();
        let one = entry("one");
        let sealed = one.in_state(Content::Sealed(Arc::new(sealed(&keyring, &row, &one))));
        let frame = encode::frame(&sealed, false, None);
        assert_eq!(encode::frame_len(&frame), Some(frame.len()));
        let alone = || Err(Error::no_entry(&one.id()));
        assert_eq!(encode::unframe(&frame, &one.id(), alone, shrink::expand).unwrap(), sealed);
        assert!(!frame.windows(3).any(|window| window == b"one"));
    }

    /// The same row under every number.
    struct Everywhere(Row);

    impl KeyRows for Everywhere {
        fn key_row(&self, _: u64) -> Result<Option<Vec<u8>>, Fault> {
            self.0.key_row(0)
        }
    }

    #[test]
    fn a_wrapped_key_opens_under_its_own_number_alone() {
        let (keyring, row) = keyring();
        let rows = Everywhere(row);
        assert!(keyring.key(&rows, 1).is_err() && keyring.key(&rows, 256).is_err());
        assert!(keyring.key(&rows, 0).unwrap().is_some());
    }

    #[test]
    fn no_nonce_is_used_for_two_entries() {
        let (one, other) = (entry("one").id(), entry("two").id());
        assert_eq!(nonce_of(&one), one.as_bytes()[..NONCE_BYTES]);
        assert_ne!(nonce_of(&one), nonce_of(&other));
        let sources = Sources::fixed(5);
        assert_ne!(random(&sources), random(&sources));
    }

    #[test]
    fn keys_are_wrapped_anew_and_what_is_no_key_stays_as_it_is() {
        let (keyring, row) = keyring();
        let new = MasterKey::new([8; 32]);
        let anew = keyring.rewrapped(MetaRow::Key(0, &row.0), &new).unwrap();
        assert!(keyring.encrypt.as_deref().unwrap().unwrap(&anew, &context(0)).is_err());
        let old = MasterKey::new([9; 32]);
        assert_eq!(
            new.wrap(&new.unwrap(&anew, &context(0)).unwrap(), [2; NONCE_BYTES], b"").unwrap(),
            new.wrap(&old.unwrap(&row.0, &context(0)).unwrap(), [2; NONCE_BYTES], b"").unwrap(),
        );
        assert_eq!(keyring.rewrapped(MetaRow::Key(0, b""), &new).unwrap(), b"", "forgotten");
        assert_eq!(keyring.rewrapped(MetaRow::Other(b"else"), &new).unwrap(), b"else");
        let plain = Keyring { encrypt: None, ..keyring };
        assert!(matches!(plain.rewrapped(MetaRow::Other(b""), &new), Err(Error::Key { .. })));
    }

    #[test]
    fn a_tombstone_outlives_the_keys_and_what_is_erased_has_nothing_to_seal() {
        let tombstone = Body::new(TOMBSTONE_FORMAT, "{}");
        let tombstone = Entry::new(Envelope::new(Kind::Record, 7), Nonce([3; 16]), tombstone);
        let whole = entry("one");
        let found = [&whole, &tombstone, &whole.without_body()].map(is_sealed);
        assert_eq!(found, [true, false, false]);
    }
}
