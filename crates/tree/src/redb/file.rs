//! Opening and creating the file of a store. A store comes to be under a temporary name and gets its
//! own only when it is whole, so that no crash leaves half of one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Builder, Database, StorageBackend};

use super::Options;
use super::ahead::Ahead;
use super::direct::Direct;
use super::fault::{STORE_FILE, guarded};
use super::keyring::Keyring;
use super::layout::{Layout, PAGE_BYTES, Region};
use super::log::Log;
use super::publish::{Taken, publish};
use super::rows::{Counters, FORMAT, Identity};
use super::sharing::Sharing;
use super::shelter::Shelter;
use super::switch::{Switch, Switched};
use super::tables::WriteTables;
use crate::error::{Error, Result};

/// Bytes of pages kept while a store is created.
const CREATING_BYTES: usize = 1 << 20;

/// Bytes read of the note of who holds a store.
const NOTE_BYTES: u64 = 4_096;

/// Where the bytes of a store are.
#[derive(Clone)]
pub(super) enum Place {
    /// In a file.
    File(PathBuf),
    /// In memory, gone with the handle.
    Memory,
    /// Wherever the backends of this factory keep them: each call opens the same bytes again.
    Custom(Arc<BackendFactory>),
}

/// Makes a backend over the same bytes, each time it is called.
pub type BackendFactory = dyn Fn() -> io::Result<Box<dyn StorageBackend>> + Send + Sync;

/// What a database is kept in.
struct Bytes {
    backend: Box<dyn StorageBackend>,
    /// The same, open for writes past the page cache.
    past: Option<File>,
    writes_ahead: bool,
}

impl Bytes {
    fn of(backend: Box<dyn StorageBackend>) -> Self {
        Self { backend, past: None, writes_ahead: false }
    }
}

/// A database, and where its log is.
pub(super) struct Opened {
    pub(super) database: Database,
    /// What tells whether its file still has its name; none where it has none.
    pub(super) named: Option<Named>,
    /// What the database sees of the file.
    pub(super) region: Region,
    layout: Layout,
    writes_ahead: bool,
}

impl Opened {
    /// The log; its records are read from the first of this generation on.
    pub(super) fn log(&self, generation: u64) -> Log {
        let backend = Arc::clone(&self.region.backend);
        Log::new(backend, self.layout.log(), self.writes_ahead, generation)
    }
}

/// Opens the database, which is created where there is none. `switch` cuts it off later.
pub(super) fn open(place: &Place, options: &Options, switch: &Switch) -> Result<Opened> {
    let open = |bytes| database(bytes, options, switch.clone(), options.sharing);
    match place {
        Place::File(path) => {
            if !exists(path)? {
                create(path, options)?;
            }
            let file = open_existing(path, true)?;
            let named = Named::new(path, &file)?;
            let past = options.gathers().then(|| named.open_past_cache()).flatten();
            let backend = Box::new(guarded(|| Ok(FileBackend::new(file)?))?);
            let store = open(Bytes { backend, past, writes_ahead: options.write_ahead })
                .map_err(|error| locked(error, path))?;
            // A rewrite may have put another file there before this one was locked.
            named.check()?;
            Ok(Opened { named: Some(named), ..store })
        }
        Place::Memory => fresh(open(Bytes::of(Box::new(InMemoryBackend::new())))?, options),
        Place::Custom(factory) => {
            let backend = factory().map_err(|cause| storage("opening the backend", cause))?;
            let is_new = backend.len().map_err(|cause| storage("reading the length", cause))? == 0;
            let store = open(Bytes::of(backend))?;
            if is_new { fresh(store, options) } else { Ok(store) }
        }
    }
}

/// Opens the database there is for reading: what redb has to mend it mends in memory.
pub(super) fn open_sheltered(place: &Place, options: &Options, switch: &Switch) -> Result<Opened> {
    let backend: Box<dyn StorageBackend> = match place {
        Place::File(path) => {
            let file = open_existing(path, false)?;
            Box::new(guarded(|| Ok(FileBackend::new(file)?))?)
        }
        Place::Memory => return Err(Error::NotFound { what: "store", name: "in memory".into() }),
        Place::Custom(factory) => {
            factory().map_err(|cause| storage("opening the backend", cause))?
        }
    };
    let shelter = Shelter::new(backend).map_err(|cause| storage("reading the length", cause))?;
    database(Bytes::of(Box::new(shelter)), options, switch.clone(), Sharing::Exclusive)
}

fn exists(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => Ok(true),
        Ok(meta) => {
            let what = if meta.is_dir() { "a directory" } else { "no regular file" };
            Err(Error::invalid("store path", format!("{} is {what}", path.display())))
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(looking_at(path, cause)),
    }
}

