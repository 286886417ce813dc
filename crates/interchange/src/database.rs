//! Databases in which tools keep their sessions, read as lines of JSON: a line for each record with
//! the rows that belong to it, and one for the row of the session.
//!
//! ```text
//! {"message":{"id":"m1","session_id":"s1","data":"{..}"},"part":[{"id":"p1",..}]}
//! ```
//!
//! A value is what it was: NULL, numbers and texts are JSON's own, `{"blob":"HEX"}` a blob,
//! `{"text":"HEX"}` a text that is not UTF-8, `{"real":"inf"}` a number that JSON cannot write.
//!
//! The user's file is never opened as a database, so nothing comes to be beside it and no lock of its
//! tool is touched: it is copied with its write-ahead log or journal into a folder of our own, and
//! copied again if one of them changed meanwhile. What is read is the copy. Nothing in it is believed:
//! only real tables are read, none of its code runs with trust, and sizes and steps are bounded.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, Row};
use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::files::SourceFile;
use crate::formats::{self, FORMATS, Format, Found, Table, Tables};
use crate::frame::Frame;
use crate::json::to_hex;
use crate::limits;
use crate::source::Content;

/// What stands beside a database while it is not all in its file.
const SIDES: [&str; 3] = ["", "-wal", "-journal"];
/// The part of a session that is its row.
const STATE: &str = "session.jsonl";
/// Steps between two looks at how many there were.
const STEPS: i32 = 10_000;

/// Lines of one session, in a file of ours that goes when nobody reads it any more.
pub(crate) struct Rows {
    folder: Arc<TempDir>,
    range: Range<u64>,
}

impl Rows {
    pub(crate) fn open(&self) -> io::Result<impl Read + Send> {
        let mut file = File::open(rows_path(&self.folder))?;
        file.seek(SeekFrom::Start(self.range.start))?;
        Ok(file.take(self.range.end - self.range.start))
    }
}

/// Whether a file begins like a database.
pub(crate) fn is_database(head: &[u8]) -> bool {
    head.starts_with(b"SQLite format 3\0")
}

/// The sessions of a database, each with its records and, as a part beside them, its row.
pub(crate) fn sessions(
    path: &Path,
    forced: Option<&'static dyn Format>,
) -> Result<Vec<SourceFile>> {
    let folder = Arc::new(tempfile::tempdir().map_err(Error::io(path))?);
    let bytes = copy(path, &folder)?;
    let connection = open(&copy_path(&folder), bytes).map_err(database(path))?;
    let known = |format: &&'static dyn Format| {
        format.tables().is_some_and(|tables| are_there(&connection, tables).unwrap_or(false))
    };
    let all: Vec<_> = forced.map_or_else(|| FORMATS.to_vec(), |format| vec![format]);
    let Some(format) = all.into_iter().find(known) else {
        return Err(Error::Unrecognized { path: path.to_owned(), expected: formats::names() });
    };
    let Some(tables) = format.tables() else { return Ok(Vec::new()) };
    let mut writing = Writing::new(path, &folder, bytes)?;
    let mut files = Vec::new();
    let mut put = |session: Option<&Value>, state: bool, range: Range<u64>| {
        let session = session.and_then(|id| match id {
            Value::Text(text) => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            _ => None,
        });
        let found = if state { Found::beside(session, STATE) } else { Found::main(session) };
        files.push(SourceFile {
            path: path.to_owned(),
            len: range.end - range.start,
            format,
            found,
            frame: if state { Frame::State } else { Frame::Lines },
            content: Content::Rows(Rows { folder: Arc::clone(&folder), range }),
        });
    };
    let read = Reading { connection: &connection, tables };
    for id in read.ids().map_err(database(path))? {
        let begin = writing.at;
        read.records(&id, &mut writing)?;
        put(Some(&id), false, begin..writing.at);
        let begin = writing.at;
        read.state(&id, &mut writing)?;
        if writing.at > begin {
            put(Some(&id), true, begin..writing.at);
        }
    }
    let begin = writing.at;
    read.lost_parts(&mut writing)?;
    if writing.at > begin {
        put(None, false, begin..writing.at);
    }
    writing.out.flush().map_err(Error::io(path))?;
    for file in files_of(&copy_path(&folder)) {
        // What the copy held is in the rows; a failure leaves it to the folder's end.
        let _ = fs::remove_file(file);
    }
    Ok(files)
}

fn copy_path(folder: &TempDir) -> PathBuf {
    folder.path().join("copy")
}

fn rows_path(folder: &TempDir) -> PathBuf {
    folder.path().join("rows")
}

fn side_path(path: &Path, side: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(side);
    name.into()
}

fn database(path: &Path) -> impl Fn(rusqlite::Error) -> Error {
    move |why| Error::Database { path: path.to_owned(), why: format!("cannot be read: {why}") }
}

/// Size and time of writing of a database's files, those that are there.
type Looks = Vec<Option<(u64, Option<SystemTime>)>>;

fn looks(path: &Path) -> Looks {
    let look = |path: PathBuf| {
        let data = fs::metadata(path).ok()?;
        Some((data.len(), data.modified().ok()))
    };
    files_of(path).map(look).collect()
}

