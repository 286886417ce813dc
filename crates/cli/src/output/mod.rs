//! What reaches the terminal or the pipe: JSON lines or human text, coloured only on a terminal,
//! with every foreign text made harmless first. Never decides what is said.

pub(crate) mod faults;
pub(crate) mod file;
pub(crate) mod graph;
pub(crate) mod progress;
pub(crate) mod steps;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;

use std::io::{self, BufWriter, Write};

use owo_colors::{OwoColorize, Style};
use serde::Serialize;

use crate::surroundings::{Sink, Tap, Terminal};

const MIN_WIDTH: usize = 40;

/// Standard output.
pub(crate) struct Out {
    writer: BufWriter<Tap>,
    json: bool,
    raw: bool,
    colour: bool,
    width: usize,
}

impl Out {
    /// Standard output as the flags and the terminal want it; `color` is "always", "never", or as the
    /// terminal is.
    pub(crate) fn new(
        json: bool,
        raw: bool,
        color: Option<&str>,
        sink: Sink,
        terminal: Terminal,
    ) -> Self {
        let colour = match color {
            Some("always") => true,
            Some("never") => false,
            _ => terminal.color,
        };
        Self {
            writer: BufWriter::new(Tap(sink)),
            json,
            raw,
            colour: colour && !json,
            width: terminal.width.max(MIN_WIDTH),
        }
    }

    /// Whether programs read this.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Columns of the terminal.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// One JSON object on a line of its own.
    pub(crate) fn object(&mut self, value: &impl Serialize) -> io::Result<()> {
        let line = if self.raw { serde_json::to_string(value)? } else { text::json(value)? };
        self.line(line)
    }

    /// One line of human text.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        self.writer.write_all(text.as_ref().as_bytes())?;
        self.writer.write_all(b"\n")
    }

    /// For bytes that go out as they are.
    pub(crate) fn verbatim(&mut self) -> &mut (dyn Write + Send) {
        &mut self.writer
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// `text` in a style, where there is colour.
    pub(crate) fn paint(&self, text: &str, style: Style) -> String {
        if self.colour { text.style(style).to_string() } else { text.to_owned() }
    }

    /// Foreign text of many lines, harmless unless raw text was asked for.
    pub(crate) fn foreign(&self, text: &str) -> String {
        if self.raw { text.to_owned() } else { text::escape(text) }
    }

    /// The beginning of a foreign text on one line of at most `width` columns.
    pub(crate) fn clipped(&self, text: &str, width: usize) -> String {
        text::one_line(text, width, self.raw)
    }
}

#[cfg(test)]
impl Out {
    /// What `print` writes as human text without colour, `width` columns wide.
    pub(crate) fn written(width: usize, print: impl FnOnce(&mut Self) -> io::Result<()>) -> String {
        let written = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let writer = BufWriter::new(Tap(written.clone()));
        let mut out = Self { writer, json: false, raw: false, colour: false, width };
        print(&mut out).unwrap();
        out.flush().unwrap();
        let bytes = std::mem::take(&mut *written.lock().unwrap());
        String::from_utf8(bytes).unwrap()
    }
}

/// The few styles there are.
pub(crate) mod style {
    use owo_colors::Style;
    use treering_tree::context::Source;

    pub(crate) const PLAIN: Style = Style::new();
    pub(crate) const DIM: Style = Style::new().dimmed();
    pub(crate) const BOLD: Style = Style::new().bold();
    pub(crate) const ID: Style = Style::new().blue();
    pub(crate) const BRANCH: Style = Style::new().green().bold();
    pub(crate) const LABEL: Style = Style::new().yellow();
    pub(crate) const SUMMARY: Style = Style::new().magenta();
    /// The style of a part of a context.
    pub(crate) const fn of_source(source: Source) -> Style {
        match source {
            Source::Pin => LABEL,
            Source::Summary => SUMMARY,
            Source::Kept => ID,
            Source::Later => PLAIN,
        }
    }

    pub(crate) const BAD: Style = Style::new().red().bold();
}
