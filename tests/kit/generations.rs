//! A real session compacted down again and again while it goes on: what is still visible to the model
//! after each generation, told from the entries themselves and not by what made the summaries.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use treering_compactor::{Compactor, RunOptions, draft_tokens};
use treering_interchange::{Input, message};
use treering_policy::Policy;
use treering_provider::{
    ByteClasses, Error as ProviderError, Ledger, Summarizer, SummaryJob, TokenCounter as _,
};
use treering_tree::context::Source;
use treering_tree::{
    Body, Context, Counted, Counter, Draft, Envelope, Expect, Id, Kind, Message, Options, Part,
    RedbStore, Replay, Role, Session, Sources, Store, Stored, Summary,
};

/// Characters of an ask by which it is known again, blanks made one.
const ASK_CHARS: usize = 160;
/// Tools that change the file they are given.
const WRITERS: [&str; 3] = ["edit", "write", "create"];

/// One entry as it goes in.
#[derive(Clone, Debug)]
pub struct Piece {
    envelope: Envelope,
    body: Body,
    tokens: u32,
}

/// How many of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// So many.
    pub found: usize,
    /// Of so many.
    pub of: usize,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} of {}", self.found, self.of))
    }
}

/// What one generation came to.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Entries that were appended before it.
    pub appended: usize,
    /// Size of the context before and after, in tokens.
    pub tokens: (u64, u64),
    /// Why it did nothing, where it did.
    pub skipped: Option<String>,
    /// What the user asked for that the model still sees, verbatim or in the summary.
    pub asks: Share,
    /// Files that were changed and are named as changed.
    pub files: Share,
    /// Files that are named as changed, and were not.
    pub wrong_files: usize,
    /// Entries that the model neither sees nor any summarizer was given.
    pub unaccounted: usize,
    /// What is missing, for people.
    pub missing: Vec<String>,
}

impl Generation {
    /// Whether nothing is missing.
    pub fn holds(&self) -> bool {
        let all = |share: Share| share.found == share.of;
        self.skipped.is_none()
            && self.tokens.1 < self.tokens.0
            && all(self.asks)
            && all(self.files)
            && (self.wrong_files, self.unaccounted) == (0, 0)
    }
}

/// The entries on the active path of a session file of any tool. Cuts of the tool itself are left out:
/// here others are made.
pub async fn of_file(path: &Path) -> Result<Vec<Piece>, String> {
    let store = store();
    let counter = ByteClasses::default();
    let count = |message: &Message| Counted {
        tokens: treering_provider::count_message(&counter, message),
        counter: Counter::named(counter.id()),
    };
    let options = treering_interchange::Options {
        count: &count,
        format: None,
        at_ms: 0,
        progress: &mut |_| {},
    };
    let inputs = vec![Input::Path(path.to_owned())];
    let reports = treering_interchange::load(&*store, inputs, options).await;
    let reports = reports.map_err(|error| error.to_string())?;
    let report = reports.first().ok_or("no session in it")?;
    let head = store.session(&report.session).await.map_err(|error| error.to_string())?.head;
    let entries = Replay::new(store, head).collect().await.map_err(|error| error.to_string())?;
    let own = entries.iter().filter(|stored| stored.place.kind != Kind::Compaction);
    Ok(own.filter_map(piece).collect())
}

fn piece(stored: &Stored) -> Option<Piece> {
    let envelope = Envelope { parent: None, target: None, ..stored.entry.envelope().clone() };
    Some(Piece { envelope, body: stored.entry.body()?.clone(), tokens: stored.place.tokens })
}

