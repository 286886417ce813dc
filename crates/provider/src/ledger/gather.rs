//! One pass over the entries of a job: everything a ledger keeps, weighed by who said it and when.

use std::collections::HashMap;

use treering_tree::{Kind, Message, Part};

use super::atoms::{Atom, atoms};
use super::book::{self, Ask, Book, Command, Failure, File, Name, Remark, Todo};
use super::lines;
use super::root::Votes;
use super::tools::{Deed, deeds};
use crate::summarizer::{JobEntry, SummaryJob};

/// Bytes of one part that are looked at: as many from its end as from its start.
const PART_BYTES: usize = 256 << 10;
/// Characters of the agent's last words that are kept.
const LAST_WORDS_CHARS: usize = 1_500;
/// The agent's last words are at least this long.
const SUBSTANTIAL_BYTES: usize = 40;

/// Who says something, and so how much a name in it weighs, in thousandths.
#[derive(Clone, Copy, PartialEq)]
enum Voice {
    User = 3_000,
    Agent = 1_000,
    Tool = 500,
}

/// Gathers the entries of a job into the ledger of the generation before.
pub(super) fn gather(job: &SummaryJob) -> Book {
    let previous = job.previous.as_ref();
    let carried = Book::continued(previous.and_then(|summary| summary.ledger.as_ref()));
    let foreign = previous.filter(|_| carried.is_none());
    let mut gatherer = Gatherer::new(carried.unwrap_or_default(), job.entries.len());
    if let Some(summary) = foreign {
        let text = summary.text.trim();
        gatherer.names(Voice::Agent, text);
        gatherer.book.carry(text);
    }
    for entry in &job.entries {
        gatherer.entry(entry);
    }
    if let Some(hint) = &job.hint {
        gatherer.names(Voice::User, hint);
    }
    gatherer.close()
}

struct Gatherer<'j> {
    book: Book,
    file_at: HashMap<String, usize>,
    name_at: HashMap<String, usize>,
    /// What the calls do whose results are still to come.
    calls: HashMap<&'j str, Vec<Deed>>,
    opened: Option<String>,
    votes: Votes,
    /// How recent the present entry is, in thousandths: 300 for the first, 1000 for the last.
    recency: u64,
    /// The present entry among all of all generations, from 1.
    seen: u64,
    source: String,
    before: u64,
    entries: u64,
}

impl<'j> Gatherer<'j> {
    fn new(book: Book, entries: usize) -> Self {
        let keys = |(at, key): (usize, &String)| (key.clone(), at);
        Self {
            file_at: book.files.iter().map(|file| &file.path).enumerate().map(keys).collect(),
            name_at: book.names.iter().map(|name| &name.text).enumerate().map(keys).collect(),
            calls: HashMap::new(),
            opened: None,
            votes: Votes::default(),
            recency: 300,
            seen: book.entries,
            source: String::new(),
            before: book.entries,
            entries: entries as u64,
            book,
        }
    }

    fn entry(&mut self, entry: &'j JobEntry) {
        self.seen += 1;
        self.recency = 300 + 700 * (self.seen - self.before) / self.entries.max(1);
        self.source = entry.id.short();
        match entry.kind {
            Kind::SystemPrompt | Kind::Record | Kind::Pin | Kind::Unpin => {}
            Kind::User => {
                self.ask(&entry.message);
                self.parts(Voice::User, &entry.message);
            }
            Kind::Assistant => {
                self.parts(Voice::Agent, &entry.message);
                self.last_words(&entry.message);
            }
            _ => self.parts(Voice::Agent, &entry.message),
        }
    }

    fn parts(&mut self, voice: Voice, message: &'j Message) {
        for part in &message.parts {
            match part {
                Part::Text { text } => self.said(voice, text),
                Part::Reasoning { text } => self.names(voice, text),
                Part::ToolCall { id, name, arguments } => self.call(id, name, arguments),
                Part::ToolResult { call, text, error } => self.result(call, text, *error),
                _ => {}
            }
        }
    }

