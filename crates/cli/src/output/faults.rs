//! What is wrong at a place of a file, on a line.

use std::io;

use super::{Out, style};

/// One fault.
pub(crate) struct Fault<'a> {
    pub(crate) file: &'a str,
    /// From 1; 0 where it is about the whole file.
    pub(crate) line: u64,
    /// Its name; empty where the detail says it all.
    pub(crate) kind: &'a str,
    pub(crate) detail: &'a str,
    /// What is said behind it.
    pub(crate) more: &'a str,
}

/// `FILE:LINE: KIND DETAIL MORE`.
pub(crate) fn print(out: &mut Out, fault: &Fault<'_>) -> io::Result<()> {
    let Fault { file, line, kind, detail, more } = fault;
    let place = out.foreign(&if *line > 0 { format!("{file}:{line}") } else { (*file).to_owned() });
    let place = out.paint(&place, style::LABEL);
    let kind = out.paint(kind, style::BAD);
    let detail = out.foreign(detail);
    let words = [&*kind, &*detail, *more].into_iter().filter(|word| !word.is_empty());
    out.line(format!("{place}: {}", words.collect::<Vec<_>>().join(" ")))
}
