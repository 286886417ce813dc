//! What a compaction of Claude Code preserved: records that the tool writes once more, under the ids they
//! had. It knows nothing of records but their ids.

use std::collections::HashSet;

use serde::Deserialize;

use crate::json::{Text, lenient};

/// What the newest compaction kept, and wrote once more behind its summary.
#[derive(Default)]
pub(super) struct Preserved {
    /// The ids, where they are told one by one.
    all: HashSet<String>,
    /// First and last of them, where they are told as a segment.
    segment: Option<(String, String)>,
    /// Whether the segment has begun.
    inside: bool,
}

impl Preserved {
    pub(super) fn of(metadata: &Compacted<'_>) -> Self {
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.as_str().to_owned());
        let mut preserved = Self::default();
        // What was preserved stands behind what it is anchored to, and so never holds that.
        if let Some(Segment { head, anchor, tail }) = &metadata.segment
            && anchor != head
            && anchor != tail
        {
            preserved.segment = text(head).zip(text(tail));
        }
        if let Some(Messages { anchor, uuids }) = &metadata.messages {
            let uuids = uuids.iter().flatten();
            preserved.all = uuids.map(|uuid| uuid.as_str().to_owned()).collect();
            if text(anchor).is_some_and(|anchor| preserved.all.contains(&anchor)) {
                preserved.all.clear();
            }
        }
        preserved
    }

    /// Whether the next record is one of them.
    pub(super) fn takes(&mut self, id: &str) -> bool {
        let Some((head, tail)) = &self.segment else { return self.all.contains(id) };
        self.inside |= head == id;
        let takes = self.inside || self.all.contains(id);
        if tail == id {
            (self.inside, self.segment) = (false, None);
        }
        takes
    }
}

#[derive(Deserialize)]
pub(super) struct Compacted<'a> {
    #[serde(borrow, rename = "preservedSegment", default, deserialize_with = "lenient")]
    segment: Option<Segment<'a>>,
    #[serde(borrow, rename = "preservedMessages", default, deserialize_with = "lenient")]
    messages: Option<Messages<'a>>,
}

#[derive(Deserialize)]
struct Segment<'a> {
    #[serde(borrow, rename = "headUuid", default, deserialize_with = "lenient")]
    head: Option<Text<'a>>,
    #[serde(borrow, rename = "anchorUuid", default, deserialize_with = "lenient")]
    anchor: Option<Text<'a>>,
    #[serde(borrow, rename = "tailUuid", default, deserialize_with = "lenient")]
    tail: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Messages<'a> {
    #[serde(borrow, rename = "anchorUuid", default, deserialize_with = "lenient")]
    anchor: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    uuids: Option<Vec<Text<'a>>>,
}
