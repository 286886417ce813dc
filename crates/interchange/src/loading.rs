//! Takes the files of one session through: records into entries, entries into changes, and at the
//! end the branches.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use treering_tree::limits::check_name;
use treering_tree::{
    Body, Counted, Draft, Envelope, Id, Kind, MAIN, Message, Nonce, Number, Store, Stored,
};

use crate::batch::Batch;
use crate::bind::{Asides, bind};
use crate::branches::{self, FileBranches};
use crate::error::{Error, Result};
use crate::files::SourceFile;
use crate::formats::{Current, Hangs, MAIN_PART, Meaning, Reader};
use crate::frame::{Frame, Role};
use crate::limits;
use crate::lines::{Line, Lines};
use crate::loom::{At, Key, Loom, Repairs};
use crate::names::Names;
use crate::report::{RepairKind, SessionReport, quoted};
use crate::stored::{Newest, Pieces, Source, Survey};
use crate::understand::{Piece, understand, understand_piece};

/// One session on its way into the store.
pub(crate) struct Loading<'a> {
    batch: Batch<'a>,
    count: &'a (dyn Fn(&Message) -> Counted + Sync),
    tell: &'a mut (dyn FnMut(u64) + Send),
    /// What the store had of the session before.
    survey: Survey,
    loom: Loom,
    report: SessionReport,
    /// Aliases with a number behind them.
    numbered: HashSet<Key>,
    /// The last number behind an id; those before it are all taken.
    numbers: HashMap<Key, u32>,
    /// Entries that are not records of a file.
    sources: u64,
    /// Whether the tool may still be writing: what it has begun waits until it is whole.
    pub(crate) live: bool,
}

/// One file on its way.
struct Passage<'f> {
    file: &'f SourceFile,
    index: u32,
    reader: Box<dyn Reader>,
    /// How often the file was begun before.
    runs: u64,
    /// The newest entry beside the tree.
    aside: Option<Newest>,
    /// How many of its records the store has, and whether their bodies are the beginning of the file.
    adopted: u64,
    is_whole: bool,
    last_ms: i64,
    /// Line of the piece before, if it is a record.
    record_line: u64,
    /// Bytes of the load before the file, and of the file when progress was last told.
    bytes_before: u64,
    told: u64,
}

/// Where a piece lies.
#[derive(Clone, Copy)]
struct Spot {
    offset: u64,
    line: u64,
}

impl<'a> Loading<'a> {
    pub(crate) fn new(
        store: &'a dyn Store,
        session: &'a str,
        survey: Survey,
        at_ms: i64,
        count: &'a (dyn Fn(&Message) -> Counted + Sync),
        tell: &'a mut (dyn FnMut(u64) + Send),
    ) -> Self {
        Self {
            batch: Batch::new(store, session, at_ms),
            count,
            tell,
            survey,
            loom: Loom::default(),
            report: SessionReport { session: session.to_owned(), ..SessionReport::default() },
            numbered: HashSet::new(),
            numbers: HashMap::new(),
            sources: 0,
            live: false,
        }
    }