/// The entries of messages in our own words, one JSON object per line; lines without one are left out.
pub fn of_lines(lines: &str) -> Vec<Piece> {
    let line = |(at, line): (i64, &str)| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let message: Message = serde_json::from_value(line.get("message")?.clone()).unwrap();
        let kind = Kind::from_name(line["kind"].as_str()?)?;
        let (calls, answers) = (message.calls(), message.answers());
        let slot = line["slot"].as_str().map(str::to_owned);
        let envelope = Envelope { calls, answers, slot, ..Envelope::new(kind, at) };
        let body = message.body();
        let tokens = draft_tokens(&ByteClasses::default(), kind, &body);
        Some(Piece { envelope, body, tokens })
    };
    (0..).zip(lines.lines()).filter_map(line).collect()
}

fn store() -> Arc<dyn Store> {
    Arc::new(RedbStore::in_memory(Options::new(Sources::fixed(1))).unwrap())
}

/// The ledger, and who was told of what.
#[derive(Default)]
struct Recorded {
    told: Mutex<BTreeSet<Id>>,
}

#[async_trait]
impl Summarizer for Recorded {
    async fn summarize(&self, job: SummaryJob) -> Result<Summary, ProviderError> {
        self.told.lock().unwrap().extend(job.entries.iter().map(|entry| entry.id));
        Ledger::new().of(&job)
    }

    fn name(&self) -> &'static str {
        "recorded"
    }
}

/// Plays the pieces in as many parts as there are to be generations, and compacts after each.
pub async fn run(pieces: &[Piece], generations: usize, policy: &Policy) -> Vec<Generation> {
    let sources = Sources::fixed(2);
    let session = Session::new(store(), "work", sources.clone());
    let recorded = Arc::new(Recorded::default());
    let compactor = Compactor::new(Arc::new(ByteClasses::default()), Arc::clone(&recorded) as _);
    let options = RunOptions { force: true, ..RunOptions::default() };
    let mut done = Vec::new();
    for part in pieces.chunks(pieces.len().div_ceil(generations).max(1)) {
        for piece in part {
            let (envelope, body) = (piece.envelope.clone(), piece.body.clone());
            let draft = Draft::with(envelope, sources.nonce(), body).tokens(piece.tokens);
            session.append(draft, Expect::Any).await.unwrap();
        }
        let result = compactor.run(&session, policy, &options).await.unwrap();
        let path = session.replay().await.unwrap().collect().await.unwrap();
        let context = session.context().await.unwrap();
        let told = recorded.told.lock().unwrap().clone();
        let mut generation = account(&path, &context, &told);
        generation.appended = part.len();
        generation.tokens = (result.tokens_before, result.tokens_after);
        generation.skipped = result.skipped_reason.map(|reason| reason.to_string());
        done.push(generation);
    }
    done
}

/// What of the path the model still sees.
fn account(path: &[Stored], context: &Context, told: &BTreeSet<Id>) -> Generation {
    let summary = context.items.iter().find(|item| item.source == Source::Summary);
    let summary = summary.map_or_else(String::new, |item| said(&item.stored).plain());
    let verbatim: Vec<&Stored> = context
        .items
        .iter()
        .filter(|item| item.source != Source::Summary)
        .map(|item| &item.stored)
        .collect();
    let shown: BTreeSet<Id> = verbatim.iter().map(|stored| stored.place.id).collect();
    let mut missing = Vec::new();
    let flat = one_line(&summary, usize::MAX);
    let asked = path.iter().filter(|stored| stored.place.kind == Kind::User);
    let asked = asked.map(|stored| (stored.place.id, one_line(&said(stored).plain(), ASK_CHARS)));
    let asked: Vec<(Id, String)> = asked.filter(|(_, ask)| !ask.is_empty()).collect();
    let seen = asked.iter().filter(|(id, ask)| {
        let seen = shown.contains(id) || flat.contains(ask.as_str());
        if !seen {
            missing.push(format!("ask {}: {ask}", id.short()));
        }
        seen
    });
    let asks = Share { found: seen.count(), of: asked.len() };

    let (root, mut named) = named_as_changed(&summary);
    named.extend(changed(verbatim.into_iter(), &root));
    let expected = changed(path.iter(), &root);
    missing.extend(expected.difference(&named).map(|file| format!("file {file}")));
    missing.extend(named.difference(&expected).map(|file| format!("not changed: {file}")));
    let found = expected.intersection(&named).count();

    let lost = path.iter().filter(|stored| {
        let place = &stored.place;
        let counts = place.kind.has_place_in_context() && place.kind != Kind::Compaction;
        counts && !told.contains(&place.id) && !shown.contains(&place.id)
    });
    let lost: Vec<String> = lost.map(|stored| stored.place.id.short()).collect();
    let unaccounted = lost.len();
    missing.extend(lost.into_iter().map(|id| format!("entry {id}")));
    Generation {
        appended: 0,
        tokens: (0, 0),
        skipped: None,
        asks,
        files: Share { found, of: expected.len() },
        wrong_files: named.len() - found,
        unaccounted,
        missing,
    }
}