    fn ask(&mut self, message: &Message) {
        let text = lines::one_line(&text_of(message), lines::ASK_CHARS);
        if text.is_empty() {
            return;
        }
        // An ask that was made before counts where it was made last, but for the first of all.
        let again = self.book.asks.iter().skip(1).position(|ask| ask.text == text);
        if let Some(at) = again {
            self.book.asks.remove(at + 1);
        }
        let source = self.source.clone();
        self.book.asks.push(Ask { text, source });
        if self.book.asks.len() > 2 * book::ASKS {
            self.book.trim_asks();
        }
    }

    fn last_words(&mut self, message: &Message) {
        let text = lines::one_line(&text_of(message), LAST_WORDS_CHARS);
        if text.len() >= SUBSTANTIAL_BYTES {
            self.book.last_words = Some(Remark { text, score: 0, source: self.source.clone() });
        }
    }

    /// Plain words of the user or the agent.
    fn said(&mut self, voice: Voice, text: &str) {
        self.names(voice, text);
        if voice == Voice::Tool {
            return;
        }
        let (head, tail) = clip(text, PART_BYTES);
        for text in [head, tail] {
            lines::decisions(text, |sentence| self.decision(voice, sentence));
            lines::check_boxes(text, |item, done| self.check_box(item, done));
        }
    }

    fn decision(&mut self, voice: Voice, sentence: &str) {
        let text = lines::one_line(sentence, 2 * lines::LINE_CHARS);
        let mut named = 0;
        atoms(sentence, |_, _| named += 1);
        let weight = voice as u64 + 500 * u64::min(named, 3);
        let score = self.recency * weight / 1_000;
        self.book.decisions.retain(|remark| remark.text != text);
        let source = self.source.clone();
        self.book.decisions.push(Remark { text, score, source });
        if self.book.decisions.len() > 4 * book::DECISIONS {
            self.book.rank_decisions();
        }
    }

    fn check_box(&mut self, item: &str, done: bool) {
        let text = lines::one_line(item, lines::LINE_CHARS);
        self.book.todos.retain(|todo| todo.listed || todo.text != text);
        if !done {
            let source = self.source.clone();
            self.book.todos.push(Todo { text, listed: false, source });
            if self.book.todos.len() > 2 * book::TODOS {
                book::keep_last(&mut self.book.todos, book::TODOS);
            }
        }
    }

    fn call(&mut self, id: &'j str, name: &str, arguments: &serde_json::Value) {
        let mut pending = vec![arguments];
        while let Some(value) = pending.pop() {
            match value {
                serde_json::Value::String(text) => self.names(Voice::Agent, text),
                serde_json::Value::Array(values) => pending.extend(values),
                serde_json::Value::Object(fields) => pending.extend(fields.values()),
                _ => {}
            }
        }
        let mut deeds = deeds(name, arguments);
        for deed in &mut deeds {
            self.deed(deed);
        }
        self.calls.insert(id, deeds);
    }

    fn deed(&mut self, deed: &mut Deed) {
        if let (Deed::WriteOpen, Some(path)) = (&*deed, &self.opened) {
            *deed = Deed::Write(path.clone());
        }
        match deed {
            Deed::Read(path) => {
                self.opened = Some(path.clone());
                self.file(path, 1_000).reads += 1;
            }
            Deed::Write(path) => {
                self.opened = Some(path.clone());
                self.file(path, 3_000).writes += 1;
            }
            Deed::Run(command) => {
                self.votes.command(command);
                self.command(command);
            }
            Deed::Todo(items) => {
                self.book.todos.retain(|todo| !todo.listed);
                let open = items.iter().filter(|(_, done)| !done);
                self.book.todos.extend(open.map(|(text, _)| Todo {
                    text: lines::one_line(text, lines::LINE_CHARS),
                    listed: true,
                    source: self.source.clone(),
                }));
            }
            Deed::Enter(directory) => self.votes.directory(directory),
            Deed::WriteOpen => {}
        }
    }

    fn command(&mut self, command: &str) {
        let key = lines::command_key(command);
        if key.is_empty() {
            return;
        }
        let commands = &mut self.book.commands;
        let found = commands.iter().rposition(|known| known.text == key);
        let runs = found.map_or(0, |at| commands.remove(at).runs);
        commands.push(Command {
            text: key,
            runs: runs + 1,
            failed: false,
            source: self.source.clone(),
        });
        if commands.len() > 2 * book::COMMANDS {
            book::keep_last(commands, book::COMMANDS);
        }
    }