    /// Loads the files, the one with the conversation first.
    pub(crate) async fn run(
        mut self,
        files: &[SourceFile],
        bytes_before: u64,
    ) -> Result<SessionReport> {
        self.report.format = files.first().map_or("", |file| file.format.name()).to_owned();
        let mut asides: Asides = Vec::new();
        let mut currents = Vec::new();
        let mut names = Names::default();
        let mut done = bytes_before;
        for (file, index) in files.iter().zip(0..) {
            let passage = self.pass(file, index, done).await?;
            done += file.len;
            let current = match file.format.current() {
                Current::LastRecord => self.loom.last(index),
                Current::LastLeaf => self.loom.last_leaf(index),
            };
            let name = names.take(branch_name(&file.found.part));
            currents.push(FileBranches { name, current });
            let aside = names.take(aside_name(&file.found.part));
            asides.push((aside, passage.aside.map(|aside| aside.id)));
        }
        if let Some(main) = currents.iter_mut().find(|file| file.name == MAIN) {
            main.current = self.loom.stands(main.current);
        }
        for (call, at) in self.loom.unanswered() {
            if self.live && self.loom.is_open_at_the_end(call, at.file) {
                continue;
            }
            let (file, line) =
                files.get(at.file as usize).map(|file| file.place_of(at.line)).unwrap_or_default();
            let detail = format!("call {} has no result", quoted(call));
            self.report.mend(RepairKind::UnansweredCall, &file, line, detail);
        }
        let plan = branches::plan(&self.loom, &currents, names, MAIN);
        let (moves, activate) =
            bind(&self.batch, &self.loom, &self.survey, &plan, &asides, &mut self.report).await?;
        if activate.is_none() && !self.survey.exists {
            // Records beside the tree alone must not make their branch the active one.
            self.batch.finish().await?;
        }
        let added = self.batch.finish_with(moves, activate).await?;
        let Self { mut report, loom, sources, .. } = self;
        report.added = added.saturating_sub(sources);
        (report.nodes, report.roots, report.forks) = (loom.nodes, loom.roots, loom.forks);
        report.leaves = plan.leaves;
        Ok(report)
    }

