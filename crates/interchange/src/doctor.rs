//! Looks at foreign sessions for what makes their own tool fail or lie. It writes to the scratch
//! stores it is given and to nothing else, and measures no time.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use treering_tree::{Counted, MAIN, Message, Number, Store, Stored};

use crate::error::{Error, Result};
use crate::files::{Group, Input};
use crate::heads::heads;
use crate::limits;
use crate::load::{Options, load_groups};
use crate::report::{Located, RepairKind, SessionReport};
use crate::sessions::Sessions;

/// How to look.
#[derive(Clone, Copy)]
pub struct DoctorOptions<'a> {
    /// Makes an empty store, one for each session: in memory, as nobody wants it afterwards.
    pub scratch: &'a (dyn Fn() -> treering_tree::Result<Arc<dyn Store>> + Sync),
    /// Size of a message in tokens.
    pub count: &'a (dyn Fn(&Message) -> Counted + Sync),
    /// Name of the format; `None` tells it by the content.
    pub format: Option<&'a str>,
}

impl fmt::Debug for DoctorOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DoctorOptions").field("format", &self.format).finish_non_exhaustive()
    }
}

/// What was found of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Its name.
    pub session: String,
    /// Name of its format.
    pub format: String,
    /// Its files, the one with the conversation first.
    pub files: Vec<String>,
    /// Size of its files in bytes.
    pub bytes: u64,
    /// Records in them.
    pub entries: u64,
    /// Ends of its tree.
    pub leaves: u64,
    /// Compactions in them that count.
    pub compactions: u64,
    /// Size of the current conversation's context in tokens.
    pub context_tokens: u64,
    /// Messages on the path of the current conversation: what its tool shows.
    pub shown_messages: u64,
    /// Messages elsewhere: on other branches, or cut off. None of them is lost here.
    pub hidden_messages: u64,
    /// What makes its tool fail or lie.
    pub findings: Vec<Finding>,
    /// Findings beyond the limit of the list.
    pub findings_left_off: u64,
}

impl Diagnosis {
    /// Whether nothing was found.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.findings_left_off == 0
    }
}

/// One fault.
pub type Finding = Located<FindingKind>;

/// What a fault does to the tool that owns the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FindingKind {
    /// Bytes that are no record: readers skip them, or stop there and cut history.
    DamagedLine,
    /// Two records on a line: readers lose both.
    GluedRecords,
    /// A parent that is missing, or comes later: what is above it is not shown.
    LostParent,
    /// A record that is its own parent: a walk that does not end.
    Cycle,
    /// An id that two records have: one of them is not shown.
    DuplicateId,
    /// A message without an id: it is not shown.
    MissingId,
    /// A call without a result: providers refuse the conversation.
    UnansweredCall,
    /// A result without a call: providers refuse the conversation.
    OrphanResult,
    /// A call without a usable id, or too many: providers refuse the conversation.
    UnpairedCall,
    /// A compaction that keeps nothing of what it should, or parts a call from its result.
    BadCompaction,
    /// A name for an entry that is not there.
    LostTarget,
    /// Records of two writers in turn: each hides what the other wrote.
    TwoWriters,
    /// The session cannot be read at all.
    Unreadable,
}

/// Looks at the sessions that `inputs` hold, one after the other. Nothing is imported anywhere but
/// into scratch stores.
///
/// # Errors
/// `NotFound` for a path where nothing is, `Format` for a file that no format recognizes, those of a
/// scratch store. A session that cannot be read is a finding.
pub async fn doctor(inputs: Vec<Input>, options: DoctorOptions<'_>) -> Result<Vec<Diagnosis>> {
    let mut all = Vec::new();
    for group in &Sessions::find(inputs, options.format)?.groups {
        all.push(diagnose(group, options).await?.diagnosis);
    }
    Ok(all)
}

/// A session with what was found of it.
pub(crate) struct Patient {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) diagnosis: Diagnosis,
}

pub(crate) async fn diagnose(group: &Group, options: DoctorOptions<'_>) -> Result<Patient> {
    let store = (options.scratch)().map_err(Error::tree(&group.session))?;
    let progress = &mut |_| {};
    let load = Options { count: options.count, format: None, at_ms: 0, progress };
    let diagnosis = examine(group, &*store, load).await?;
    Ok(Patient { store, diagnosis })
}

impl Sessions {
    /// Looks at the session at `index`, from 0, in an empty `store`, as [`doctor`] does; empty where there
    /// is none.
    ///
    /// # Errors
    /// Those of the store. A session that cannot be read is a finding.
    pub async fn diagnose(
        &self,
        index: usize,
        store: &dyn Store,
        options: Options<'_>,
    ) -> Result<Diagnosis> {
        match self.groups.get(index) {
            Some(group) => examine(group, store, options).await,
            None => Ok(Diagnosis::default()),
        }
    }
}

