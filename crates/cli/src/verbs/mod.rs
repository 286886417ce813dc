//! One file per verb: what it takes, which calls it makes, what it prints.

pub(crate) mod append;
pub(crate) mod branches;
pub(crate) mod compact;
pub(crate) mod compact_store;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod erase;
pub(crate) mod export;
pub(crate) mod fork;
pub(crate) mod import;
pub(crate) mod label;
pub(crate) mod left;
pub(crate) mod log;
pub(crate) mod man;
pub(crate) mod moved;
pub(crate) mod pin;
pub(crate) mod policy;
pub(crate) mod providers;
pub(crate) mod prune;
pub(crate) mod recall;
pub(crate) mod recover;
pub(crate) mod rewind;
pub(crate) mod scan;
pub(crate) mod scrub;
pub(crate) mod sessions;
pub(crate) mod show;
pub(crate) mod stats;
pub(crate) mod switch;
pub(crate) mod tree;
pub(crate) mod undo;
pub(crate) mod verify;

use treering_tree::Kind;

use crate::app::App;
use crate::args::Verb;
use crate::failure::Result;

/// Runs one verb to its end.
pub(crate) async fn run(app: &mut App, verb: Verb) -> Result<()> {
    match verb {
        Verb::Demo(args) => demo::run(app, &args).await,
        Verb::Import(args) => import::run(app, args).await,
        Verb::Export(args) => export::run(app, &args).await,
        Verb::Sessions(args) => sessions::run(app, &args).await,
        Verb::Log(args) => log::run(app, &args).await,
        Verb::Tree(args) => tree::run(app, &args).await,
        Verb::Show(args) => show::run(app, &args).await,
        Verb::Branches(args) => branches::run(app, &args).await,
        Verb::Stats(args) => stats::run(app, &args).await,
        Verb::Context(args) => context::run(app, &args).await,
        Verb::Recall(args) => recall::run(app, &args).await,
        Verb::Compact(args) => compact::run(app, &args).await,
        Verb::Policy(args) => policy::run(app, &args),
        Verb::Append(args) => append::run(app, args).await,
        Verb::Rewind(args) => rewind::run(app, &args).await,
        Verb::Fork(args) => fork::run(app, &args).await,
        Verb::Switch(args) => switch::run(app, &args).await,
        Verb::Label(args) => label::run(app, &args).await,
        Verb::Pin(args) => pin::run(app, &args, Kind::Pin).await,
        Verb::Unpin(args) => pin::run(app, &args, Kind::Unpin).await,
        Verb::Prune(args) => prune::run(app, args).await,
        Verb::Erase(args) => erase::run(app, args).await,
        Verb::Undo(args) => undo::run(app, &args).await,
        Verb::Verify(args) => verify::run(app, &args).await,
        Verb::Scan(args) => scan::run(app, &args).await,
        Verb::Scrub(args) => scrub::run(app, &args).await,
        Verb::Recover(args) => recover::run(app, &args),
        Verb::CompactStore(args) => compact_store::run(app, &args).await,
        Verb::Doctor(args) => doctor::run(app, args).await,
        Verb::Config(args) => config::run(app, &args),
        Verb::Completions(args) => completions::run(app, &args),
        Verb::Man(args) => man::run(app, &args),
    }
}
