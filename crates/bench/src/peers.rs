//! What an engine is compared with: each stores the same entries durably, in groups, behind the same
//! queue, and answers its callers after its sync.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use rusqlite::Connection;

/// A store of bodies that commits a group at a time.
pub trait Peer: Send {
    /// Stores a group and moves the head of each one's session, durably when it returns.
    fn commit(&mut self, group: &[Item]);
}

/// One append.
#[derive(Clone, Debug)]
pub struct Item {
    /// The session, one for each writer.
    pub session: u64,
    /// What is stored.
    pub body: Vec<u8>,
}

/// `SQLite` with a write-ahead log and a sync for each commit.
pub struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// With a unique index over the content's hash, as content addressing needs it, or without.
    pub fn new(path: &Path, unique_hash: bool) -> Self {
        let connection = Connection::open(path).unwrap();
        let unique = if unique_hash { "UNIQUE" } else { "" };
        let schema = format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE entry (number INTEGER PRIMARY KEY, session INTEGER, parent INTEGER,
                                 hash BLOB {unique}, body BLOB);
             CREATE TABLE head (session INTEGER PRIMARY KEY, number INTEGER);"
        );
        connection.execute_batch(&schema).unwrap();
        Self { connection }
    }
}

impl Peer for Sqlite {
    fn commit(&mut self, group: &[Item]) {
        let txn = self.connection.transaction().unwrap();
        {
            let mut head =
                txn.prepare_cached("SELECT number FROM head WHERE session = ?1").unwrap();
            let mut insert = txn
                .prepare_cached(
                    "INSERT INTO entry (session, parent, hash, body) VALUES (?1, ?2, ?3, ?4)",
                )
                .unwrap();
            let mut bind =
                txn.prepare_cached("INSERT OR REPLACE INTO head VALUES (?1, ?2)").unwrap();
            for item in group {
                let session = i64::try_from(item.session).unwrap();
                let parent: Option<i64> = head.query_row([session], |row| row.get(0)).ok();
                let hash = blake3::hash(&item.body);
                insert.execute((session, parent, hash.as_bytes(), &item.body)).unwrap();
                bind.execute((session, txn.last_insert_rowid())).unwrap();
            }
        }
        txn.commit().unwrap();
    }
}

/// A plain log with a length before each body.
pub struct Log {
    file: File,
    at: u64,
    zeroed: u64,
    ahead: u64,
    json: bool,
}

impl Log {
    /// A log whose space is written with zeros 64 MiB ahead, so that a sync changes no metadata.
    pub fn zeroed(path: &Path) -> Self {
        Self { file: File::create(path).unwrap(), at: 0, zeroed: 0, ahead: 64 << 20, json: false }
    }

    /// JSON lines in a growing file.
    pub fn json_lines(path: &Path) -> Self {
        Self { file: File::create(path).unwrap(), at: 0, zeroed: 0, ahead: 0, json: true }
    }
}

impl Peer for Log {
    fn commit(&mut self, group: &[Item]) {
        let mut bytes = Vec::new();
        for Item { session, body } in group {
            if self.json {
                let text = String::from_utf8_lossy(body);
                let line = serde_json::json!({ "session": session, "hash": blake3::hash(body).to_hex().as_str(), "body": text });
                serde_json::to_writer(&mut bytes, &line).unwrap();
                bytes.push(b'\n');
            } else {
                bytes.extend((body.len() as u64).to_le_bytes());
                bytes.extend(blake3::hash(body).as_bytes());
                bytes.extend(body);
            }
        }
        let end = self.at + bytes.len() as u64;
        if self.ahead > 0 && end > self.zeroed {
            self.file.seek(SeekFrom::Start(self.zeroed)).unwrap();
            self.file.write_all(&vec![0; usize::try_from(self.ahead).unwrap()]).unwrap();
            self.file.sync_all().unwrap();
            self.zeroed += self.ahead;
        }
        self.file.seek(SeekFrom::Start(self.at)).unwrap();
        self.file.write_all(&bytes).unwrap();
        self.file.sync_data().unwrap();
        self.at = end;
    }
}