async fn examine(group: &Group, store: &dyn Store, load: Options<'_>) -> Result<Diagnosis> {
    let mut diagnosis = Diagnosis {
        session: group.session.clone(),
        format: group.files.first().map_or("", |file| file.format.name()).to_owned(),
        files: group.files.iter().map(crate::files::SourceFile::shown).collect(),
        bytes: group.bytes(),
        ..Diagnosis::default()
    };
    match load_groups(store, std::slice::from_ref(group), false, load).await {
        Ok(reports) => {
            for report in reports {
                diagnosis.take(report);
            }
            // An empty file makes no session to look at.
            if diagnosis.entries > 0 {
                diagnosis.look(store).await?;
            }
        }
        Err(error) => {
            let file = diagnosis.files.first().cloned().unwrap_or_default();
            diagnosis.find(FindingKind::Unreadable, file, 1, error.to_string());
        }
    }
    Ok(diagnosis)
}

impl Diagnosis {
    fn take(&mut self, report: SessionReport) {
        self.session = report.session;
        self.entries = report.entries;
        self.leaves = report.leaves;
        self.compactions = report.compactions;
        self.findings_left_off = report.repairs_left_off;
        for repair in report.repairs {
            if let Some(kind) = finding_of(repair.kind) {
                self.find(kind, repair.file, repair.line, repair.detail);
            }
        }
    }

    fn find(&mut self, kind: FindingKind, file: String, line: u64, detail: String) {
        if self.findings.len() < limits::REPAIRS {
            self.findings.push(Finding { kind, file, line, detail });
        } else {
            self.findings_left_off += 1;
        }
    }

    /// What the tree tells.
    async fn look(&mut self, store: &dyn Store) -> Result<()> {
        let session = self.session.clone();
        let tree = || Error::tree(&session);
        let branches = heads(store, &session).await?;
        let main = branches.into_iter().find(|branch| branch.name == MAIN);
        let mut shown: HashSet<Number> = HashSet::new();
        if let Some(head) = main.and_then(|branch| branch.head) {
            let measure = store.measure(head).await.map_err(tree())?;
            self.context_tokens = measure.tokens;
            let mut depth = 0;
            while depth <= measure.head.depth {
                let end = depth + limits::PAGE as u64;
                let places = store.places(head, depth..end).await.map_err(tree())?;
                shown.extend(places.iter().map(|place| place.number));
                depth = end;
            }
        }
        let mut writers = Writers::default();
        let mut from = 0;
        loop {
            let page = store.scan(Some(&session), from, limits::PAGE).await.map_err(tree())?;
            let Some(last) = page.last() else { break };
            from = last.place.number + 1;
            for stored in &page {
                if stored.place.kind.has_place_in_context() {
                    let is_shown = shown.contains(&stored.place.number);
                    self.shown_messages += u64::from(is_shown);
                    self.hidden_messages += u64::from(!is_shown);
                }
                writers.take(stored);
            }
        }
        // Elsewhere what a tool does at once comes from one writer.
        if self.format == "pi" && writers.returns >= Writers::SUSPECT {
            let file = self.files.first().cloned().unwrap_or_default();
            let detail = format!(
                "records go back {} times to a branch that was left; two programs wrote the file",
                writers.returns
            );
            self.find(FindingKind::TwoWriters, file, 1, detail);
        }
        Ok(())
    }
}

/// Tells two writers by how their records alternate: each goes on where it was itself, not where
/// the file ends.
#[derive(Default)]
struct Writers {
    last: Option<Number>,
    left: HashSet<Number>,
    returns: u64,
}

impl Writers {
    /// One return is what a person does who goes back to another branch.
    const SUSPECT: u64 = 2;

    fn take(&mut self, stored: &Stored) {
        if stored.entry.envelope().alias.is_none() {
            return;
        }
        if let (Some(parent), Some(last)) = (stored.place.parent, self.last)
            && parent != last
        {
            self.returns += u64::from(self.left.remove(&parent));
            self.left.insert(last);
        }
        self.last = Some(stored.place.number);
    }
}

/// What a repair means for the tool; `None` for what is no fault of the file.
fn finding_of(repair: RepairKind) -> Option<FindingKind> {
    Some(match repair {
        RepairKind::TornLine
        | RepairKind::DamagedLine
        | RepairKind::NulRun
        | RepairKind::OverlongLine
        | RepairKind::InvalidUtf8
        | RepairKind::NotARecord => FindingKind::DamagedLine,
        RepairKind::GluedRecords => FindingKind::GluedRecords,
        RepairKind::DanglingParent | RepairKind::LateParent => FindingKind::LostParent,
        RepairKind::SelfParent => FindingKind::Cycle,
        RepairKind::DuplicateId => FindingKind::DuplicateId,
        RepairKind::MissingId => FindingKind::MissingId,
        RepairKind::UnansweredCall => FindingKind::UnansweredCall,
        RepairKind::OrphanResult => FindingKind::OrphanResult,
        RepairKind::UnusableId | RepairKind::TooManyCalls => FindingKind::UnpairedCall,
        RepairKind::MovedCut | RepairKind::UnusableCompaction => FindingKind::BadCompaction,
        RepairKind::DanglingTarget => FindingKind::LostTarget,
        // How the tool itself writes parallel calls, and what only a store can be surprised by.
        _ => return None,
    })
}
