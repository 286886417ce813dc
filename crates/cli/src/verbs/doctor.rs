//! `doctor PATH...`: what makes other tools fail on their own sessions, how long they take to load them,
//! and sound copies of what is not sound.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use treering_interchange::{Diagnosis, DoctorOptions, Finding, Input, Rescued, Sessions, rescue};
use treering_tree::{Context, Options, RedbStore, Session, Sources, Store};

use crate::app::App;
use crate::config::{Flags, SUMMARY};
use crate::defaults;
use crate::failure::{Failure, Group, Result};
use crate::open;
use crate::output::faults::{self, Fault};
use crate::output::progress::{self, Bar};
use crate::output::table::{Column, Table};
use crate::output::text::{count, counted, name};
use crate::output::{Out, style};
use crate::verbs::providers;

/// Findings of one session that people are shown.
const SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files, folders or globs
    #[arg(required_unless_present = "providers", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Take the files for this format instead of looking at their content
    #[arg(long, value_name = "F")]
    format: Option<String>,
    /// Write sound copies of what is not sound into this folder; originals stay as they are
    #[arg(long, value_name = "DIR")]
    rescue: Option<PathBuf>,
    /// Look at the server of the model that summarizes instead: whether it answers, its window, its
    /// count of a sample
    #[arg(long, conflicts_with_all = ["paths", "format", "rescue"])]
    providers: bool,
    #[command(flatten)]
    summary: Flags<SUMMARY>,
}

/// A session with what was found of it, and how long two ways to its conversation take.
#[derive(Serialize)]
struct Examined {
    #[serde(flatten)]
    diagnosis: Diagnosis,
    load_as_its_tool_us: u64,
    load_here_us: u64,
}

#[derive(Serialize)]
struct Object<'a> {
    #[serde(flatten)]
    examined: &'a Examined,
    #[serde(skip_serializing_if = "Option::is_none")]
    rescued: Option<Vec<&'a Rescued>>,
}

pub(crate) async fn run(app: &mut App, args: Args) -> Result<()> {
    if args.providers {
        return providers::run(app, &args.summary).await;
    }
    let inputs: Vec<Input> = args.paths.iter().map(|path| Input::Path(app.at(path))).collect();
    let sessions = Sessions::find(inputs.clone(), args.format.as_deref())?;
    let mut all = Vec::with_capacity(sessions.len());
    let mut bar = Bar::new("examining");
    let mut before = 0;
    for index in 0..sessions.len() {
        let progress = &mut |done| bar.set(before + done, sessions.bytes());
        let examined = examine(&sessions, index, &app.sources, progress).await?;
        before += examined.diagnosis.bytes;
        all.push(examined);
    }
    bar.clear();
    let rescued = match &args.rescue {
        Some(folder) => {
            Some(rescued(inputs, &app.at(folder), args.format.as_deref(), &app.sources).await?)
        }
        None => None,
    };
    if app.out.json() {
        all.iter()
            .try_for_each(|examined| app.out.object(&object(examined, rescued.as_deref())))?;
    } else {
        print(&mut app.out, &all, rescued.as_deref().unwrap_or_default())?;
    }
    outcome(&all, args.rescue.is_some())
}

/// Looks at one session, in a store of its own that is thrown away: in a file, as opening one is timed.
async fn examine(
    sessions: &Sessions,
    index: usize,
    sources: &Sources,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Examined> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("scratch");
    let store = open::scratch(&path, sources)?;
    let load = treering_interchange::Options {
        count: &defaults::message_size,
        format: None,
        at_ms: 0,
        progress: &mut |made| progress(made.done_bytes),
    };
    let diagnosis = sessions.diagnose(index, &store, load).await?;
    store.close();

    let start = Instant::now();
    let store = Arc::new(open::scratch(&path, sources)?);
    context(store, &diagnosis.session, sources).await?;
    let load_here_us = micros(start);
    let start = Instant::now();
    sessions.read_as_its_tool(index)?;
    Ok(Examined { diagnosis, load_as_its_tool_us: micros(start), load_here_us })
}

