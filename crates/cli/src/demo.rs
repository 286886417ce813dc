//! The bundled session: a readable file of messages and moves, and how it gets into a store. The same
//! bytes every time: times and nonces are fixed.

use std::collections::HashMap;

use serde::Deserialize;
use treering_tree::{Draft, Error, Expect, Id, Kind, Message, Session, Sources};

use crate::defaults;
use crate::failure::{Failure, Group, Result};

const LINES: &str = include_str!("../demo/session.jsonl");
/// 2026-03-02T08:00:00Z, when its first entry was said.
const BEGIN_MS: i64 = 1_772_438_400_000;
const MINUTE_MS: i64 = 60_000;

/// One line of the file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Entry(Entry),
    Move(Move),
    Pause(Pause),
}

/// Where the demo stops to compact before it goes on.
#[derive(Deserialize)]
enum Pause {
    #[serde(rename = "pause")]
    Here,
}

/// What happens to the branches.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Move {
    Rewind(String),
    Fork { branch: String, at: String },
    Label { entry: String, name: String },
    Switch(String),
}

#[derive(Deserialize)]
struct Entry {
    kind: Kind,
    /// Minutes since the first entry.
    minute: i64,
    slot: Option<String>,
    alias: Option<String>,
    message: Message,
}

impl Entry {
    fn draft(self, sources: &Sources) -> Draft {
        let at_ms = BEGIN_MS + self.minute * MINUTE_MS;
        let body = self.message.body();
        let draft = Draft::new(self.kind, at_ms, sources.nonce(), body)
            .calls(self.message.calls())
            .answers(self.message.answers());
        let mut draft = defaults::counted(draft);
        if let Some(slot) = self.slot {
            draft = draft.slot(slot);
        }
        if let Some(alias) = self.alias {
            draft = draft.alias(alias);
        }
        draft
    }
}

/// Time and randomness of the demo.
pub(crate) fn sources() -> Sources {
    let random = Sources::fixed(0);
    Sources::new(|| BEGIN_MS, move |buffer| random.fill(buffer))
}

/// Plays the file into a session, in parts.
pub(crate) struct Demo {
    session: Session,
    lines: std::str::Lines<'static>,
    aliases: HashMap<String, Id>,
    waiting: Vec<Draft>,
}

impl Demo {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, lines: LINES.lines(), aliases: HashMap::new(), waiting: Vec::new() }
    }

    /// Plays on to the next pause or the end.
    pub(crate) async fn play(&mut self) -> Result<()> {
        while let Some(text) = self.lines.next() {
            let line = serde_json::from_str(text).map_err(|error| {
                Failure::new(Group::Failed, format!("the bundled session is damaged: {error}"))
            })?;
            match line {
                Line::Entry(entry) => self.waiting.push(entry.draft(self.session.sources())),
                Line::Pause(Pause::Here) => break,
                Line::Move(step) => {
                    self.append().await?;
                    self.make(step).await?;
                }
            }
        }
        self.append().await
    }

    /// Appends what was read since the last move, in one step.
    async fn append(&mut self) -> Result<()> {
        let drafts = std::mem::take(&mut self.waiting);
        if drafts.is_empty() {
            return Ok(());
        }
        let aliases: Vec<_> = drafts.iter().map(|draft| draft.envelope().alias.clone()).collect();
        let committed = self.session.append_all(drafts, Expect::Any).await?;
        let named = aliases.into_iter().zip(committed.ids);
        self.aliases.extend(named.filter_map(|(alias, id)| Some((alias?, id))));
        Ok(())
    }

    async fn make(&self, step: Move) -> Result<()> {
        let session = &self.session;
        match step {
            Move::Rewind(to) => session.rewind(Some(self.entry(&to)?), Expect::Any).await?,
            Move::Fork { branch, at } => session.fork_branch(&branch, self.entry(&at)?).await?,
            Move::Label { entry, name } => session.label(self.entry(&entry)?, &name).await?,
            Move::Switch(branch) => session.switch(&branch).await?,
        };
        Ok(())
    }

    fn entry(&self, alias: &str) -> Result<Id> {
        let found = self.aliases.get(alias).copied();
        found.ok_or_else(|| Error::NotFound { what: "alias", name: alias.to_owned() }.into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use treering_tree::{Options, RedbStore};

    use super::*;

    async fn played() -> Session {
        let store = RedbStore::in_memory(Options::new(sources())).unwrap();
        let session = Session::new(Arc::new(store), "s", sources());
        let mut demo = Demo::new(session.clone());
        // To the pause, and from there to the end.
        demo.play().await.unwrap();
        demo.play().await.unwrap();
        assert!(demo.lines.next().is_none());
        session
    }

    #[tokio::test]
    async fn the_bundled_session_is_sound_and_the_same_every_time() {
        let session = played().await;
        let info = session.info().await.unwrap();
        assert_eq!((info.active.as_str(), info.branches), ("main", 2));
        assert_eq!(info.head, played().await.head().await.unwrap());
        let report = session.store().verify().await.unwrap();
        assert!(report.problems.is_empty() && report.entries > 100, "{report:?}");
        let measure = session.measure().await.unwrap().unwrap();
        assert!(measure.head.open.is_empty(), "every call is answered");
    }
}
