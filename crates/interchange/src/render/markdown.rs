//! Markdown for people: a heading per step. What tools were given and printed stands in fences that
//! nothing inside can close.

use std::fmt::Write as _;

use serde_json::Value;
use treering_tree::Part;

use super::losses::{LossKind, Losses};
use super::media::placeholder;
use super::steps::{Step, What};
use crate::time::write_iso;

pub(super) fn write(session: &str, steps: &[Step<'_>], losses: &mut Losses) -> Vec<u8> {
    let mut out = format!("# {}\n", one_line(session));
    for step in steps {
        let title = title(step);
        // Writing to a string cannot fail.
        let _ = write!(out, "\n## {title}\n\n*{}*\n", write_iso(step.line.at_ms));
        match &step.what {
            What::System(text) | What::Compaction { text, .. } => quote(text, &mut out),
            What::User(parts) => body(parts, &mut out, losses),
            What::Assistant(answer) => {
                body(&answer.parts, &mut out, losses);
                for call in &answer.calls {
                    let _ = write!(out, "\n**Call** {}\n", code(&call.name));
                    fence(&pretty(&Value::Object(call.arguments.clone())), "json", &mut out);
                    let what = if call.result.error { "Error" } else { "Result" };
                    let _ = write!(out, "\n**{what}**\n");
                    fence(&call.result.text, "", &mut out);
                    body(&call.result.media, &mut out, losses);
                }
            }
        }
    }
    out.into_bytes()
}

/// Who speaks, for people.
pub(super) fn title(step: &Step<'_>) -> String {
    match &step.what {
        What::System(_) => "System prompt".to_owned(),
        What::Compaction { .. } => "Compaction".to_owned(),
        What::Assistant(answer) => match &answer.said.model {
            Some(model) => format!("Assistant ({})", one_line(model)),
            None => "Assistant".to_owned(),
        },
        What::User(_) => {
            let name = step.line.kind.name();
            let (first, rest) = name.split_at(1);
            format!("{}{}", first.to_uppercase(), rest.replace('-', " "))
        }
    }
}

/// JSON that people can read.
pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn body(parts: &[Part], out: &mut String, losses: &mut Losses) {
    for part in parts {
        match part {
            Part::Text { text } => {
                let _ = write!(out, "\n{}\n", text.trim_end());
            }
            Part::Reasoning { text } => quote(text, out),
            Part::Other { value, .. } => fence(&pretty(value), "json", out),
            other => {
                losses.add(LossKind::Media);
                let _ = write!(out, "\n{}\n", placeholder(other));
            }
        }
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('\n');
    for line in text.lines() {
        let _ = writeln!(out, "> {line}");
    }
}

/// A fence longer than any run of backticks inside.
fn fence(text: &str, language: &str, out: &mut String) {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    let _ = write!(out, "\n{fence}{language}\n{}\n{fence}\n", text.trim_end_matches('\n'));
}

fn code(text: &str) -> String {
    let fence = "`".repeat(longest_run(text) + 1);
    format!("{fence} {} {fence}", one_line(text))
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}
