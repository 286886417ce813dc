//! Lines that fit: each taken while tokens are left, none cut in the middle of a name.

use std::collections::HashSet;

use super::book::{Book, File, Name, Remark};
use crate::byte_classes::ByteClasses;

/// Digits of an entry's id that a line carries.
const ID_DIGITS: usize = 6;
/// An id that costs as much as any: which one a line of many ends with is not known beforehand.
const DEAREST_ID: &str = "1a2b3c";
/// Names on one line.
const NAMES_PER_LINE: usize = 24;
/// Candidates that do not fit, after which there is no room.
const MISSES: usize = 24;

/// Tokens a shelf may still use.
pub(super) struct Room<'c> {
    counter: &'c ByteClasses,
    left: u64,
}

impl<'c> Room<'c> {
    pub(super) fn new(counter: &'c ByteClasses, left: u64) -> Self {
        Self { counter, left }
    }

    /// Thousandths of a token that are left.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    fn take(&mut self, text: &str) -> bool {
        let cost = self.counter.thousandths(text);
        let fits = cost <= self.left;
        if fits {
            self.left -= cost;
        }
        fits
    }

    /// As many lines as fit, most wanted first, in the order they are given.
    pub(super) fn lines(&mut self, lines: &[String]) -> Vec<String> {
        let mut misses = 0;
        let mut taken = Vec::new();
        for line in lines {
            if self.take(line) {
                taken.push(line.clone());
            } else {
                misses += 1;
                if misses == MISSES {
                    break;
                }
            }
        }
        taken
    }

    /// The first ask, then the newest ones that fit, oldest first.
    pub(super) fn asks(&mut self, book: &Book) -> Vec<String> {
        let all: Vec<String> = book.asks.iter().map(|ask| line(&ask.text, &ask.source)).collect();
        let Some((first, later)) = all.split_first() else {
            return Vec::new();
        };
        let newest_first: Vec<String> =
            std::iter::once(first).chain(later.iter().rev()).cloned().collect();
        let taken: HashSet<String> = self.lines(&newest_first).into_iter().collect();
        all.into_iter().filter(|line| taken.contains(line)).collect()
    }

    /// One remark, cut to what fits.
    pub(super) fn one(&mut self, remark: Option<&Remark>) -> Vec<String> {
        let Some(Remark { text, source, .. }) = remark else {
            return Vec::new();
        };
        let fixed = line("...", source);
        if !self.take(&fixed) {
            return Vec::new();
        }
        let fitting = self.prefix(text);
        if fitting.is_empty() {
            return Vec::new();
        }
        let mark = if fitting.len() < text.len() { "..." } else { "" };
        vec![line(&format!("{fitting}{mark}"), source)]
    }

    /// A foreign summary, cut at a line's end.
    pub(super) fn prose(&mut self, text: &str) -> Vec<String> {
        let lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
        let mut taken = Vec::new();
        for line in lines {
            if !self.take(&line) {
                if taken.is_empty() {
                    taken.push(format!("{}\n", self.prefix(&line).trim_end()));
                }
                break;
            }
            taken.push(line);
        }
        taken
    }

    /// As many leading words as fit.
    fn prefix<'t>(&mut self, text: &'t str) -> &'t str {
        let mut end = 0;
        for word in text.split_inclusive(' ') {
            if !self.take(word) {
                break;
            }
            end += word.len();
        }
        text[..end].trim_end()
    }

    /// Files by the folder above theirs, changed ones first. What was only mentioned is left out
    /// where it shows already.
    pub(super) fn files(&mut self, files: &[File], root: Option<&str>) -> Vec<String> {
        let mut folders: Vec<(&str, Vec<&File>)> = Vec::new();
        let mut seen = HashSet::new();
        let mut misses = 0;
        for file in files {
            let is_noise = !file.is_used() && (seen.contains(file.tail()) || file.is_words());
            if is_noise || Some(file.path.as_str()) == root {
                continue;
            }
            let (folder, inside) = folder_and_inside(&file.path);
            let known = folders.iter().position(|(name, _)| *name == folder);
            let item = format!(" {}", shown(inside, file));
            let fits = match known {
                Some(_) => self.take(&item),
                None => self.take(&format!("{folder}:{item} [{DEAREST_ID}]\n")),
            };
            if !fits {
                misses += 1;
                if misses == MISSES {
                    break;
                }
                continue;
            }
            seen.extend(file.tails());
            match known {
                Some(at) => folders[at].1.push(file),
                None => folders.push((folder, vec![file])),
            }
        }
        folders.into_iter().map(|(folder, files)| folder_line(folder, &files)).collect()
    }

    /// Names that stand nowhere else, oldest first, with the entry that the first of a line is from.
    pub(super) fn names(&mut self, names: &[Name], seen: &HashSet<&str>) -> Vec<String> {
        let mut taken: Vec<&Name> = Vec::new();
        let mut misses = 0;
        for name in names {
            if seen.contains(name.text.as_str()) {
                continue;
            }
            let starts_line = taken.len().is_multiple_of(NAMES_PER_LINE);
            let end = if starts_line { format!("[{DEAREST_ID}]\n") } else { String::new() };
            if self.take(&format!("{} {end}", name.text)) {
                taken.push(name);
            } else {
                misses += 1;
                if misses == MISSES {
                    break;
                }
            }
        }
        taken.sort_by_key(|name| (name.seen, name.text.as_str()));
        let line = |names: &[&Name]| {
            let texts: Vec<&str> = names.iter().map(|name| name.text.as_str()).collect();
            format!("{} [{}]\n", texts.join(" "), digits(&names[0].source))
        };
        taken.chunks(NAMES_PER_LINE).map(line).collect()
    }
}

/// A path on a line of several, with its mark.
fn shown(path: &str, file: &File) -> String {
    let quote = if path.contains(char::is_whitespace) { "\"" } else { "" };
    let mark = if file.is_changed() { "*" } else { "" };
    format!("{quote}{path}{quote}{mark}")
}

/// The folder two above, and the path inside it: files of sibling folders share a line, and every
/// file still stands with the folder it is in.
fn folder_and_inside(path: &str) -> (&str, &str) {
    let mut slashes = path.rmatch_indices('/').map(|(at, _)| at);
    match (slashes.next(), slashes.next()) {
        (Some(_), Some(at)) if at > 0 => (&path[..at], &path[at + 1..]),
        _ => (".", path),
    }
}

fn folder_line(folder: &str, files: &[&File]) -> String {
    let newest = files.iter().max_by_key(|file| file.seen);
    let source = newest.map_or("", |file| digits(&file.source));
    if let [file] = files {
        return format!("{} [{source}]\n", shown(&file.path, file));
    }
    let inside = |file: &&File| shown(folder_and_inside(&file.path).1, file);
    let mut inside: Vec<String> = files.iter().map(inside).collect();
    inside.sort_unstable();
    format!("{folder}: {} [{source}]\n", inside.join(" "))
}

/// A line and the entry it comes from.
pub(super) fn line(text: &str, source: &str) -> String {
    format!("- {text} [{}]\n", digits(source))
}

fn digits(source: &str) -> &str {
    source.get(..ID_DIGITS).unwrap_or(source)
}