/// What a model would be given; nothing for a session that could not be read.
async fn context(store: Arc<dyn Store>, session: &str, sources: &Sources) -> Result<()> {
    if store.stats().await?.entries > 0 {
        let session = Session::new(Arc::clone(&store), session, sources.clone());
        if let Some(head) = session.head().await? {
            Context::at(&*store, head).await?;
        }
    }
    Ok(())
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

async fn rescued(
    inputs: Vec<Input>,
    folder: &Path,
    format: Option<&str>,
    sources: &Sources,
) -> Result<Vec<Rescued>> {
    let scratch = || {
        let store = RedbStore::in_memory(Options::new(sources.clone()))?;
        Ok(Arc::new(store) as Arc<dyn Store>)
    };
    let options = DoctorOptions { scratch: &scratch, count: &defaults::message_size, format };
    Ok(progress::during("rescuing", rescue(inputs, folder, options)).await?)
}

fn object<'a>(examined: &'a Examined, rescued: Option<&'a [Rescued]>) -> Object<'a> {
    let diagnosis = &examined.diagnosis;
    let first = diagnosis.files.first();
    let is_its = |copy: &&Rescued| {
        copy.session == diagnosis.session && first.is_none_or(|file| *file == copy.original)
    };
    Object { examined, rescued: rescued.map(|all| all.iter().filter(is_its).collect()) }
}

/// A failed check where something is not sound.
fn outcome(all: &[Examined], rescued: bool) -> Result<()> {
    let unsound = all.iter().filter(|examined| !examined.diagnosis.is_sound()).count() as u64;
    if unsound == 0 {
        return Ok(());
    }
    let message = format!("{} of {} not sound", counted(unsound, "session", "sessions"), all.len());
    let failure = Failure::new(Group::Failed, message);
    Err(if rescued { failure } else { failure.hint("--rescue DIR writes sound copies") })
}

fn print(out: &mut Out, all: &[Examined], rescued: &[Rescued]) -> Result<()> {
    let number = |title| Column::right(title, style::PLAIN);
    let mut table = Table::new([
        Column::left("session", style::BOLD),
        Column::left("format", style::PLAIN),
        number("bytes"),
        number("entries"),
        number("leaves"),
        number("compactions"),
        number("context"),
        number("shown"),
        number("hidden"),
        number("tool ms"),
        number("here ms"),
        Column::right("findings", style::BAD),
    ]);
    table.print(out, &all.iter().map(cells).collect::<Vec<_>>())?;
    for Examined { diagnosis, .. } in all {
        for Finding { kind, file, line, detail } in diagnosis.findings.iter().take(SHOWN) {
            let kind = name(kind);
            faults::print(out, &Fault { file, line: *line, kind: &kind, detail, more: "" })?;
        }
        let more = findings(diagnosis).saturating_sub(SHOWN as u64);
        if more > 0 {
            let session = out.foreign(&diagnosis.session);
            out.line(format!("{session}: {} more; --json has them", count(more)))?;
        }
    }
    rescued.iter().try_for_each(|copy| print_copy(out, copy))
}

fn findings(diagnosis: &Diagnosis) -> u64 {
    diagnosis.findings.len() as u64 + diagnosis.findings_left_off
}

fn print_copy(out: &mut Out, copy: &Rescued) -> Result<()> {
    let Some(path) = &copy.copy else {
        let original = out.foreign(&copy.original);
        return Ok(out.line(format!("{original}: no copy; nothing on it that can be written"))?);
    };
    let path = out.paint(&out.foreign(&path.display().to_string()), style::BOLD);
    let messages = counted(copy.messages, "message", "messages");
    let branch = out.paint(&out.foreign(&copy.branch), style::BRANCH);
    Ok(out.line(format!("{path}  {branch}, {messages}"))?)
}

fn cells(examined: &Examined) -> [String; 12] {
    let Examined { diagnosis, load_as_its_tool_us, load_here_us } = examined;
    let ms = |micros: &u64| format!("{}.{}", count(micros / 1_000), micros / 100 % 10);
    [
        diagnosis.session.clone(),
        diagnosis.format.clone(),
        count(diagnosis.bytes),
        count(diagnosis.entries),
        count(diagnosis.leaves),
        count(diagnosis.compactions),
        count(diagnosis.context_tokens),
        count(diagnosis.shown_messages),
        count(diagnosis.hidden_messages),
        ms(load_as_its_tool_us),
        ms(load_here_us),
        count(findings(diagnosis)),
    ]
}
