//! What an import did, as a table or as objects.

use serde::Serialize;
use treering_interchange::{Repair, SessionReport};

use crate::failure::Result;
use crate::output::faults::{self, Fault};
use crate::output::table::{Column, Table};
use crate::output::text::{count, name};
use crate::output::{Out, style};

#[derive(Serialize)]
pub(super) struct Row<'a> {
    session: &'a str,
    format: &'a str,
    entries: u64,
    added: u64,
    branches: u64,
    leaves: u64,
    compactions: u64,
    repairs: &'a [Repair],
}

pub(super) fn reports(out: &mut Out, reports: &[SessionReport]) -> Result<()> {
    if out.json() {
        return Ok(reports.iter().try_for_each(|report| out.object(&row(report)))?);
    }
    let mut table = Table::new([
        Column::left("session", style::BOLD),
        Column::left("format", style::PLAIN),
        Column::right("entries", style::PLAIN),
        Column::right("added", style::PLAIN),
        Column::right("branches", style::PLAIN),
        Column::right("leaves", style::PLAIN),
        Column::right("compactions", style::PLAIN),
        Column::right("repairs", style::PLAIN),
    ]);
    table.print(out, &reports.iter().map(cells).collect::<Vec<_>>())?;
    reports.iter().try_for_each(|report| repairs(out, &report.repairs))
}

/// The first repair of each kind, and how many more there are.
pub(super) fn repairs(out: &mut Out, repairs: &[Repair]) -> Result<()> {
    let mut kinds: Vec<(&Repair, u64)> = Vec::new();
    for repair in repairs {
        match kinds.iter_mut().find(|(first, _)| first.kind == repair.kind) {
            Some((_, more)) => *more += 1,
            None => kinds.push((repair, 0)),
        }
    }
    for (Repair { kind, file, line, detail }, more) in kinds {
        let kind = name(kind);
        let more =
            if more > 0 { format!("(and {} more {kind})", count(more)) } else { String::new() };
        faults::print(out, &Fault { file, line: *line, kind: "", detail, more: &more })?;
    }
    Ok(())
}

pub(super) fn row(report: &SessionReport) -> Row<'_> {
    Row {
        session: &report.session,
        format: &report.format,
        entries: report.entries,
        added: report.added,
        branches: report.branches,
        leaves: report.leaves,
        compactions: report.compactions,
        repairs: &report.repairs,
    }
}

fn cells(report: &SessionReport) -> [String; 8] {
    [
        report.session.clone(),
        report.format.clone(),
        count(report.entries),
        count(report.added),
        count(report.branches),
        count(report.leaves),
        count(report.compactions),
        count(report.repairs.len() as u64 + report.repairs_left_off),
    ]
}
