//! How far something long is, step by step, on standard error: redrawn on a terminal, lines elsewhere.

use std::time::Instant;

use indicatif::ProgressBar;

use super::progress::{DELAY, TICK, drawn};
use super::text::escape;
use crate::surroundings::{Sink, Terminal, say};

/// The steps of one piece of work.
pub(crate) struct Steps {
    lines: Option<Sink>,
    drawn: Option<ProgressBar>,
    since: Instant,
    now: String,
}

impl Steps {
    /// Steps that a terminal is shown; `aloud` also tells them where there is none, on lines.
    pub(crate) fn new(aloud: bool, err: &Sink, terminal: Terminal) -> Self {
        let lines = (aloud && !terminal.err).then(|| err.clone());
        Self { lines, drawn: None, since: Instant::now(), now: String::new() }
    }

    /// The next step.
    pub(crate) fn step(&mut self, step: &str) {
        if step == self.now {
            return;
        }
        step.clone_into(&mut self.now);
        if let Some(err) = &self.lines {
            say(err, &format!("{}\n", escape(step)));
        }
        self.detail("");
    }

    /// How far the present step is, for people who watch.
    pub(crate) fn detail(&mut self, detail: &str) {
        if self.lines.is_some() || (self.drawn.is_none() && self.since.elapsed() < DELAY) {
            return;
        }
        let spinner = self.drawn.get_or_insert_with(|| {
            let spinner = drawn("");
            spinner.enable_steady_tick(TICK);
            spinner
        });
        spinner.set_message(escape(&format!("{}{detail}", self.now)));
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(spinner) = &self.drawn {
            spinner.finish_and_clear();
        }
    }
}
