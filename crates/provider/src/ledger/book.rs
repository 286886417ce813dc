//! The ledger as data: what one generation hands to the next, so that nothing is read back from
//! prose. Serialized beside the text of its summary.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of this layout; a ledger of another version is not read.
const VERSION: u32 = 1;
/// Share of a score that is left after one generation, in thousandths.
const DECAY: u64 = 700;

// What a ledger may hold from one generation to the next.
pub(super) const ASKS: usize = 256;
const NAMES: usize = 2_000;
const UNCHANGED_FILES: usize = 1_000;
const CHANGED_FILES: usize = 20_000;
pub(super) const FAILURES: usize = 64;
pub(super) const COMMANDS: usize = 64;
pub(super) const TODOS: usize = 256;
pub(super) const DECISIONS: usize = 64;
/// Bytes of a foreign summary that is carried as prose.
const PROSE_BYTES: usize = 16 << 10;

/// Everything a ledger knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Book {
    pub version: u32,
    /// Compactions it went through, this one included.
    pub generation: u32,
    /// Entries it stands for.
    pub entries: u64,
    /// The directory paths are relative to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// What the user asked for, oldest first.
    pub asks: Vec<Ask>,
    /// Asks that were dropped, over the limit.
    pub asks_dropped: u64,
    pub files: Vec<File>,
    pub names: Vec<Name>,
    /// The last failure of each command that has not succeeded since.
    pub failures: Vec<Failure>,
    pub commands: Vec<Command>,
    pub todos: Vec<Todo>,
    pub decisions: Vec<Remark>,
    /// The agent's last substantial text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_words: Option<Remark>,
    /// A summary that came without a ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prose: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ask {
    pub text: String,
    /// First 12 digits of the source entry's id; so in all of these.
    pub source: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct File {
    pub path: String,
    pub reads: u64,
    /// Writes and edits that did not fail.
    pub writes: u64,
    /// Writes and edits that failed.
    #[serde(default)]
    pub failed: u64,
    pub score: u64,
    /// Where among all entries it was named last.
    pub seen: u64,
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Name {
    pub text: String,
    pub score: u64,
    /// Where among all entries it was named last.
    pub seen: u64,
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub command: String,
    pub line: String,
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Command {
    pub text: String,
    pub runs: u64,
    /// Whether the last run failed.
    pub failed: bool,
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Todo {
    pub text: String,
    /// Whether it stands in a tool's list, which is replaced as a whole.
    pub listed: bool,
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Remark {
    pub text: String,
    pub score: u64,
    pub source: String,
}

impl File {
    /// Whether a tool touched it; else it was only mentioned.
    pub(super) fn is_used(&self) -> bool {
        self.reads + self.writes + self.failed > 0
    }

    /// Its last two parts.
    pub(super) fn tail(&self) -> &str {
        let mut slashes = self.path.rmatch_indices('/').map(|(at, _)| at + 1);
        slashes.nth(1).map_or(&self.path, |at| &self.path[at..])
    }

    /// What shows of other paths where this one stands: its name, and every two parts of it.
    pub(super) fn tails(&self) -> impl Iterator<Item = &str> {
        let path = self.path.as_str();
        let mut before = [0, 0];
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let pairs = ends.map(move |end| {
            let start = before[0];
            before = [before[1], end + 1];
            &path[start..end]
        });
        pairs.chain(path.rsplit('/').next())
    }

    /// Whether it may as well be two words with a slash between (`and/or`).
    pub(super) fn is_words(&self) -> bool {
        let letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphabetic());
        let mut parts = self.path.split('/');
        matches!((parts.next(), parts.next(), parts.next()), (Some(one), Some(two), None) if letters(one) && letters(two))
    }

    /// Written or edited at least once.
    pub(super) fn is_changed(&self) -> bool {
        self.writes > 0
    }
}

impl Book {
    /// The ledger of the generation before, aged by one; an empty one where there is none.
    pub(super) fn continued(previous: Option<&Value>) -> Option<Self> {
        let book: Self = serde_json::from_value(previous?.clone()).ok()?;
        (book.version == VERSION).then(|| book.aged())
    }

    fn aged(mut self) -> Self {
        let decay = |score: &mut u64| *score = score.saturating_mul(DECAY) / 1_000;
        self.names.iter_mut().for_each(|name| decay(&mut name.score));
        self.decisions.iter_mut().for_each(|remark| decay(&mut remark.score));
        let unchanged = self.files.iter_mut().filter(|file| !file.is_changed());
        unchanged.for_each(|file| decay(&mut file.score));
        self
    }

    /// Puts everything in its order and within its limit.
    pub(super) fn close(&mut self) {
        self.version = VERSION;
        self.generation = self.generation.saturating_add(1);
        self.files.sort_by(|a, b| {
            let rank = |file: &File| (file.is_changed(), file.score);
            rank(b).cmp(&rank(a)).then_with(|| a.path.cmp(&b.path))
        });
        let changed = self.files.iter().take_while(|file| file.is_changed()).count();
        self.files.truncate(changed.min(CHANGED_FILES) + UNCHANGED_FILES);
        self.names.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.text.cmp(&b.text)));
        self.names.truncate(NAMES);
        self.rank_decisions();
        keep_last(&mut self.failures, FAILURES);
        keep_last(&mut self.commands, COMMANDS);
        keep_last(&mut self.todos, TODOS);
        self.trim_asks();
    }

    /// Keeps what is worth most.
    pub(super) fn rank_decisions(&mut self) {
        self.decisions.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.text.cmp(&b.text)));
        self.decisions.truncate(DECISIONS);
    }

    /// Keeps the first ask and the newest ones, which matter most.
    pub(super) fn trim_asks(&mut self) {
        if self.asks.len() > ASKS {
            let dropped = self.asks.len() - ASKS;
            self.asks.drain(1..=dropped);
            self.asks_dropped += dropped as u64;
        }
    }

    /// Carries prose that came without a ledger, or above one.
    pub(super) fn carry(&mut self, prose: &str) {
        let mut end = prose.len().min(PROSE_BYTES);
        while !prose.is_char_boundary(end) {
            end -= 1;
        }
        self.prose = Some(prose[..end].to_owned()).filter(|prose| !prose.is_empty());
    }

    pub(super) fn to_value(&self) -> Value {
        // Strings and numbers only: nothing of it can fail to encode.
        serde_json::to_value(self).unwrap_or_default()
    }
}

pub(super) fn keep_last<T>(items: &mut Vec<T>, limit: usize) {
    items.drain(..items.len().saturating_sub(limit));
}
