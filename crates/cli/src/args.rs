//! What can be typed: flags that every verb takes, and the list of verbs.

use clap::{Parser, Subcommand};

use crate::config::{EVERYWHERE, Flags};
use crate::verbs::{
    append, branches, compact, compact_store, completions, config, context, demo, doctor, erase,
    export, fork, import, label, log, man, pin, policy, prune, recall, recover, rewind, scan,
    scrub, sessions, show, stats, switch, tree, undo, verify,
};

/// The name of the program.
pub(crate) const PROGRAM: &str = "treering";

/// An append-only store for agent sessions: every branch, every rewind, the context at each head.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) settings: Flags<EVERYWHERE>,
    /// Print JSON: one object, or one per line for lists
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print control and bidirectional characters of texts as they are
    #[arg(long, global = true)]
    pub(crate) raw: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const AFTER: &str = "\
SESSION is a name or a unique prefix of one. ENTRY is an id or a unique prefix of one, an alias, a
branch or a label.

Settings come from a flag, else the environment (TREERING_STORE and so on), else .treering.toml here
or above, else your own file, else the default; `treering config` prints them and says from where.

Exit codes: 0 ok, 1 a check failed, 2 usage, 3 not found, 4 conflict, 5 locked, 6 corrupt, 7 other
format, 8 storage, 9 provider.";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Import sessions of other tools, or bundles; a second time only what is new
    Import(import::Args),
    /// Write a session: as the files it came from, in another format, or as a bundle
    Export(export::Args),
    /// Show on a bundled session what this is about
    Demo(demo::Args),
    /// List sessions
    Sessions(sessions::Args),
    /// Print the active path, root to head
    Log(log::Args),
    /// Draw all entries of a session as a graph, linear runs folded
    Tree(tree::Args),
    /// Print one entry in full
    Show(show::Args),
    /// List the branches of a session
    Branches(branches::Args),
    /// Print counts and sizes of the store
    Stats(stats::Args),
    /// Print what a model is given at a head
    Context(context::Args),
    /// Find again what a compaction covers, by words or by id
    Recall(recall::Args),
    /// Put a summary in the place of the older part of the context
    Compact(compact::Args),
    /// Print what a set of compaction rules comes to for a window
    Policy(policy::Args),
    /// Append an entry to the active branch; the first one creates the session
    Append(append::Args),
    /// Move the active branch to another entry; nothing is removed
    Rewind(rewind::Args),
    /// Bind a new branch, or a new session, to an entry; nothing is copied
    Fork(fork::Args),
    /// Make another branch active
    Switch(switch::Args),
    /// Name an entry
    Label(label::Args),
    /// Keep an entry verbatim in the context from the next compaction on
    Pin(pin::Args),
    /// End a pin
    Unpin(pin::Args),
    /// Take back the newest move of heads; entries stay
    Undo(undo::Args),
    /// Take the bodies of entries away for good; ids and ancestry stay
    Erase(erase::Args),
    /// Erase what sessions hold that did not change for long
    Prune(prune::Args),
    /// Recompute everything that can be recomputed and report every contradiction
    Verify(verify::Args),
    /// List entries that hold what looks like a key, a token or a password
    Scan(scan::Args),
    /// Check the next share of the store from the disk; call it now and then
    Scrub(scrub::Args),
    /// Put what is left of a damaged store into a new one
    Recover(recover::Args),
    /// Rewrite the store's file without what was erased and what is free
    CompactStore(compact_store::Args),
    /// Look at sessions of other tools for what makes those fail, or at the server of a model
    Doctor(doctor::Args),
    /// Print every setting and where it comes from
    Config(config::Args),
    /// Print completions for a shell
    Completions(completions::Args),
    /// Print the manual page
    Man(man::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_parser_contradicts_itself_nowhere() {
        super::Args::command().debug_assert();
    }
}
