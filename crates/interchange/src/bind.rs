//! Binds the branches that a session's files call for, where that changes something. A branch that
//! has moved on in the store is left where it is.

use std::collections::{HashMap, HashSet};

use treering_tree::{Expect, Id, MAIN, Move, To};

use crate::batch::Batch;
use crate::branches::Plan;
use crate::error::Result;
use crate::heads::heads;
use crate::limits;
use crate::loom::Loom;
use crate::names::fitting;
use crate::report::{RepairKind, SessionReport};
use crate::stored::Survey;

/// The branch that a file's conversation goes to where the session's own has moved on.
const UPSTREAM: &str = "upstream";

/// Branches of the records beside the trees, and their newest entries.
pub(crate) type Asides = Vec<(String, Option<Id>)>;

/// The moves that take the branches of a session to where its files call for, and which branch to make
/// active. Where nothing new came, what has moved stays.
pub(crate) async fn bind(
    batch: &Batch<'_>,
    loom: &Loom,
    survey: &Survey,
    plan: &Plan,
    asides: &Asides,
    report: &mut SessionReport,
) -> Result<(Vec<Move>, Option<String>)> {
    let is_new = batch.put > 0;
    if plan.left_off > 0 {
        let (left_off, limit) = (plan.left_off, limits::BRANCHES);
        let detail = format!("{left_off} leaves over the limit of {limit} have no branch");
        report.mend(RepairKind::TooManyBranches, "", 1, detail);
    }
    let bound = asides.iter().filter(|(_, id)| id.is_some()).count();
    report.branches = (plan.heads.len() + bound) as u64;
    if report.entries == 0 {
        return Ok((Vec::new(), None));
    }
    // None where the first change of the session is still under way.
    let there = heads(batch.store, batch.session).await?;
    let there: HashMap<String, Option<Id>> =
        there.into_iter().map(|branch| (branch.name, branch.head)).collect();
    let mut nodes: HashSet<Id> = survey.superseded.clone();
    if !there.is_empty() {
        nodes.extend(loom.ids());
    }
    let head = |name: &str| there.get(name).copied().flatten();
    let mut moves = Vec::new();
    for (name, node) in &plan.heads {
        let to = loom.id(*node);
        match head(name) {
            None => moves.push(move_to(name, None, to)),
            Some(from) if from == to || !is_new => {}
            Some(from) if nodes.contains(&from) => moves.push(move_to(name, Some(from), to)),
            // The file was rewritten: what it held before keeps a branch.
            Some(from) if survey.records.contains(&from) => {
                let kept = (1_u64..).map(|number| fitting(format!("{name}-replaced-{number}")));
                let kept = kept.into_iter().find(|kept| !there.contains_key(kept));
                moves.extend(kept.map(|kept| move_to(&kept, None, from)));
                moves.push(move_to(name, Some(from), to));
            }
            Some(_) if name == MAIN => {
                let detail =
                    format!("{MAIN} has moved on; the file's conversation is on {UPSTREAM}");
                report.mend(RepairKind::MovedBranch, "", 1, detail);
                moves.push(move_to(UPSTREAM, head(UPSTREAM), to));
            }
            Some(_) => {}
        }
    }
    for (name, id) in asides {
        let from = head(name);
        let id = id.filter(|to| from.is_none() || (is_new && from != Some(*to)));
        moves.extend(id.map(|to| move_to(name, from, to)));
    }
    // A session that these moves make would take the first of them for its active branch.
    let main = plan.heads.iter().find(|(name, _)| name == MAIN).or(plan.heads.first());
    let activate = main.filter(|_| there.is_empty()).map(|(name, _)| name.clone());
    Ok((moves, activate))
}

fn move_to(branch: &str, from: Option<Id>, to: Id) -> Move {
    let expect = from.map_or(Expect::Empty, Expect::Head);
    Move { branch: Some(branch.to_owned()), expect, to: To::Entry(to) }
}