    /// Takes one file through.
    async fn pass<'f>(
        &mut self,
        file: &'f SourceFile,
        index: u32,
        bytes_before: u64,
    ) -> Result<Passage<'f>> {
        self.loom.begin_file();
        let known = self.survey.file(&file.found.part).cloned();
        let mut passage = Passage {
            file,
            index,
            reader: file.format.reader(),
            runs: known.as_ref().map_or(0, |known| known.runs),
            aside: known.as_ref().map(|known| known.newest_source),
            adopted: 0,
            is_whole: true,
            last_ms: 0,
            record_line: 0,
            bytes_before,
            told: 0,
        };
        let mut lines = file.lines()?;
        let mut pieces = Pieces::new(self.batch.store, self.batch.session, known.as_ref());
        if !self.adopt(&mut passage, &mut lines, &mut pieces).await? {
            return Ok(passage);
        }
        let mut begun = false;
        while let Some(line) = lines.next_line().map_err(Error::io(&file.path))? {
            for piece in understand(&mut *passage.reader, file, &line) {
                let offset = line.offset + piece.range.start as u64;
                if self.live && piece.is_torn() && !line.bytes.ends_with(b"\n") {
                    break;
                }
                // A line may have more pieces than a change may have entries. The newest stay for the
                // change that moves branches.
                self.batch.flush_if_full().await?;
                if !std::mem::replace(&mut begun, true) {
                    self.begin(&mut passage, offset);
                }
                let bytes = &line.bytes[piece.range.clone()];
                self.take(&mut passage, piece, bytes, Spot { offset, line: line.number }, None);
            }
            self.tell(&mut passage, line.offset);
        }
        Ok(passage)
    }

    /// Goes over what the store has of the file; tells whether there is more to add, from the offset
    /// that `lines` stands at.
    async fn adopt<R: Read>(
        &mut self,
        passage: &mut Passage<'_>,
        lines: &mut Lines<R>,
        pieces: &mut Pieces<'_>,
    ) -> Result<bool> {
        let path = &passage.file.path;
        while let Some(stored) = pieces.next().await? {
            let bytes = stored.entry.body().map_or(&[][..], |body| &body.bytes);
            let role = lines.role_of(bytes);
            let is_there = lines.peek(bytes.len()).map_err(Error::io(path))? == bytes;
            if !is_there && let Some(passed) = self.pass_other(passage, lines, Some(&stored))? {
                if passed == newest(&stored) {
                    passage.adopted += 1;
                } else {
                    pieces.again(stored);
                }
                continue;
            }
            let found = lines.peek(bytes.len() + 1).map_err(Error::io(path))?;
            let grows = found.len() > bytes.len();
            if passage.file.frame == Frame::State && found != bytes {
                return Ok(true);
            }
            if !found.starts_with(bytes) {
                // What stands behind the last record of a document moves on when it grows.
                let is_end = matches!(role, Role::Rest | Role::Torn);
                if is_end && pieces.at_end() && grows {
                    return Ok(true);
                }
                let range = 0..bytes.len();
                let piece =
                    understand_piece(&mut *passage.reader, passage.file, bytes, range, role);
                if piece.meaning.unfinished && pieces.at_end() {
                    self.survey.superseded.insert(stored.entry.id());
                    return Ok(true);
                }
                let shrunk = bytes.starts_with(found);
                let (kind, detail) = if shrunk {
                    (RepairKind::ShrunkFile, "shorter than what was loaded before; nothing removed")
                } else {
                    (
                        RepairKind::RewrittenFile,
                        "differs from what was loaded before; loaded anew from here",
                    )
                };
                let (shown, line) = passage.file.place(lines.line_of(b""), lines.offset());
                self.report.mend(kind, &shown, line, detail.to_owned());
                return Ok(!shrunk);
            }
            let spot = Spot { offset: lines.offset(), line: lines.line_of(bytes) };
            let piece =
                understand_piece(&mut *passage.reader, passage.file, bytes, 0..bytes.len(), role);
            // What was a torn last line may be whole by now, what was unfinished further on.
            let is_open = piece.is_torn() || piece.meaning.unfinished;
            if is_open && pieces.at_end() && grows {
                self.survey.superseded.insert(stored.entry.id());
                return Ok(true);
            }
            self.take(passage, piece, bytes, spot, Some(newest(&stored)));
            passage.adopted += 1;
            lines.pass(bytes.len());
            self.tell(passage, spot.offset);
        }
        while self.pass_other(passage, lines, None)?.is_some() {}
        Ok(!lines.peek(1).map_err(Error::io(path))?.is_empty())
    }

    /// Passes the next record of the file where the store has it with another body: redacted, as `stored`, or
    /// erased, and then it is not to come back. Answers the entry.
    fn pass_other<R: Read>(
        &mut self,
        passage: &mut Passage<'_>,
        lines: &mut Lines<R>,
        stored: Option<&Stored>,
    ) -> Result<Option<Newest>> {
        if self.survey.erased.is_empty() && stored.is_none() {
            return Ok(None);
        }
        let path = &passage.file.path;
        let Some(line) = lines.peek_line().map_err(Error::io(path))? else { return Ok(None) };
        let place = Place { session: self.batch.session, file: passage.file, runs: passage.runs };
        let Some((len, known)) = other(self.batch.store, &self.survey, &place, &line, stored)
        else {
            return Ok(None);
        };
        let (spot, role) = (Spot { offset: line.offset, line: line.number }, line.role);
        let bytes = line.bytes[..len].to_vec();
        let piece = understand_piece(&mut *passage.reader, passage.file, &bytes, 0..len, role);
        self.take(passage, piece, &bytes, spot, Some(known));
        lines.pass(len);
        passage.is_whole = false;
        Ok(Some(known))
    }

    /// Writes down that what follows are records of the file, from offset `at` on.
    fn begin(&mut self, passage: &mut Passage<'_>, at: u64) {
        let source = Source {
            format: passage.file.format.name().to_owned(),
            part: passage.file.found.part.clone(),
            file: passage.file.name(),
            at,
            kept: (!passage.is_whole).then_some(passage.adopted),
            members: passage.file.members_from(at),
        };
        let parent = passage.aside.map(|aside| aside.id);
        let nonce = self.nonce(b"source", passage, at);
        let envelope = Envelope::new(Kind::Record, self.batch.at_ms);
        let draft = Draft::with(envelope, nonce, source.body()).under(parent);
        passage.aside = Some(Newest { number: Number::MAX, id: draft.id_under(parent) });
        self.sources += 1;
        self.batch.put(draft);
    }

    /// Makes an entry of a piece, or takes the one that is there.
    fn take(
        &mut self,
        passage: &mut Passage<'_>,
        piece: Piece,
        bytes: &[u8],
        spot: Spot,
        stored: Option<Newest>,
    ) {
        let Piece { meaning, mut repairs, is_record, .. } = piece;
        let is_line = passage.file.frame == Frame::Lines;
        if is_record && is_line && passage.record_line == spot.line {
            let detail = "more than one record on the line; each is an entry".to_owned();
            repairs.push((RepairKind::GluedRecords, detail));
        }
        passage.record_line = if is_record { spot.line } else { 0 };
        passage.last_ms = meaning.at_ms.unwrap_or(passage.last_ms);
        let mut envelope = Envelope::new(Kind::Record, passage.last_ms);
        let mut node = None;
        if meaning.hangs == Hangs::Aside {
            envelope.parent = passage.aside.map(|aside| aside.id);
            self.loom.pass(&meaning);
        } else {
            let at = At { file: passage.index, line: spot.line };
            let woven = self.loom.weave(&meaning, at, &mut repairs);
            node = Some(woven.node);
            envelope.kind = woven.kind;
            envelope.parent = woven.parent;
            envelope.target = woven.target;
            envelope.slot = meaning.slot.clone().filter(|_| woven.kind == Kind::SystemPrompt);
            (envelope.calls, envelope.answers) = (woven.calls, woven.answers);
            let id = usable_id(&meaning, &mut repairs);
            // An id stays free for the record that comes in the place of an unfinished one.
            envelope.alias = id
                .filter(|_| stored.is_none() && !meaning.unfinished)
                .and_then(|id| self.alias(id, woven.copies));
        }
        self.report.entries += 1;
        self.report.compactions += u64::from(envelope.kind == Kind::Compaction);
        let newest = stored.unwrap_or_else(|| {
            let id = self.append(passage, &meaning, envelope, bytes, spot.offset);
            Newest { number: Number::MAX, id }
        });
        match node {
            Some(node) => self.loom.bind(node, newest.id),
            None if passage.aside.is_none_or(|aside| aside.number <= newest.number) => {
                passage.aside = Some(newest);
            }
            None => {}
        }
        for (kind, detail) in repairs {
            let (shown, line) = passage.file.place(spot.line, spot.offset);
            self.report.mend(kind, &shown, line, detail);
        }
    }

    fn append(
        &mut self,
        passage: &Passage<'_>,
        meaning: &Meaning,
        envelope: Envelope,
        bytes: &[u8],
        offset: u64,
    ) -> Id {
        let counts = envelope.kind.has_place_in_context() || envelope.kind == Kind::Compaction;
        let message = meaning.message.as_ref().filter(|_| counts);
        let size = message.map_or_else(Counted::default, self.count);
        let parent = envelope.parent;
        let body = Body::new(meaning.body_format.clone(), bytes);
        // As it will be stored: what comes in later changes names it.
        let body = self.batch.store.redacts(&body).unwrap_or(body);
        let nonce = self.nonce(b"record", passage, offset);
        let draft = Draft::with(envelope, nonce, body).under(parent).counted(size);
        let id = draft.id_under(parent);
        self.batch.put(draft);
        id
    }

    /// The nonce of what begins at an offset of a file, the how-manieth time it is loaded anew.
    fn nonce(&self, what: &[u8], passage: &Passage<'_>, offset: u64) -> Nonce {
        let place = Place { session: self.batch.session, file: passage.file, runs: passage.runs };
        place.nonce(self.batch.store, what, offset)
    }

    /// The foreign id where it is free, else with the number of its copy behind it.
    fn alias(&mut self, id: &str, copies: u32) -> Option<String> {
        let is_free =
            |key: &Key| !self.survey.aliases.contains(key) && !self.numbered.contains(key);
        if copies == 0 && is_free(&Key::of(id)) {
            return Some(id.to_owned());
        }
        let last = self.numbers.get(&Key::of(id)).copied().unwrap_or_default();
        let mut numbers = last.max(copies).max(1) + 1..u32::MAX;
        let number = numbers.find(|number| {
            let key = Key::of(&format!("{id}~{number}"));
            is_free(&key) && !self.loom.is_named(&key)
        })?;
        self.numbers.insert(Key::of(id), number);
        let alias = format!("{id}~{number}");
        check_name("alias", &alias).ok()?;
        self.numbered.insert(Key::of(&alias));
        Some(alias)
    }

    fn tell(&mut self, passage: &mut Passage<'_>, offset: u64) {
        if offset - passage.told >= limits::PROGRESS_BYTES {
            passage.told = offset;
            (self.tell)(passage.bytes_before + offset);
        }
    }
}

