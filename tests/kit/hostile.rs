//! What is true of any bytes, whoever made them: one function per property. The mutation test, the
//! bombs and the fuzz targets call the same ones. None of them knows what the bytes mean.

use std::sync::Arc;

use serde_json::Value;
use tokio::runtime::Builder;
use treering_interchange::{
    DoctorOptions, Error, Export, FindingKind, Input, Options, RepairKind, SessionReport, Target,
    Transcript, doctor, export_bundle, label, load, message, plain_text, render,
};
use treering_tree::{Context, ErrorKind, RedbStore, Replay, Sources, Store, Stored};

use super::decoders::bundle_comes_back;

/// Branches of a session that are read and rendered.
const BRANCHES_READ: usize = 3;
/// Repairs of which each is a piece of a file that is no record.
const DAMAGE: [RepairKind; 6] = [
    RepairKind::TornLine,
    RepairKind::DamagedLine,
    RepairKind::NulRun,
    RepairKind::ByteOrderMark,
    RepairKind::OverlongLine,
    RepairKind::NotARecord,
];
/// Formats whose files are lines and nothing else: there all damage is a repair.
const OF_LINES: [&str; 6] = ["pi", "claude-code", "codex", "qwen-code", "copilot-cli", "kimi"];

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the store, whole.
    Imported,
    /// No format takes it, and the error says so.
    Refused,
}

/// An empty store in memory.
pub fn store() -> Arc<RedbStore> {
    let options = treering_tree::Options::new(Sources::fixed(7)).idle_checkpoint(None);
    Arc::new(RedbStore::in_memory(options).unwrap())
}

/// Runs a future to its end on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Fails with a description where something does not hold.
pub(crate) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

async fn loaded(
    store: &dyn Store,
    format: Option<&str>,
    name: &str,
    bytes: &[u8],
) -> Result<SessionReport, Error> {
    let input = Input::Bytes { name: name.to_owned(), bytes: bytes.to_vec() };
    loaded_from(store, format, vec![input]).await
}

async fn loaded_from(
    store: &dyn Store,
    format: Option<&str>,
    inputs: Vec<Input>,
) -> Result<SessionReport, Error> {
    let options = Options { count: &|_| 1.into(), format, at_ms: 0, progress: &mut |_| {} };
    load(store, inputs, options).await.map(|mut reports| reports.remove(0))
}

/// Any bytes are imported whole, or refused with the file and the line: nothing is lost on the way
/// in, through the store, or on the way out, and a second time adds nothing.
///
/// # Errors
/// What does not hold.
pub fn imports(format: Option<&str>, name: &str, bytes: &[u8]) -> Result<Outcome, String> {
    block_on(async {
        let store = store();
        let report = match loaded(&*store, format, name, bytes).await {
            Ok(report) => report,
            Err(why) => return is_refusal(format, name, &why),
        };
        if bytes.is_empty() {
            return Ok(Outcome::Imported);
        }
        let added = report.added == report.entries;
        ensure(added, || format!("{} of {} records added", report.added, report.entries))?;
        is_whole(&*store, &report, bytes).await?;
        is_reported(&*store, &report, name, bytes).await?;
        let again = loaded(&*store, format, name, bytes).await.map_err(|why| why.to_string())?;
        let expected = SessionReport { added: 0, ..report.clone() };
        ensure(again == expected, || format!("the second time {again:?}, not {expected:?}"))?;
        is_whole(&*store, &report, bytes).await?;
        is_sound(&*store).await?;
        Ok(Outcome::Imported)
    })
}

/// What is imported can be read by everybody who reads a session: bodies as messages, contexts and
/// paths as every target, all of it as a bundle.
///
/// # Errors
/// What does not hold.
pub fn reads(format: &str, name: &str, bytes: &[u8]) -> Result<(), String> {
    if bytes.is_empty() {
        return Ok(());
    }
    block_on(async {
        let store = store();
        let report = loaded(&*store, Some(format), name, bytes).await;
        is_readable(&store, &report.map_err(|why| why.to_string())?.session).await
    })
}