    fn result(&mut self, call: &str, text: &str, error: bool) {
        self.names(Voice::Tool, text);
        for deed in self.calls.remove(call).unwrap_or_default() {
            match deed {
                Deed::Run(command) => {
                    let key = lines::command_key(&command);
                    let failed = error || lines::exit_code(text).is_some_and(|code| code != 0);
                    let known = self.book.commands.iter_mut().rev();
                    if let Some(known) = known.into_iter().find(|known| known.text == key) {
                        known.failed = failed;
                    }
                    self.outcome(key, text, failed);
                }
                Deed::Write(path) => {
                    if error {
                        let file = self.file(&path, 0);
                        file.writes = file.writes.saturating_sub(1);
                        file.failed += 1;
                    }
                    self.outcome(format!("write {path}"), text, error);
                }
                Deed::Read(path) => self.outcome(format!("read {path}"), text, error),
                _ => {}
            }
        }
    }

    fn outcome(&mut self, command: String, text: &str, failed: bool) {
        let failures = &mut self.book.failures;
        failures.retain(|failure| failure.command != command);
        let line = if failed { lines::error_line(text) } else { None };
        failures.extend(line.map(|line| Failure { command, line, source: self.source.clone() }));
        if failures.len() > 2 * book::FAILURES {
            book::keep_last(failures, book::FAILURES);
        }
    }

    /// Adds to the score of every name in a text, once for each entry.
    fn names(&mut self, voice: Voice, text: &str) {
        let (head, tail) = clip(text, PART_BYTES);
        for text in [head, tail] {
            atoms(text, |kind, atom| match kind {
                Atom::Path => self.mention(voice, atom),
                _ => self.name(voice, atom),
            });
        }
    }

    fn mention(&mut self, voice: Voice, path: &str) {
        let seen = self.seen;
        let known = self.file_at.get(clean(path)).map(|at| &self.book.files[*at]);
        if known.is_none_or(|file| file.seen != seen) {
            self.file(path, voice as u64);
        }
    }

    fn name(&mut self, voice: Voice, text: &str) {
        let score = self.recency * voice as u64 / 1_000;
        if let Some(at) = self.name_at.get(text) {
            let name = &mut self.book.names[*at];
            if name.seen != self.seen {
                name.score += score;
                name.seen = self.seen;
                name.source.clone_from(&self.source);
            }
            return;
        }
        self.name_at.insert(text.to_owned(), self.book.names.len());
        self.book.names.push(Name {
            text: text.to_owned(),
            score,
            seen: self.seen,
            source: self.source.clone(),
        });
    }

    fn file(&mut self, path: &str, weight: u64) -> &mut File {
        let path = clean(path);
        let at = self.file_at.get(path).copied().unwrap_or_else(|| {
            self.votes.path(path);
            self.file_at.insert(path.to_owned(), self.book.files.len());
            self.book.files.push(File { path: path.to_owned(), ..File::default() });
            self.book.files.len() - 1
        });
        let file = &mut self.book.files[at];
        file.score += self.recency * weight / 1_000;
        file.seen = self.seen;
        file.source.clone_from(&self.source);
        file
    }

    fn close(mut self) -> Book {
        self.book.entries = self.seen;
        let root = self.book.root.take().or_else(|| self.votes.root());
        if let Some(root) = root {
            super::root::relate(&mut self.book, &root);
            self.book.root = Some(root);
        }
        self.book.close();
        self.book
    }
}

/// What a message says in plain words.
fn text_of(message: &Message) -> String {
    let text = |part: &'_ Part| match part {
        Part::Text { text } => Some(text.clone()),
        _ => None,
    };
    let texts: Vec<String> = message.parts.iter().filter_map(text).collect();
    texts.join(" ")
}

fn clean(path: &str) -> &str {
    let path = path.strip_prefix("./").unwrap_or(path);
    if path.len() > 1 { path.trim_end_matches('/') } else { path }
}

/// The text in at most `limit` bytes: its start, and its end where it is longer.
fn clip(text: &str, limit: usize) -> (&str, &str) {
    if text.len() <= limit {
        return (text, "");
    }
    let (mut head, mut tail) = (limit / 2, text.len() - limit / 2);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    (&text[..head], &text[tail..])
}