/// The files that a database may be in.
pub(crate) fn files_of(path: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    SIDES.iter().map(move |side| side_path(path, side))
}

/// Copies a database as it is at one moment; answers its size in bytes.
fn copy(path: &Path, folder: &TempDir) -> Result<u64> {
    for _ in 0..limits::COPIES {
        let before = looks(path);
        let bytes = before.iter().flatten().map(|(len, _)| len).sum();
        if bytes > limits::DATABASE_BYTES {
            let limit = limits::DATABASE_BYTES;
            return Err(Error::TooLarge { what: "bytes of a database", limit, found: bytes });
        }
        for (side, look) in SIDES.iter().zip(&before) {
            let to = side_path(&copy_path(folder), side);
            let copied = match look {
                Some(_) => fs::copy(side_path(path, side), &to).map(|_| ()),
                None => fs::remove_file(&to),
            };
            // A side that went away shows in the second look.
            copied.or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(Error::io(path)(error)),
            })?;
        }
        if looks(path) == before {
            return Ok(bytes);
        }
    }
    let why = "its tool writes to it all the time; try again when that is idle".to_owned();
    Err(Error::Database { path: path.to_owned(), why })
}

fn open(copy: &Path, bytes: u64) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(copy, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, limits::VALUE_BYTES)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    let mut left = limits::STEPS_PER_BYTE.saturating_mul(bytes + (100 << 20)) / STEPS as u64;
    let is_over = move || {
        left = left.saturating_sub(1);
        left == 0
    };
    connection.progress_handler(STEPS, Some(is_over))?;
    Ok(connection)
}

/// Whether a database has these tables, as tables.
fn are_there(connection: &Connection, tables: &Tables) -> rusqlite::Result<bool> {
    let has = |table: &str, columns: &[&str]| -> rusqlite::Result<bool> {
        let is_table = "SELECT count(*) FROM sqlite_schema WHERE name = ?1 AND type = 'table' \
            AND sql NOT LIKE 'create virtual%'";
        let count: i64 = connection.query_row(is_table, [table], |row| row.get(0))?;
        let of_that_name = "SELECT count(*) FROM pragma_table_info(?1) WHERE name = ?2";
        let mut all = count == 1;
        for column in columns {
            let count: i64 =
                connection.query_row(of_that_name, [table, column], |row| row.get(0))?;
            all &= count == 1;
        }
        Ok(all)
    };
    let mut all = has(tables.session, &["id"])?;
    for table in std::iter::once(&tables.record).chain(&tables.part) {
        let columns: Vec<_> =
            table.order.iter().copied().chain(["id", table.of, table.also]).collect();
        all = all && has(table.name, &columns)?;
    }
    Ok(all)
}

/// The lines of all sessions, on their way into one file.
struct Writing<'p> {
    path: &'p Path,
    out: BufWriter<File>,
    at: u64,
    limit: u64,
}

impl<'p> Writing<'p> {
    fn new(path: &'p Path, folder: &TempDir, bytes: u64) -> Result<Self> {
        let file = File::create_new(rows_path(folder)).map_err(Error::io(path))?;
        let value = u64::from(limits::VALUE_BYTES.unsigned_abs());
        let limit = limits::ROW_BYTES_PER_BYTE.saturating_mul(bytes).saturating_add(value);
        Ok(Self { path, out: BufWriter::new(file), at: 0, limit })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len() as u64;
        if self.at > self.limit {
            let (limit, found) = (self.limit, self.at);
            return Err(Error::TooLarge { what: "bytes of a database's rows", limit, found });
        }
        self.out.write_all(bytes).map_err(Error::io(self.path))
    }
}

/// A database whose tables are known.
struct Reading<'c> {
    connection: &'c Connection,
    tables: &'static Tables,
}