/// What the first load of a session reports.
///
/// # Errors
/// Why it is refused.
pub fn load_once(format: &str, inputs: Vec<Input>) -> Result<SessionReport, String> {
    let report = block_on(loaded_from(&*store(), Some(format), inputs));
    report.map_err(|why| why.to_string())
}

/// A file that is loaded in two steps ends where one step ends: the store gives its bytes back, and
/// what was there stays.
///
/// # Errors
/// What does not hold.
pub fn grows(format: &str, name: &str, bytes: &[u8], first: usize) -> Result<(), String> {
    let part = &bytes[..first.min(bytes.len())];
    if part.is_empty() {
        return Ok(());
    }
    replaces(format, name, part, bytes)
}

/// Another file of the same name takes the place of the first, or gets a name of its own; a shorter
/// one changes nothing.
///
/// # Errors
/// What does not hold.
pub fn replaces(format: &str, name: &str, one: &[u8], other: &[u8]) -> Result<(), String> {
    if one.is_empty() || other.is_empty() {
        return Ok(());
    }
    block_on(async {
        let store = store();
        let load = async |bytes| {
            loaded(&*store, Some(format), name, bytes).await.map_err(|why| why.to_string())
        };
        let first = load(one).await?;
        let second = load(other).await?;
        let kept = if second.repairs_of(RepairKind::ShrunkFile) > 0 { one } else { other };
        is_exported(&*store, &second.session, kept).await?;
        let export = Export::of(&*store, &second.session).await.map_err(|why| why.to_string())?;
        if first.session != second.session || export.files().len() > 1 {
            is_exported(&*store, &first.session, one).await?;
        }
        is_sound(&*store).await
    })
}

/// The doctor says what it finds of any bytes, and stores nothing.
///
/// # Errors
/// What does not hold.
pub fn looks_ill_or_well(format: &str, name: &str, bytes: &[u8]) -> Result<(), String> {
    let scratch = || Ok(store() as Arc<dyn Store>);
    let options = DoctorOptions { scratch: &scratch, count: &|_| 1.into(), format: Some(format) };
    let input = Input::Bytes { name: name.to_owned(), bytes: bytes.to_vec() };
    let found = block_on(doctor(vec![input], options)).map_err(|why| why.to_string())?;
    for diagnosis in found {
        ensure(diagnosis.bytes == bytes.len() as u64, || format!("{} bytes", diagnosis.bytes))?;
        let unreadable =
            diagnosis.findings.iter().find(|finding| finding.kind == FindingKind::Unreadable);
        ensure(unreadable.is_none(), || format!("{unreadable:?}"))?;
    }
    Ok(())
}

fn is_refusal(format: Option<&str>, name: &str, why: &Error) -> Result<Outcome, String> {
    let told = why.to_string();
    let is_told = told.contains(name) && told.contains("line ");
    ensure(is_told, || format!("refused without file and line: {told}"))?;
    let is_format = format.is_none() && why.kind() == ErrorKind::Format;
    ensure(is_format, || format!("refused though the format was given: {told}"))?;
    Ok(Outcome::Refused)
}

async fn all(store: &dyn Store, session: &str) -> Result<Vec<Stored>, String> {
    let (mut found, mut from) = (Vec::new(), 0);
    loop {
        let page = store.scan(Some(session), from, 1_000).await.map_err(|why| why.to_string())?;
        let Some(last) = page.last() else { return Ok(found) };
        from = last.place.number + 1;
        found.extend(page);
    }
}

fn is_foreign(stored: &Stored) -> bool {
    stored.entry.body().is_some_and(|body| !body.format.starts_with("treering/"))
}

/// Every byte is in one entry: the bodies one after the other are the file, by the store's order
/// alone and by the export.
async fn is_whole(store: &dyn Store, report: &SessionReport, bytes: &[u8]) -> Result<(), String> {
    let entries = all(store, &report.session).await?;
    let bodies = entries.iter().filter(|stored| is_foreign(stored));
    let bodies = bodies.filter_map(|stored| stored.entry.body());
    let joined: Vec<u8> = bodies.flat_map(|body| body.bytes.iter().copied()).collect();
    ensure(joined == bytes, || difference("the bodies", &joined, bytes))?;
    is_exported(store, &report.session, bytes).await
}

