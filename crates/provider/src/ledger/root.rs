//! The directory a session works in, told from the absolute paths it names; and paths relative to
//! it.

use std::collections::{BTreeMap, HashMap};

use super::book::{Book, File};

/// Directories that are voted on.
const CANDIDATES: usize = 4_096;
/// Share of the votes the session's directory must hold, in percent.
const MAJORITY_PERCENT: u64 = 60;
/// A directory that was entered counts as much as this many paths.
const ENTERED: u64 = 5;

/// Votes for directories.
#[derive(Debug, Default)]
pub(super) struct Votes {
    directories: BTreeMap<String, u64>,
}

impl Votes {
    /// A path was named: a vote for the directory it is in.
    pub(super) fn path(&mut self, path: &str) {
        if let Some((directory, _)) = path.rsplit_once('/') {
            self.vote(directory, 1);
        }
    }

    /// The session works in a directory.
    pub(super) fn directory(&mut self, directory: &str) {
        self.vote(directory.trim_end_matches('/'), ENTERED);
    }

    /// A command that enters a directory.
    pub(super) fn command(&mut self, command: &str) {
        let entered = command.trim_start().strip_prefix("cd ");
        let end = |rest: &&str| rest.find([' ', ';', '&', '\n']);
        if let Some(rest) = entered {
            let directory = end(&rest).map_or(rest, |end| &rest[..end]);
            self.directory(directory.trim_matches(['"', '\'']));
        }
    }

    fn vote(&mut self, directory: &str, votes: u64) {
        let counts = directory.starts_with('/')
            && !["/tmp", "/var", "/dev", "/usr", "/etc", "/private"]
                .iter()
                .any(|outside| directory.starts_with(outside));
        if counts
            && (self.directories.len() < CANDIDATES || self.directories.contains_key(directory))
        {
            *self.directories.entry(directory.to_owned()).or_default() += votes;
        }
    }

    /// The deepest directory that holds a clear majority of the votes, and is no mere `/home`.
    pub(super) fn root(&self) -> Option<String> {
        let total: u64 = self.directories.values().sum();
        let mut under: HashMap<&str, u64> = HashMap::new();
        for (directory, votes) in &self.directories {
            let ends = directory.match_indices('/').map(|(at, _)| at).skip(1);
            for end in ends.chain([directory.len()]) {
                *under.entry(&directory[..end]).or_default() += votes;
            }
        }
        let depth = |directory: &str| directory.matches('/').count();
        under
            .into_iter()
            .filter(|(directory, votes)| {
                votes * 100 >= total * MAJORITY_PERCENT && depth(directory) >= 2
            })
            .max_by_key(|(directory, _)| (depth(directory), *directory))
            .map(|(directory, _)| directory.to_owned())
    }
}

/// Writes every path of the ledger relative to `root`.
pub(super) fn relate(book: &mut Book, root: &str) {
    let prefix = format!("{root}/");
    let mut at: HashMap<String, usize> = HashMap::new();
    let mut files: Vec<File> = Vec::with_capacity(book.files.len());
    for mut file in std::mem::take(&mut book.files) {
        if file.path.starts_with(&prefix) {
            file.path.drain(..prefix.len());
        }
        if let Some(known) = at.get(&file.path) {
            let known = &mut files[*known];
            known.reads += file.reads;
            known.writes += file.writes;
            known.failed += file.failed;
            known.score += file.score;
            if file.seen > known.seen {
                (known.seen, known.source) = (file.seen, file.source);
            }
        } else {
            at.insert(file.path.clone(), files.len());
            files.push(file);
        }
    }
    book.files = files;
    let shorten = |text: &mut String| {
        if text.contains(&prefix) {
            *text = text.replace(&prefix, "");
        }
    };
    book.commands.iter_mut().for_each(|command| shorten(&mut command.text));
    for failure in &mut book.failures {
        shorten(&mut failure.command);
        shorten(&mut failure.line);
    }
}
