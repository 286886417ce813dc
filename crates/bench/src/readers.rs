//! What reading a context is compared with: the same entries in a table of `SQLite` and in JSON lines, made
//! into the same values. In their favour: no calls, slots or masks are kept, and only the rows asked for
//! are of the size of a tail.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};
use treering_tree::{Body, Content, Entry, Envelope, Id, Kind, Nonce, Stored};

/// An entry as a peer gives it back: what it says, under an id that nobody checked.
#[derive(Clone, Debug)]
pub struct Read {
    /// The id as it was stored.
    pub id: Id,
    /// Kind, parent and time.
    pub envelope: Envelope,
    /// The body.
    pub body: Body,
    /// Hashed with the body; not kept by all peers.
    pub nonce: Nonce,
    /// Its size.
    pub tokens: u32,
}

/// A part of a path, hashed again as every read of ours is.
pub fn hashed(part: Vec<Read>) -> Vec<Entry> {
    let hashed = |read: Read| {
        let entry = Entry::new(read.envelope, read.nonce, read.body);
        assert_eq!(entry.id(), read.id);
        entry
    };
    part.into_iter().map(hashed).collect()
}

/// Gives each its parent, which is the one before it; the first comes under `above`.
fn link(mut above: Option<Id>, mut part: Vec<Read>) -> Vec<Read> {
    for read in &mut part {
        read.envelope.parent = above.replace(read.id);
    }
    part
}

/// Rows of one session in `SQLite`, everything it reads in memory.
pub struct SqliteRows {
    connection: Connection,
}

const COLUMNS: &str = "hash, kind, at_ms, tokens, nonce, format, body";

impl SqliteRows {
    /// Opens the table in a file, or makes it.
    pub fn open(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        let schema = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
             PRAGMA cache_size = -4194304; PRAGMA mmap_size = 17179869184;
             CREATE TABLE IF NOT EXISTS entry (
                 number INTEGER PRIMARY KEY, session INTEGER, seq INTEGER, parent INTEGER,
                 hash BLOB, kind INTEGER, at_ms INTEGER, tokens INTEGER, nonce BLOB, format TEXT,
                 body BLOB);
             CREATE UNIQUE INDEX IF NOT EXISTS by_seq ON entry (session, seq);";
        connection.execute_batch(schema).unwrap();
        Self { connection }
    }

    /// Appends a part of the session's path, each under the one before it.
    pub fn append(&mut self, part: &[Stored]) {
        let txn = self.connection.transaction().unwrap();
        {
            let mut insert = txn
                .prepare_cached(
                    "INSERT INTO entry VALUES (?1, 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )
                .unwrap();
            for Stored { place, entry } in part {
                let Content::Whole(whole) = entry.content() else { unreachable!("none is erased") };
                let (envelope, hash) = (entry.envelope(), place.id.as_bytes());
                let number = i64::try_from(place.depth).unwrap();
                let parent = number.checked_sub(1).filter(|parent| *parent >= 0);
                let (kind, at_ms, tokens) = (envelope.kind.code(), envelope.at_ms, place.tokens);
                let (nonce, body) = (whole.nonce.0, &whole.body);
                let said = (&body.format, &body.bytes);
                let row = (number, parent, hash, kind, at_ms, tokens, nonce, said.0, said.1);
                insert.execute(row).unwrap();
            }
        }
        txn.commit().unwrap();
    }

    /// The entries of the session from this one on.
    pub fn range(&self, from: u64) -> Vec<Read> {
        let text = format!(
            "SELECT {COLUMNS} FROM entry WHERE session = 1 AND seq >= ?1 ORDER BY session, seq"
        );
        let mut query = self.connection.prepare_cached(&text).unwrap();
        let rows = query.query_map([i64::try_from(from).unwrap()], decoded).unwrap();
        link(self.above(from), rows.map(Result::unwrap).collect())
    }

    fn above(&self, number: u64) -> Option<Id> {
        let text = "SELECT hash FROM entry WHERE number = ?1 - 1";
        let mut query = self.connection.prepare_cached(text).unwrap();
        query.query_row([i64::try_from(number).unwrap()], |row| row.get(0)).ok().map(Id::from_bytes)
    }

    /// The path from an entry up, so many entries of it.
    pub fn path(&self, head: u64, entries: usize) -> Vec<Read> {
        let text = format!(
            "WITH RECURSIVE path (number, parent, {COLUMNS}) AS (
                 SELECT number, parent, {COLUMNS} FROM entry WHERE number = ?1
                 UNION ALL
                 SELECT e.number, e.parent, e.hash, e.kind, e.at_ms, e.tokens, e.nonce, e.format, e.body
                 FROM path JOIN entry e ON e.number = path.parent)
             SELECT {COLUMNS} FROM path LIMIT ?2"
        );
        let mut query = self.connection.prepare_cached(&text).unwrap();
        let ask = (i64::try_from(head).unwrap(), i64::try_from(entries).unwrap());
        let mut path: Vec<Read> =
            query.query_map(ask, decoded).unwrap().map(Result::unwrap).collect();
        path.reverse();
        link(self.above(head + 1 - path.len() as u64), path)
    }
}

fn decoded(row: &Row<'_>) -> rusqlite::Result<Read> {
    let kind = Kind::from_code(row.get(1)?);
    let format = row.get_ref(5)?.as_str().map_err(|_| rusqlite::Error::InvalidQuery)?;
    let body = row.get_ref(6)?.as_blob().map_err(|_| rusqlite::Error::InvalidQuery)?;
    Ok(Read {
        id: Id::from_bytes(row.get(0)?),
        envelope: Envelope::new(kind, row.get(2)?),
        tokens: row.get(3)?,
        nonce: Nonce(row.get(4)?),
        body: Body::new(format, body),
    })
}

/// A session in a file of JSON lines, which is read whole.
pub struct JsonLines(PathBuf);

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    id: Id,
    parent: Option<Id>,
    kind: Kind,
    at_ms: i64,
    tokens: u32,
    #[serde(borrow)]
    format: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    body: std::borrow::Cow<'a, str>,
}

impl JsonLines {
    /// Writes a file of these entries.
    pub fn new(path: &Path, entries: &[Stored]) -> Self {
        let mut lines = Vec::new();
        for Stored { place, entry } in entries {
            let (envelope, body) = (entry.envelope(), entry.body().unwrap());
            let line = Line {
                id: place.id,
                parent: envelope.parent,
                kind: envelope.kind,
                at_ms: envelope.at_ms,
                tokens: place.tokens,
                format: body.format.as_str().into(),
                body: String::from_utf8_lossy(&body.bytes),
            };
            serde_json::to_writer(&mut lines, &line).unwrap();
            lines.push(b'\n');
        }
        fs::write(path, lines).unwrap();
        Self(path.to_owned())
    }

    /// Reads and parses all of it.
    pub fn parse(&self) -> Vec<Read> {
        let bytes = fs::read(&self.0).unwrap();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let read = |line: &[u8]| {
            let line: Line<'_> = serde_json::from_slice(line).unwrap();
            Read {
                id: line.id,
                envelope: Envelope { parent: line.parent, ..Envelope::new(line.kind, line.at_ms) },
                body: Body::new(line.format, line.body.into_owned()),
                nonce: Nonce([0; 16]),
                tokens: line.tokens,
            }
        };
        lines.map(read).collect()
    }
}