fn open_existing(path: &Path, writes: bool) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(writes);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NOFOLLOW.bits().cast_signed(),
    );
    let doing = |what: &str| format!("{what} {}", path.display());
    let file = options.open(path).map_err(|cause| storage(&doing("opening"), cause))?;
    check_owner(path, &file)?;
    let mut start = Vec::new();
    let read = (&file).take(PAGE_BYTES as u64).read_to_end(&mut start);
    read.map_err(|cause| storage(&doing("reading"), cause))?;
    if Layout::read(&start).is_some() {
        return Ok(file);
    }
    let detail = format!("{} is no store, or its first bytes are damaged", path.display());
    Err(Error::corrupt(STORE_FILE, detail))
}

/// Refuses what another user has made, who could read along and write what is not checked.
fn check_owner(path: &Path, file: &File) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let owner = file.metadata().map_err(|cause| looking_at(path, cause))?.uid();
        let own = rustix::process::geteuid().as_raw();
        if owner != own {
            let why = format!(
                "{} belongs to user {owner}, this is user {own}: `chown` it, or be that user",
                path.display()
            );
            return Err(Error::invalid("store path", why));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, file);
    Ok(())
}

/// A file and the name it was opened by, which may come to be another one's.
#[derive(Clone, Debug)]
pub(super) struct Named {
    path: PathBuf,
    /// Device and inode, where files have such.
    is: Option<(u64, u64)>,
}

impl Named {
    fn new(path: &Path, file: &File) -> Result<Self> {
        let opened = file.metadata().map_err(|cause| looking_at(path, cause))?;
        // The process may go to another folder.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(Self { path, is: identity(&opened) })
    }

    /// The file again, for writes past the page cache, where there are such.
    fn open_past_cache(&self) -> Option<File> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::OFlags;
            use std::os::unix::fs::OpenOptionsExt as _;

            let flags = OFlags::DIRECT | OFlags::NOFOLLOW;
            let mut options = OpenOptions::new();
            options.read(true).write(true).custom_flags(flags.bits().cast_signed());
            let file = options.open(&self.path).ok()?;
            // The name may be another file's by now.
            (identity(&file.metadata().ok()?) == self.is).then_some(file)
        }
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// Refuses a name that is another file's now, or none's: what is written to this one, nobody who opens
    /// that name finds.
    pub(super) fn check(&self) -> Result<()> {
        let now = match identity_of(&self.path) {
            Ok(now) => now,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
            Err(cause) => return Err(looking_at(&self.path, cause)),
        };
        if now == self.is {
            return Ok(());
        }
        let detail = format!(
            "{} was replaced or removed while it was open; open it again",
            self.path.display()
        );
        Err(Error::Storage { detail, source: None })
    }
}

/// Device and inode of what has a name. Their times are not asked for: since Linux 6.13 a file whose times were
/// looked at gets new ones with its next write, and the sync behind that may have to write the inode as well,
/// which takes half as long again.
#[cfg(target_os = "linux")]
fn identity_of(path: &Path) -> io::Result<Option<(u64, u64)>> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
    use rustix::io::Errno;

    match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::INO) {
        Ok(found) => {
            let device = makedev(found.stx_dev_major, found.stx_dev_minor);
            Ok(Some((device, found.stx_ino)))
        }
        // Old kernels and some sandboxes know no such call.
        Err(Errno::NOSYS | Errno::PERM) => fs::symlink_metadata(path).map(|meta| identity(&meta)),
        Err(cause) => Err(cause.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn identity_of(path: &Path) -> io::Result<Option<(u64, u64)>> {
    fs::symlink_metadata(path).map(|meta| identity(&meta))
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "elsewhere there is none")]
fn identity(meta: &fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    Some((meta.dev(), meta.ino()))
}

/// Elsewhere a file that is open keeps its name.
#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Option<(u64, u64)> {
    None
}

fn looking_at(path: &Path, cause: io::Error) -> Error {
    storage(&format!("looking at {}", path.display()), cause)
}

fn create(path: &Path, wanted: &Options) -> Result<()> {
    publish(path, wanted, Taken::Stays, |temporary| {
        let doing = |cause| storage(&format!("creating {}", path.display()), cause);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(temporary).map_err(doing)?;
        let backend = Box::new(guarded(|| Ok(FileBackend::new(file)?))?);
        let wanted = wanted.clone().cache_bytes(CREATING_BYTES);
        let alone = Sharing::Exclusive;
        let store = database(Bytes::of(backend), &wanted, Switch::default(), alone)?;
        drop(fresh(store, &wanted)?);
        Ok(())
    })
}

