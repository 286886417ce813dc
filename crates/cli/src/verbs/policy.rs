//! `policy`: what a set of rules comes to for a window. Opens no store.

use serde::Serialize;
use treering_policy::{Budget, Policy, Preset};

use crate::app::App;
use crate::config::{Config, Flags, Key, RULES};
use crate::failure::Result;
use crate::output::text::count;
use crate::output::{Out, style};

/// The rules of compaction that the settings come to.
pub(crate) fn policy(config: &Config) -> Policy {
    let preset = config.text(Key::Preset).and_then(Preset::from_name).unwrap_or(Preset::Nexus);
    let rules = preset.policy(config.count(Key::Window).unwrap_or(0));
    Policy {
        reserve: config.count(Key::Reserve).or(rules.reserve),
        keep_recent_turns: config.count(Key::KeepTurns).or(rules.keep_recent_turns),
        ..rules
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    rules: Flags<RULES>,
}

#[derive(Serialize)]
struct Object {
    threshold: u64,
    strict: bool,
    reserve: u64,
    keep_turns: Option<u64>,
    keep_tokens: Option<u64>,
    low_water: u64,
    emergency: u64,
}

impl From<Budget> for Object {
    fn from(budget: Budget) -> Self {
        let Budget { threshold, strict, reserve, keep_turns, keep_tokens, .. } = budget;
        let Budget { low_water, emergency, .. } = budget;
        Self { threshold, strict, reserve, keep_turns, keep_tokens, low_water, emergency }
    }
}

pub(crate) fn run(app: &mut App, args: &Args) -> Result<()> {
    let object = Object::from(policy(&app.config.under(&args.rules)).budget());
    if app.out.json() { Ok(app.out.object(&object)?) } else { print(&mut app.out, &object) }
}

fn print(out: &mut Out, object: &Object) -> Result<()> {
    let unlimited = || "not limited".to_owned();
    let passes = if object.strict { "over" } else { "from" };
    let facts = [
        ("threshold", format!("{passes} {}", count(object.threshold))),
        ("reserve", count(object.reserve)),
        ("keep turns", object.keep_turns.map_or_else(unlimited, count)),
        ("keep tokens", object.keep_tokens.map_or_else(unlimited, count)),
        ("low water", count(object.low_water)),
        ("emergency", format!("over {}", count(object.emergency))),
    ];
    for (name, fact) in facts {
        let name = out.paint(&format!("{name:12}"), style::DIM);
        out.line(format!("{name}{fact}"))?;
    }
    Ok(())
}
