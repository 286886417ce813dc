//! Writes repaired copies of foreign sessions in the format they came in: every branch with messages
//! as a sound session of its own. It never touches an original and never writes over a file.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use treering_tree::{Id, Replay};

use crate::doctor::{Diagnosis, DoctorOptions, Finding, Patient, diagnose};
use crate::error::{Error, Result};
use crate::export::plain_name;
use crate::files::Input;
use crate::heads::heads;
use crate::render::{Loss, Target, Transcript, render};
use crate::sessions::Sessions;

/// A copy that was written, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rescued {
    /// Name of the session.
    pub session: String,
    /// Its first file.
    pub original: String,
    /// The branch.
    pub branch: String,
    /// The copy; `None` where the format of the session cannot be written, or nothing on the branch
    /// says anything.
    pub copy: Option<PathBuf>,
    /// Messages on the branch.
    pub messages: u64,
    /// What the copy does not hold as it was.
    pub losses: Vec<Loss>,
    /// What was wrong with the session.
    pub findings: Vec<Finding>,
}

/// Rescues the sessions in which [`doctor`](crate::doctor()) finds something: into `folder`, which is
/// made where it is not there, each branch as `SESSION.jsonl` or `SESSION.BRANCH.jsonl` with its
/// report beside it as `.report.json`.
///
/// # Errors
/// As `doctor`, and `Storage` where a file is there already or cannot be written.
pub async fn rescue(
    inputs: Vec<Input>,
    folder: &Path,
    options: DoctorOptions<'_>,
) -> Result<Vec<Rescued>> {
    let sessions = Sessions::find(inputs, options.format)?;
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let mut all = Vec::new();
    for group in &sessions.groups {
        let patient = diagnose(group, options).await?;
        if !patient.diagnosis.is_sound() {
            all.extend(copies(&patient, folder).await?);
        }
    }
    Ok(all)
}

async fn copies(patient: &Patient, folder: &Path) -> Result<Vec<Rescued>> {
    let Patient { store, diagnosis } = patient;
    let session = diagnosis.session.as_str();
    let target = match diagnosis.format.as_str() {
        "pi" => Some(Target::Pi),
        "claude-code" => Some(Target::ClaudeCode),
        _ => None,
    };
    let Some(target) = target else { return Ok(vec![untouched(diagnosis)]) };
    let branches = heads(&**store, session).await?;
    if branches.is_empty() {
        // Nothing of it could be read.
        return Ok(vec![untouched(diagnosis)]);
    }
    let mut all = Vec::new();
    for branch in branches {
        let Some(head) = branch.head else { continue };
        let name = copy_name(session, &branch.name);
        let mut rescued = Rescued { branch: branch.name, ..untouched(diagnosis) };
        if copy(patient, head, target, &folder.join(name), &mut rescued).await? {
            all.push(rescued);
        }
    }
    Ok(all)
}

fn untouched(diagnosis: &Diagnosis) -> Rescued {
    Rescued {
        session: diagnosis.session.clone(),
        original: diagnosis.files.first().cloned().unwrap_or_default(),
        branch: String::new(),
        copy: None,
        messages: 0,
        losses: Vec::new(),
        findings: diagnosis.findings.clone(),
    }
}

/// Writes the copy of one branch and its report, if it has messages.
async fn copy(
    patient: &Patient,
    head: Id,
    target: Target,
    path: &Path,
    rescued: &mut Rescued,
) -> Result<bool> {
    let session = rescued.session.clone();
    let replay = Replay::new(patient.store.clone(), Some(head));
    let entries = replay.collect().await.map_err(Error::tree(&session))?;
    let said = entries.iter().filter(|stored| stored.place.kind.has_place_in_context());
    rescued.messages = said.count() as u64;
    if rescued.messages == 0 {
        return Ok(false);
    }
    let name = path.file_stem().map_or(session.clone(), |stem| stem.to_string_lossy().into_owned());
    let rendered = render(target, &Transcript::of_path(name, &entries));
    rescued.losses = rendered.losses;
    if rendered.bytes.is_empty() {
        return Ok(true);
    }
    write_new(path, &rendered.bytes)?;
    rescued.copy = Some(path.to_owned());
    // A struct of strings and numbers cannot fail to encode.
    let report = serde_json::to_vec_pretty(rescued).unwrap_or_default();
    write_new(&path.with_extension("report.json"), &report)?;
    Ok(true)
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(Error::io(path))?;
    file.write_all(bytes).map_err(Error::io(path))?;
    file.sync_all().map_err(Error::io(path))
}

/// What the copy of a branch is called: plain characters only, so that no stored text is a path.
fn copy_name(session: &str, branch: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    let session: String = plain_name(session, "session").chars().map(plain).collect();
    let branch: String = branch.chars().map(plain).collect();
    match branch.as_str() {
        treering_tree::MAIN => format!("{session}.jsonl"),
        branch => format!("{session}.{branch}.jsonl"),
    }
}
