//! One HTML page that loads nothing, runs nothing and links nowhere: everything said is a text node,
//! escaped, and the page's own policy forbids the rest.

use std::fmt::Write as _;

use serde_json::Value;
use treering_tree::Part;

use super::losses::{LossKind, Losses};
use super::markdown::{pretty, title};
use super::media::placeholder;
use super::steps::{Step, What};
use crate::time::write_iso;

const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
base-uri 'none'; form-action 'none'\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";

const STYLE: &str = "<style>\n\
:root{color-scheme:light dark}\n\
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}\n\
section{border-left:.25rem solid #888;margin:1rem 0;padding:.25rem 1rem}\n\
section.user{border-color:#2a7ae2}section.assistant{border-color:#2e8b57}\n\
section.compaction{border-color:#b8860b}\n\
h2{font-size:1rem;margin:.25rem 0}time{opacity:.6;font-weight:normal}\n\
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.5rem 0;font-size:.875rem}\n\
p{white-space:pre-wrap;overflow-wrap:anywhere}\n\
.reasoning{opacity:.7;font-style:italic}.error{color:#b22222}\n\
</style>\n";

pub(super) fn write(session: &str, steps: &[Step<'_>], losses: &mut Losses) -> Vec<u8> {
    let mut page = Page(String::from(HEAD));
    page.element("title", "", session);
    page.0.push_str(STYLE);
    page.0.push_str("</head>\n<body>\n");
    page.element("h1", "", session);
    for step in steps {
        page.step(step, losses);
    }
    page.0.push_str("</body>\n</html>\n");
    page.0.into_bytes()
}

struct Page(String);

impl Page {
    fn step(&mut self, step: &Step<'_>, losses: &mut Losses) {
        let class = match &step.what {
            What::System(_) => "system",
            What::User(_) => "user",
            What::Assistant(_) => "assistant",
            What::Compaction { .. } => "compaction",
        };
        // Writing to a string cannot fail.
        let _ = write!(self.0, "<section class=\"{class}\">\n<h2>");
        self.text(&title(step));
        self.0.push_str(" <time>");
        self.text(&write_iso(step.line.at_ms));
        self.0.push_str("</time></h2>\n");
        match &step.what {
            What::System(text) | What::Compaction { text, .. } => self.element("p", "", text),
            What::User(parts) => self.parts(parts, losses),
            What::Assistant(answer) => {
                self.parts(&answer.parts, losses);
                for call in &answer.calls {
                    self.0.push_str("<details>");
                    self.element("summary", "", &call.name);
                    self.element("pre", "", &pretty(&Value::Object(call.arguments.clone())));
                    let class = if call.result.error { "error" } else { "" };
                    self.element("pre", class, &call.result.text);
                    self.parts(&call.result.media, losses);
                    self.0.push_str("</details>\n");
                }
            }
        }
        self.0.push_str("</section>\n");
    }

    fn parts(&mut self, parts: &[Part], losses: &mut Losses) {
        for part in parts {
            match part {
                Part::Text { text } => self.element("p", "", text),
                Part::Reasoning { text } => self.element("p", "reasoning", text),
                Part::Other { value, .. } => self.element("pre", "", &pretty(value)),
                other => {
                    losses.add(LossKind::Media);
                    self.element("p", "", &placeholder(other));
                }
            }
        }
    }

    /// An element with nothing in it but text. Names and classes are the page's own.
    fn element(&mut self, name: &str, class: &str, text: &str) {
        let _ = match class {
            "" => write!(self.0, "<{name}>"),
            class => write!(self.0, "<{name} class=\"{class}\">"),
        };
        // A parser drops a newline right behind the tag of a `pre`.
        if name == "pre" {
            self.0.push('\n');
        }
        self.text(text);
        let _ = writeln!(self.0, "</{name}>");
    }

    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // Characters that a page cannot hold, and those that turn the direction of text.
                '\n' | '\t' => self.0.push(c),
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                c if c.is_control() => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
    }
}