fn database(bytes: Bytes, options: &Options, switch: Switch, sharing: Sharing) -> Result<Opened> {
    let Bytes { backend, past, writes_ahead } = bytes;
    let backend: Arc<dyn StorageBackend> = Arc::new(Switched::new(backend, switch.clone()));
    let layout = Layout::of(&*backend, Layout::new(options.log_bytes));
    let layout = layout.map_err(|cause| storage("reading the first page", cause))?;
    let layout = layout.ok_or_else(|| Error::corrupt(STORE_FILE, "its first page is damaged"))?;
    let region = Region { backend, start: layout.database_at() };
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_bytes);
    let database = guarded(|| {
        // Behind a log, redb's own syncs are few, and each is of many pages.
        if options.gathers() {
            sharing.open(&mut builder, Direct::new(region.clone(), switch, past))
        } else if writes_ahead && !options.durability.is_logged() {
            sharing.open(&mut builder, Ahead::new(region.clone()))
        } else {
            sharing.open(&mut builder, region.clone())
        }
    })?;
    Ok(Opened { database, named: None, region, layout, writes_ahead })
}

/// Gives a new database an identity and all tables, durable when this returns.
fn fresh(store: Opened, options: &Options) -> Result<Opened> {
    let sources = &options.sources;
    let mut identity =
        Identity { format: FORMAT, epoch: [0; 16], secret: [0; 32], created_ms: sources.now_ms() };
    sources.fill(&mut identity.epoch);
    let master = Keyring::new_master(options)?;
    if master.is_none() {
        sources.fill(&mut identity.secret);
    }
    guarded(|| {
        let mut txn = store.database.begin_write()?;
        txn.set_two_phase_commit(true);
        txn.set_quick_repair(true);
        let mut tables = WriteTables::open(&txn)?;
        tables.open_all()?;
        tables.put_identity(&identity)?;
        if let Some(master) = &master {
            tables.put_master(master)?;
        }
        tables.put_counters(&Counters::default())?;
        drop(tables);
        Ok(txn.commit()?)
    })?;
    Ok(store)
}

fn locked(error: Error, path: &Path) -> Error {
    let is_lock = matches!(&error, Error::Storage { source: Some(cause), .. }
        if matches!(cause.downcast_ref::<redb::Error>(), Some(redb::Error::DatabaseAlreadyOpen)));
    if is_lock {
        Error::Locked { path: path.to_owned(), pid: noted_pids(path).first().copied() }
    } else {
        error
    }
}

fn pid_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!(".{name}.pid"))
}

/// Notes who holds the store, beside those it is shared with, for the message another process gets. Only a
/// courtesy: the lock is on the file itself.
pub(super) fn note_pid(path: &Path, sharing: Sharing) {
    let mut pids = if sharing.is_shared() { noted_pids(path) } else { Vec::new() };
    pids.push(std::process::id());
    put_pids(path, &pids);
}

/// Takes the note back.
pub(super) fn remove_pid(path: &Path) {
    let mut pids = noted_pids(path);
    let own = pids.iter().position(|pid| *pid == std::process::id());
    own.map(|at| pids.remove(at));
    put_pids(path, &pids);
}

/// The note is made anew each time: what else may have its name, a link to another file, is not written to.
fn put_pids(path: &Path, pids: &[u32]) {
    let note = pid_path(path);
    let _ = fs::remove_file(&note);
    if pids.is_empty() {
        return;
    }
    let lines: Vec<String> = pids.iter().map(u32::to_string).collect();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let _ = options.open(note).and_then(|mut file| file.write_all(lines.join("\n").as_bytes()));
}

/// Those of the processes noted that are not known to be gone.
fn noted_pids(path: &Path) -> Vec<u32> {
    let is_gone =
        |pid: u32| Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{pid}")).exists();
    let note = pid_path(path);
    let mut lines = String::new();
    if fs::symlink_metadata(&note).is_ok_and(|meta| meta.is_file()) {
        let read = |file: File| file.take(NOTE_BYTES).read_to_string(&mut lines);
        let _ = File::open(&note).and_then(read);
    }
    lines.lines().filter_map(|line| line.trim().parse().ok()).filter(|pid| !is_gone(*pid)).collect()
}

/// An I/O error with what was being done.
pub(super) fn storage(doing: &str, cause: io::Error) -> Error {
    Error::Storage { detail: format!("{doing}: {cause}"), source: Some(Box::new(cause)) }
}

/// The same, of an error that was told before.
pub(super) fn storage_of(detail: String, cause: Option<io::ErrorKind>) -> Error {
    let source = cause.map(|kind| io::Error::new(kind, detail.clone()).into());
    Error::Storage { detail, source }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_gave_way_to_another_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("store"), folder.path().join("rewritten"));
        fs::write(&path, "old").unwrap();
        fs::write(&other, "new").unwrap();
        let named = Named::new(&path, &File::open(&path).unwrap()).unwrap();
        named.check().unwrap();
        fs::rename(other, &path).unwrap();
        assert!(matches!(named.check(), Err(Error::Storage { .. })));
    }
}