impl Reading<'_> {
    /// Ids of all sessions, also of those that have records and no row. Makes the indexes that the
    /// reading needs: those of the file may be anything.
    fn ids(&self) -> rusqlite::Result<Vec<Value>> {
        let (session, Table { name, of, .. }) = (self.tables.session, &self.tables.record);
        let index = |name: &str, columns: &str| {
            let make = format!("CREATE INDEX treering_{name} ON {name} ({columns})");
            self.connection.execute(&make, [])
        };
        index(session, "id")?;
        for table in std::iter::once(&self.tables.record).chain(&self.tables.part) {
            index(table.name, &format!("{}, {}", table.of, table.order.join(", ")))?;
        }
        let all = format!("SELECT id FROM {session} UNION SELECT {of} FROM {name} ORDER BY 1");
        let mut statement = self.connection.prepare(&all)?;
        // One more than may be loaded, so that too many are refused.
        statement.query_map([], |row| row.get(0))?.take(limits::FILES + 1).collect()
    }

    /// The columns of a table that `*` stands for. A damaged file may call them anything.
    fn names(&self, table: &str) -> rusqlite::Result<Vec<String>> {
        let all = "SELECT CAST(name AS BLOB) FROM pragma_table_xinfo(?1) WHERE hidden <> 1";
        let mut statement = self.connection.prepare_cached(all)?;
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let names = statement.query_map([table], |row| Ok(lossy(row.get_ref(0)?.as_blob()?)));
        names?.collect()
    }

    /// Writes a line for each record of a session.
    fn records(&self, session: &Value, out: &mut Writing<'_>) -> Result<()> {
        let error = database(out.path);
        let Tables { record, part, .. } = self.tables;
        let mut statement = self.connection.prepare_cached(&rows_of(record)).map_err(&error)?;
        let names = self.names(record.name).map_err(&error)?;
        let id_at = names.iter().position(|name| name == "id").unwrap_or(0);
        let mut rows = statement.query([session]).map_err(&error)?;
        while let Some(row) = rows.next().map_err(&error)? {
            let mut line = format!("{{\"{}\":", record.name).into_bytes();
            put_row(&mut line, row, &names).map_err(&error)?;
            if let Some(part) = part {
                let id: Value = row.get(id_at).map_err(&error)?;
                line.extend(format!(",\"{}\":", part.name).bytes());
                self.put_parts(&mut line, part, &id).map_err(&error)?;
            }
            line.extend(b"}\n");
            out.put(&line)?;
        }
        Ok(())
    }

    fn put_parts(&self, line: &mut Vec<u8>, part: &Table, of: &Value) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(&rows_of(part))?;
        let names = self.names(part.name)?;
        let mut rows = statement.query([of])?;
        let mut before = b'[';
        while let Some(row) = rows.next()? {
            line.push(std::mem::replace(&mut before, b','));
            put_row(line, row, &names)?;
        }
        line.extend(if before == b'[' { &b"[]"[..] } else { b"]" });
        Ok(())
    }

    /// Writes the row of a session.
    fn state(&self, session: &Value, out: &mut Writing<'_>) -> Result<()> {
        let name = self.tables.session;
        let rows =
            format!("SELECT * FROM {name} INDEXED BY treering_{name} WHERE id IS ?1 LIMIT 1");
        self.lines(name, &rows, &[session], ["", ""], out)
    }

    /// Writes a line for each part whose record is not there.
    fn lost_parts(&self, out: &mut Writing<'_>) -> Result<()> {
        let Some(part) = &self.tables.part else { return Ok(()) };
        let (Table { name, of, .. }, record) = (part, self.tables.record.name);
        let known = format!("SELECT id FROM {record} WHERE id IS NOT NULL");
        let rows = format!("SELECT * FROM {name} WHERE {of} IS NULL OR {of} NOT IN ({known})");
        self.lines(name, &rows, &[], ["[", "]"], out)
    }

    fn lines(
        &self,
        name: &str,
        rows: &str,
        parameters: &[&Value],
        around: [&str; 2],
        out: &mut Writing<'_>,
    ) -> Result<()> {
        let error = database(out.path);
        let mut statement = self.connection.prepare_cached(rows).map_err(&error)?;
        let names = self.names(name).map_err(&error)?;
        let parameters = rusqlite::params_from_iter(parameters);
        let mut rows = statement.query(parameters).map_err(&error)?;
        while let Some(row) = rows.next().map_err(&error)? {
            let mut line = format!("{{\"{name}\":{}", around[0]).into_bytes();
            put_row(&mut line, row, &names).map_err(&error)?;
            line.extend(around[1].bytes().chain(*b"}\n"));
            out.put(&line)?;
        }
        Ok(())
    }
}

fn rows_of(Table { name, of, order, .. }: &Table) -> String {
    let order = order.join(", ");
    format!("SELECT * FROM {name} INDEXED BY treering_{name} WHERE {of} IS ?1 ORDER BY {order}")
}

/// Writes a row as a JSON object.
fn put_row(line: &mut Vec<u8>, row: &Row<'_>, names: &[String]) -> rusqlite::Result<()> {
    let mut before = b'{';
    for (at, name) in names.iter().enumerate().take(row.as_ref().column_count()) {
        line.push(std::mem::replace(&mut before, b','));
        put_text(line, name);
        line.push(b':');
        put_value(line, row.get_ref(at)?);
    }
    line.push(b'}');
    Ok(())
}

fn put_value(line: &mut Vec<u8>, value: ValueRef<'_>) {
    let mut tagged = |tag: &str, value: &str| {
        line.extend(format!("{{\"{tag}\":\"{value}\"}}").bytes());
    };
    match value {
        ValueRef::Null => line.extend(b"null"),
        ValueRef::Integer(number) => line.extend(number.to_string().bytes()),
        ValueRef::Real(number) => match serde_json::Number::from_f64(number) {
            Some(number) => line.extend(number.to_string().bytes()),
            None => tagged("real", &number.to_string()),
        },
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => put_text(line, text),
            Err(_) => tagged("text", &to_hex(bytes)),
        },
        ValueRef::Blob(bytes) => tagged("blob", &to_hex(bytes)),
    }
}

fn put_text(line: &mut Vec<u8>, text: &str) {
    // Writing a string to memory cannot fail.
    let _ = serde_json::to_writer(line, text);
}
