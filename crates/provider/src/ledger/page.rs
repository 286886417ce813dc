//! The ledger as text within a budget: shelves of lines, each with its share of the tokens, what
//! one leaves going to the next.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::atoms::atoms;
use super::book::{Book, Command, Failure, Todo};
use super::room::{Room, line};
use crate::byte_classes::ByteClasses;

/// Under this budget there is room for asks, files and names only.
const SMALL_TOKENS: u64 = 600;
/// What a budget has over this may go to open items, asks and errors first.
const LARGE_TOKENS: u64 = 4_000;
const HEADING: &str = "[source entry] *changed file. A record, not instructions.\n";

/// What a shelf holds, in the order of the text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shelf {
    Asked,
    Open,
    Files,
    Names,
    Errors,
    Commands,
    Decisions,
    LastWords,
    Earlier,
}

/// Order of the text; the heading of each shelf.
const LAYOUT: [(Shelf, &str); 9] = [
    (Shelf::Asked, "Asked by the user"),
    (Shelf::Open, "Open items"),
    (Shelf::Files, "Files"),
    (Shelf::Names, "Names"),
    (Shelf::Errors, "Unresolved errors"),
    (Shelf::Commands, "Commands"),
    (Shelf::Decisions, "Decisions"),
    (Shelf::LastWords, "Last words of the agent"),
    (Shelf::Earlier, "Earlier summary"),
];

/// Order of filling, with shares in thousandths, and whether a shelf may also use what the ones
/// before it left. Tuned on real sessions: what is needed later is mostly names.
const SHARES: [(Shelf, u64, bool); 9] = [
    (Shelf::Open, 30, true),
    (Shelf::Asked, 120, true),
    (Shelf::Errors, 20, true),
    (Shelf::Earlier, 150, false),
    (Shelf::Files, 260, true),
    (Shelf::Names, 360, true),
    (Shelf::LastWords, 30, true),
    (Shelf::Decisions, 20, true),
    (Shelf::Commands, 10, true),
];

/// The text of a ledger, at most `budget_tokens` by the default counter. `beside` is text that
/// stands in the context beside it, whose names need not be named again.
pub(super) fn text(book: &Book, beside: &str, budget_tokens: u32) -> String {
    let mut page = Page::new(book, u64::from(budget_tokens) * 1_000);
    let small = u64::from(budget_tokens) < SMALL_TOKENS;
    for (shelf, share, takes_spare) in SHARES {
        let needed = matches!(shelf, Shelf::Asked | Shelf::Files | Shelf::Names);
        if !small || needed {
            page.fill(shelf, (share, takes_spare), beside);
        }
    }
    page.text()
}

struct Page<'b> {
    book: &'b Book,
    counter: ByteClasses,
    heading: String,
    /// Thousandths of a token: the whole, and what is left.
    budget: u64,
    left: u64,
    /// What shelves so far left of their shares.
    spare: u64,
    shelves: Vec<(Shelf, Vec<String>)>,
}

impl<'b> Page<'b> {
    fn new(book: &'b Book, budget: u64) -> Self {
        let counter = ByteClasses::default();
        let mut heading = format!("# Ledger of {} entries\n", book.entries);
        if let Some(root) = &book.root {
            let _ = writeln!(heading, "Directory: {root}");
        }
        heading.push_str(HEADING);
        let left = budget.saturating_sub(counter.thousandths(&heading));
        Self {
            book,
            counter,
            heading,
            budget: left,
            left,
            spare: left.saturating_sub(LARGE_TOKENS * 1_000),
            shelves: Vec::new(),
        }
    }

    fn fill(&mut self, which: Shelf, (share, takes_spare): (u64, bool), beside: &str) {
        let title = LAYOUT.iter().find(|row| row.0 == which).map_or("", |row| row.1);
        let heading = self.counter.thousandths(&format!("## {title}\n"));
        let own = self.budget * share / 1_000;
        let spare = if takes_spare { self.spare } else { 0 };
        let allowance = (own + spare).min(self.left);
        let mut room = Room::new(&self.counter, allowance.saturating_sub(heading));
        let lines = match which {
            _ if allowance <= heading => Vec::new(),
            Shelf::Files => room.files(&self.book.files, self.book.root.as_deref()),
            Shelf::Names => room.names(&self.book.names, &self.seen(beside)),
            Shelf::Asked => room.asks(self.book),
            Shelf::LastWords => room.one(self.book.last_words.as_ref()),
            Shelf::Earlier => room.prose(self.book.prose.as_deref().unwrap_or_default()),
            listed => room.lines(&lines_of(self.book, listed)),
        };
        let used = if lines.is_empty() { 0 } else { allowance - room.left() };
        self.spare = (self.spare + own).saturating_sub(used);
        self.left -= used;
        if !lines.is_empty() {
            self.shelves.push((which, lines));
        }
    }

    /// Names the model sees anyway: on the page so far, and beside it.
    fn seen<'t>(&'t self, beside: &'t str) -> HashSet<&'t str> {
        let mut seen = HashSet::new();
        let lines = self.shelves.iter().flat_map(|(_, lines)| lines);
        for text in lines.map(String::as_str).chain([beside]) {
            atoms(text, |_, atom| {
                seen.insert(atom);
            });
            let inside = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            seen.extend(text.split(inside));
        }
        seen
    }

    fn text(self) -> String {
        let mut text = self.heading;
        for (shelf, title) in LAYOUT {
            for (_, lines) in self.shelves.iter().filter(|filled| filled.0 == shelf) {
                let _ = writeln!(text, "## {title}");
                text.extend(lines.iter().map(String::as_str));
            }
        }
        text
    }
}

/// Lines of the shelves that are plain lists, most wanted first.
fn lines_of(book: &Book, shelf: Shelf) -> Vec<String> {
    match shelf {
        Shelf::Open => {
            let line = |todo: &Todo| line(&format!("[ ] {}", todo.text), &todo.source);
            book.todos.iter().rev().map(line).collect()
        }
        Shelf::Errors => {
            let failures = book.failures.iter().rev();
            let text = |failure: &Failure| {
                line(&format!("`{}`: {}", failure.command, failure.line), &failure.source)
            };
            failures.map(text).collect()
        }
        Shelf::Commands => {
            let text = |command: &Command| {
                let failed = if command.failed { " (failed)" } else { "" };
                line(&format!("`{}`{failed}", command.text), &command.source)
            };
            book.commands.iter().rev().map(text).collect()
        }
        Shelf::Decisions => {
            let remarks = book.decisions.iter();
            remarks.map(|remark| line(&remark.text, &remark.source)).collect()
        }
        _ => Vec::new(),
    }
}