/// A message's words, for reading.
struct Said(Message);

impl Said {
    /// Its plain words.
    fn plain(&self) -> String {
        let text = |part: &Part| match part {
            Part::Text { text } => Some(text.clone()),
            _ => None,
        };
        self.0.parts.iter().filter_map(text).collect::<Vec<_>>().join(" ")
    }
}

fn said(stored: &Stored) -> Said {
    let body = stored.entry.body();
    let own = body.and_then(|body| Summary::from_body(body).ok());
    Said(match (own, body) {
        (Some(summary), _) => Message::text(Role::User, summary.text),
        (None, Some(body)) => message(stored.place.kind, body),
        (None, None) => Message::erased(stored.entry.envelope()),
    })
}

fn one_line(text: &str, chars: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let line: String = line.chars().filter(|c| !c.is_control()).take(chars).collect();
    line.trim_end().to_owned()
}

/// Files that calls changed whose results are no errors; relative to `root`.
fn changed<'s>(entries: impl Iterator<Item = &'s Stored>, root: &str) -> BTreeSet<String> {
    let mut pending: HashMap<String, String> = HashMap::new();
    let mut files = BTreeSet::new();
    for stored in entries {
        for part in said(stored).0.parts {
            match part {
                Part::ToolCall { id, name, arguments }
                    if WRITERS.contains(&name.to_ascii_lowercase().as_str()) =>
                {
                    let path =
                        ["path", "file_path"].iter().find_map(|key| arguments[*key].as_str());
                    pending.extend(path.map(|path| (id, relative(path, root))));
                }
                Part::ToolResult { call, error, .. } => {
                    files.extend(pending.remove(&call).filter(|_| !error));
                }
                _ => {}
            }
        }
    }
    // What has no result yet may have changed it.
    files.extend(pending.into_values());
    files
}

fn relative(path: &str, root: &str) -> String {
    let inside = path.strip_prefix(root).and_then(|rest| rest.strip_prefix('/'));
    let path = inside.filter(|_| !root.is_empty()).unwrap_or(path);
    path.strip_prefix("./").unwrap_or(path).to_owned()
}

/// The directory of a ledger's text, and the files it marks as changed.
fn named_as_changed(summary: &str) -> (String, BTreeSet<String>) {
    let root = summary.lines().find_map(|line| line.strip_prefix("Directory: ")).unwrap_or("");
    let shelf = summary.split_once("## Files\n").map_or("", |(_, rest)| rest);
    let mut files = BTreeSet::new();
    for line in shelf.lines().take_while(|line| !line.starts_with("## ")) {
        let line = line.rsplit_once(" [").map_or(line, |(line, _)| line);
        let (folder, names) = line.split_once(": ").unwrap_or((".", line));
        for name in names.split(' ').filter_map(|name| name.strip_suffix('*')) {
            let name = name.trim_matches('"');
            files.insert(if folder == "." { name.to_owned() } else { format!("{folder}/{name}") });
        }
    }
    (root.to_owned(), files.iter().map(|file| relative(file, root)).collect())
}