async fn is_exported(store: &dyn Store, session: &str, bytes: &[u8]) -> Result<(), String> {
    let export = Export::of(store, session).await.map_err(|why| why.to_string())?;
    let mut written = Vec::new();
    // A session may have several files: what is told of one may make it another than before.
    for index in 0..export.files().len() {
        written.clear();
        export.write(store, index, &mut written).await.map_err(|why| why.to_string())?;
        if written == bytes {
            return Ok(());
        }
    }
    Err(difference("the export", &written, bytes))
}

fn difference(what: &str, found: &[u8], expected: &[u8]) -> String {
    let at = found.iter().zip(expected).position(|(one, other)| one != other);
    let at = at.unwrap_or(found.len().min(expected.len()));
    format!("{what}: {} bytes for {}, different from byte {at} on", found.len(), expected.len())
}

/// Repairs name the file and one of its lines, and what is no record is one of them.
async fn is_reported(
    store: &dyn Store,
    report: &SessionReport,
    name: &str,
    bytes: &[u8],
) -> Result<(), String> {
    let lines = bytes.split(|byte| *byte == b'\n').count() as u64;
    for repair in &report.repairs {
        let of_session = repair.file.is_empty();
        let is_there = of_session || repair.file == name && (1..=lines).contains(&repair.line);
        ensure(is_there, || format!("{repair:?} of a file of {lines} lines"))?;
    }
    if !OF_LINES.contains(&report.format.as_str()) || report.repairs_left_off > 0 {
        return Ok(());
    }
    let entries = all(store, &report.session).await?;
    let is_damage = |stored: &&Stored| {
        stored.entry.body().is_some_and(|body| {
            body.format.ends_with("/raw") && !body.bytes.trim_ascii().is_empty()
        })
    };
    let damaged = entries.iter().filter(is_damage).count();
    let told: usize = DAMAGE.iter().map(|kind| report.repairs_of(*kind)).sum();
    ensure(damaged <= told, || format!("{damaged} pieces are no records, {told} reported"))
}

async fn is_sound(store: &dyn Store) -> Result<(), String> {
    let found = store.verify().await.map_err(|why| why.to_string())?.problems;
    ensure(found.is_empty(), || format!("verify: {:?}", &found[..found.len().min(3)]))
}

async fn is_readable(store: &Arc<RedbStore>, session: &str) -> Result<(), String> {
    for stored in all(&**store, session).await? {
        if let Some(body) = stored.entry.body() {
            drop((plain_text(&message(stored.place.kind, body)), label(body)));
        }
    }
    let branches = store.branches(session, None, 10_000).await.map_err(|why| why.to_string())?;
    for branch in branches.into_iter().filter(|branch| branch.head.is_some()).take(BRANCHES_READ) {
        let Some(head) = branch.head else { continue };
        let context = Context::at(&**store, head).await;
        let context = context.map_err(|why| format!("context of {}: {why}", branch.name))?;
        let replay = Replay::new(Arc::clone(store) as Arc<dyn Store>, Some(head));
        let path = replay.collect().await.map_err(|why| format!("{}: {why}", branch.name))?;
        let transcripts =
            [Transcript::of_context(session, &context), Transcript::of_path(session, &path)];
        for (transcript, target) in
            transcripts.iter().flat_map(|one| Target::all().map(move |t| (one, t)))
        {
            let bytes = render(target, transcript).bytes;
            let read = match target.extension() {
                "json" => serde_json::from_slice::<Value>(&bytes).map(drop),
                "jsonl" => serde_json::Deserializer::from_slice(&bytes)
                    .into_iter::<Value>()
                    .try_for_each(|line| line.map(drop)),
                _ => Ok(()),
            };
            read.map_err(|why| format!("{target} of {}: {why}", branch.name))?;
            let is_text = std::str::from_utf8(&bytes).is_ok();
            ensure(is_text, || format!("{target} of {} is no UTF-8", branch.name))?;
        }
    }
    let mut bundle = Vec::new();
    export_bundle(&**store, session, &mut bundle).await.map_err(|why| why.to_string())?;
    let taken = bundle_comes_back(&bundle).await?;
    ensure(taken, || "its bundle is refused".to_owned())
}
