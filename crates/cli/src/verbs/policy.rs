//! `policy`: what a set of rules comes to for a window. Opens no store.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use treering_policy::{Budget, Policy, Preset};

use crate::app::App;
use crate::failure::Result;
use crate::output::text::count;
use crate::output::{Out, style};

/// The rules of compaction, as every verb that needs them takes them.
#[derive(Debug, clap::Args)]
pub(crate) struct Rules {
    /// The rules of another tool, or the recommended ones [default: nexus]
    #[arg(long, value_name = "NAME", value_parser = presets())]
    preset: Option<Preset>,
    /// The model's limit in tokens; without it size never triggers
    #[arg(long, value_name = "N")]
    window: Option<u64>,
    /// Tokens held back of the window, whatever the preset says
    #[arg(long, value_name = "N")]
    reserve: Option<u64>,
    /// User turns kept verbatim, whatever the preset says
    #[arg(long, value_name = "N")]
    keep_turns: Option<u64>,
}

fn presets() -> impl TypedValueParser<Value = Preset> {
    PossibleValuesParser::new(Preset::all().map(Preset::name))
        .try_map(|name| Preset::from_name(&name).ok_or("no preset of that name"))
}

impl Rules {
    pub(crate) fn policy(&self) -> Policy {
        let default = Policy::default();
        let window = self.window.unwrap_or(default.window);
        let rules =
            self.preset.map_or(Policy { window, ..default }, |preset| preset.policy(window));
        Policy {
            reserve: self.reserve.or(rules.reserve),
            keep_recent_turns: self.keep_turns.or(rules.keep_recent_turns),
            ..rules
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    rules: Rules,
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
    let object = Object::from(args.rules.policy().budget());
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
