//! `doctor PATH...`: what makes other tools fail on their own sessions, and sound copies of them.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use treering_interchange::{Diagnosis, DoctorOptions, Finding, Input, Rescued, doctor, rescue};
use treering_tree::{Options, RedbStore, Store};

use crate::app::App;
use crate::defaults;
use crate::failure::{Failure, Group, Result};
use crate::output::table::{Column, Table};
use crate::output::text::{count, counted, name};
use crate::output::{Out, progress, style};

/// Findings of one session that people are shown.
const SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files, folders or globs
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Take the files for this format instead of looking at their content
    #[arg(long, value_name = "F")]
    format: Option<String>,
    /// Write sound copies of what is not sound into this folder; originals stay as they are
    #[arg(long, value_name = "DIR")]
    rescue: Option<PathBuf>,
}

#[derive(Serialize)]
struct Object<'a> {
    #[serde(flatten)]
    diagnosis: &'a Diagnosis,
    #[serde(skip_serializing_if = "Option::is_none")]
    rescued: Option<Vec<&'a Rescued>>,
}

pub(crate) async fn run(app: &mut App, args: Args) -> Result<()> {
    let sources = app.sources.clone();
    let scratch = || {
        let store = RedbStore::in_memory(Options::new(sources.clone()))?;
        Ok(Arc::new(store) as Arc<dyn Store>)
    };
    let options = DoctorOptions {
        scratch: &scratch,
        count: &defaults::message_size,
        format: args.format.as_deref(),
    };
    let inputs: Vec<Input> = args.paths.into_iter().map(Input::Path).collect();
    let all = progress::during("examining", doctor(inputs.clone(), options)).await?;
    let rescued = match &args.rescue {
        Some(folder) => Some(progress::during("rescuing", rescue(inputs, folder, options)).await?),
        None => None,
    };
    if app.out.json() {
        all.iter()
            .try_for_each(|diagnosis| app.out.object(&object(diagnosis, rescued.as_deref())))?;
    } else {
        print(&mut app.out, &all, rescued.as_deref().unwrap_or_default())?;
    }
    outcome(&all, args.rescue.is_some())
}

fn object<'a>(diagnosis: &'a Diagnosis, rescued: Option<&'a [Rescued]>) -> Object<'a> {
    let first = diagnosis.files.first();
    let is_its = |copy: &&Rescued| {
        copy.session == diagnosis.session && first.is_none_or(|file| *file == copy.original)
    };
    Object { diagnosis, rescued: rescued.map(|all| all.iter().filter(is_its).collect()) }
}

/// A failed check where something is not sound.
fn outcome(all: &[Diagnosis], rescued: bool) -> Result<()> {
    let unsound = all.iter().filter(|diagnosis| !diagnosis.is_sound()).count() as u64;
    if unsound == 0 {
        return Ok(());
    }
    let message = format!("{} of {} not sound", counted(unsound, "session", "sessions"), all.len());
    let failure = Failure::new(Group::Failed, message);
    Err(if rescued { failure } else { failure.hint("--rescue DIR writes sound copies") })
}

fn print(out: &mut Out, all: &[Diagnosis], rescued: &[Rescued]) -> Result<()> {
    let mut table = Table::new([
        Column::left("session", style::BOLD),
        Column::left("format", style::PLAIN),
        Column::right("entries", style::PLAIN),
        Column::right("leaves", style::PLAIN),
        Column::right("compactions", style::PLAIN),
        Column::right("context", style::PLAIN),
        Column::right("shown", style::PLAIN),
        Column::right("hidden", style::PLAIN),
        Column::right("findings", style::BAD),
    ]);
    table.print(out, &all.iter().map(cells).collect::<Vec<_>>())?;
    for diagnosis in all {
        for finding in diagnosis.findings.iter().take(SHOWN) {
            print_finding(out, finding)?;
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

fn print_finding(out: &mut Out, finding: &Finding) -> Result<()> {
    let place = out.foreign(&format!("{}:{}", finding.file, finding.line));
    let place = out.paint(&place, style::LABEL);
    let kind = out.paint(&name(&finding.kind), style::BAD);
    Ok(out.line(format!("{place}: {kind} {}", out.foreign(&finding.detail)))?)
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

fn cells(diagnosis: &Diagnosis) -> [String; 9] {
    [
        diagnosis.session.clone(),
        diagnosis.format.clone(),
        count(diagnosis.entries),
        count(diagnosis.leaves),
        count(diagnosis.compactions),
        count(diagnosis.context_tokens),
        count(diagnosis.shown_messages),
        count(diagnosis.hidden_messages),
        count(findings(diagnosis)),
    ]
}
