//! Puts the files of a folder that are one conversation together into one, in the order in which
//! their tool reads them. It never opens a file and never decides what one says.

use std::collections::HashMap;
use std::path::Path;

use crate::files::SourceFile;
use crate::formats::{Found, Member};
use crate::frame::Frame;
use crate::source::{Content, Members};

/// A conversation, and where its records are in the list of them.
#[derive(Default)]
struct Conversation {
    session: String,
    records: Vec<Vec<SourceFile>>,
    by_id: HashMap<String, usize>,
}

/// The files, those that are members of one conversation as one of them.
pub(crate) fn gather(files: Vec<SourceFile>) -> Vec<SourceFile> {
    let (members, mut others): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| file.found.member.is_some());
    let (first, rest): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|file| member(file).of.is_none());
    let mut all: Vec<Conversation> = Vec::new();
    let mut by_session: HashMap<(&'static str, String), usize> = HashMap::new();
    let mut by_id: HashMap<(&'static str, String), usize> = HashMap::new();
    let mut conversation = |format: &'static str, session: String, all: &mut Vec<Conversation>| {
        *by_session.entry((format, session.clone())).or_insert_with(|| {
            all.push(Conversation { session, ..Conversation::default() });
            all.len() - 1
        })
    };
    for file in first {
        let format = file.format.name();
        let at = conversation(format, file.session(), &mut all);
        if let Some(id) = member(&file).id.clone() {
            by_id.entry((format, id.clone())).or_insert(at);
            let next = all[at].records.len();
            all[at].by_id.entry(id).or_insert(next);
        }
        all[at].records.push(vec![file]);
    }
    for file in rest {
        let format = file.format.name();
        let of = member(&file).of.clone().unwrap_or_default();
        let at = by_id.get(&(format, of.clone())).copied().unwrap_or_else(|| {
            // What it belongs to is not there: it is kept by what is known.
            let session = file.found.session.clone().unwrap_or_else(|| of.clone());
            conversation(format, session, &mut all)
        });
        match all[at].by_id.get(&of).copied() {
            Some(record) => all[at].records[record].push(file),
            None => all[at].records.push(vec![file]),
        }
    }
    others.extend(all.into_iter().filter_map(joined));
    others
}

/// A conversation as one file.
fn joined(Conversation { session, mut records, .. }: Conversation) -> Option<SourceFile> {
    let is_rest = |file: &SourceFile| member(file).of.is_some();
    for files in &mut records {
        files.sort_by_key(order);
    }
    records.sort_by(|one, other| {
        let key = |files: &[SourceFile]| files.first().map(|file| (is_rest(file), order(file)));
        key(one).cmp(&key(other))
    });
    let first = records.first()?.first()?;
    let sizes = records.iter().map(|files| files.iter().map(|file| file.len).sum::<u64>());
    let sizes: Vec<u64> = sizes.collect();
    Some(SourceFile {
        path: first.path.parent().unwrap_or(Path::new("")).to_owned(),
        len: sizes.iter().sum(),
        format: first.format,
        found: Found::main(Some(session)),
        frame: Frame::Folder(sizes.into()),
        content: Content::Folder(Members::new(records)),
    })
}

fn order(file: &SourceFile) -> (bool, String) {
    let member = member(file);
    (member.of.is_some(), member.order.clone())
}

fn member(file: &SourceFile) -> Member {
    file.found.member.clone().unwrap_or_default()
}
