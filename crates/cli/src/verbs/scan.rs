//! `scan`: entries that hold what looks like a secret, by id and rule; never the secret.

use treering_tree::redact::{Finding, Rules, Scan, scan};

use crate::app::App;
use crate::failure::{Failure, Group, Result};
use crate::output::text::{count, counted};
use crate::output::{Out, progress, style};
use crate::resolve::SCAN_PAGE;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(app: &mut App, _: &Args) -> Result<()> {
    let store = app.store()?;
    let rules = Rules::known()?;
    let scanning = async {
        let mut all = Scan::default();
        while let page = scan(&*store, &rules, all.next.unwrap_or(0), SCAN_PAGE).await?
            && page.entries > 0
        {
            all.findings.extend(page.findings);
            (all.entries, all.next) = (all.entries + page.entries, page.next);
        }
        Ok::<_, Failure>(all)
    };
    let Scan { findings, entries, .. } = progress::during("scanning", scanning).await?;
    if app.out.json() {
        findings.iter().try_for_each(|finding| app.out.object(finding))?;
    } else {
        print(&mut app.out, &findings, entries)?;
    }
    outcome(&findings)
}

fn print(out: &mut Out, findings: &[Finding], entries: u64) -> Result<()> {
    for Finding { id, rule, count: times } in findings {
        let id = out.paint(&id.short(), style::ID);
        let rule = out.paint(rule, style::BAD);
        out.line(format!("{id} {rule}, {}", counted(*times as u64, "time", "times")))?;
    }
    let entries = counted(entries, "entry", "entries");
    Ok(out.line(format!("{entries} scanned, {} found", count(findings.len() as u64)))?)
}

/// A failed check where something was found.
fn outcome(findings: &[Finding]) -> Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    let found = counted(findings.len() as u64, "likely secret", "likely secrets");
    let failure = Failure::new(Group::Failed, format!("the store holds {found}"));
    Err(failure.hint("`treering show ENTRY` shows one, `treering erase SESSION ENTRY` erases it"))
}