/// A file of a session, and how often it was begun before.
pub(crate) struct Place<'f> {
    pub(crate) session: &'f str,
    pub(crate) file: &'f SourceFile,
    pub(crate) runs: u64,
}

impl Place<'_> {
    fn nonce(&self, store: &dyn Store, what: &[u8], offset: u64) -> Nonce {
        let (part, runs) = (self.file.found.part.as_bytes(), self.runs.to_le_bytes());
        store.nonce_for(&[what, self.session.as_bytes(), part, &runs, &offset.to_le_bytes()])
    }
}

/// The entry of the record that a line begins with, and its length, where the store has it with another body:
/// redacted, or erased. The nonce of an erased one follows from its place, and so the bytes of the file tell
/// what its id says of them.
pub(crate) fn other(
    store: &dyn Store,
    survey: &Survey,
    place: &Place<'_>,
    line: &Line<'_>,
    stored: Option<&Stored>,
) -> Option<(usize, Newest)> {
    // The reader that goes along must not meet it twice.
    let pieces = understand(&mut *place.file.format.reader(), place.file, line);
    let piece = pieces.first()?;
    let len = piece.range.len();
    let body = Body::new(piece.meaning.body_format.clone(), &line.bytes[piece.range.clone()]);
    let redacted = store.redacts(&body);
    if let Some(stored) = stored.filter(|stored| stored.entry.body() == redacted.as_ref()) {
        return redacted.map(|_| (len, newest(stored)));
    }
    let body = redacted.unwrap_or(body);
    let found = (0..=place.runs).find_map(|runs| {
        let nonce = Place { runs, ..*place }.nonce(store, b"record", line.offset);
        let draft = Draft::with(Envelope::new(Kind::Record, 0), nonce, body.clone());
        survey.erased.get(&draft.commitment())
    })?;
    Some((len, *found))
}

fn newest(stored: &Stored) -> Newest {
    Newest { number: stored.place.number, id: stored.entry.id() }
}

/// The foreign id of a record, if it can be an alias.
fn usable_id<'m>(meaning: &'m Meaning, repairs: &mut Repairs) -> Option<&'m str> {
    let id = meaning.id.as_deref()?;
    match check_name("alias", id) {
        Ok(()) => Some(id),
        Err(why) => {
            repairs.push((RepairKind::UnusableId, format!("{why}; kept without an alias")));
            None
        }
    }
}

/// What the branch of a file's conversation is called.
fn branch_name(part: &str) -> String {
    if part == MAIN_PART {
        return MAIN.to_owned();
    }
    let name = part.rsplit('/').next().unwrap_or(part);
    name.strip_suffix(".jsonl").unwrap_or(name).to_owned()
}

/// What the branch of the records beside a file's tree is called.
fn aside_name(part: &str) -> String {
    if part == MAIN_PART { "file".to_owned() } else { format!("file/{part}") }
}
