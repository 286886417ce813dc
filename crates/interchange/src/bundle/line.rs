//! One line of a bundle, and the entry it stands for.

use serde::{Deserialize, Serialize};
use treering_tree::{
    Body, Content, Counted, Counter, Draft, Envelope, Id, Kind, Mask, Nonce, Stored,
};

use crate::error::{Error, Result};
use crate::json::to_hex;

/// The version that is written and read.
pub(super) const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Line {
    Bundle(Head),
    Entry(Box<EntryLine>),
    Head(BranchHead),
    End(End),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) version: u32,
    pub(super) session: String,
    pub(super) active: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BranchHead {
    pub(super) branch: String,
    pub(super) id: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) entries: u64,
    pub(super) heads: u64,
}

/// An entry with everything that its id is made of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryLine {
    pub(super) id: String,
    kind: u16,
    parent: Option<String>,
    at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    calls: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    answers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slot: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    masks: Vec<MaskLine>,
    nonce: String,
    format: String,
    /// The body where it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The body where it is not, in hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
    tokens: u32,
    /// Whose count that is, where one was named.
    #[serde(default)]
    counter: Counter,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MaskLine {
    entry: String,
    saved_tokens: u32,
}

impl MaskLine {
    fn of(mask: &Mask) -> Self {
        Self { entry: mask.entry.to_string(), saved_tokens: mask.saved_tokens }
    }

    fn mask(&self) -> Result<Mask, String> {
        Ok(Mask { entry: parse_id(&self.entry)?, saved_tokens: self.saved_tokens })
    }
}

impl EntryLine {
    pub(super) fn of(stored: &Stored) -> Result<Self> {
        let envelope = stored.entry.envelope();
        let Content::Whole(whole) = stored.entry.content() else {
            let entry = stored.entry.id().to_string();
            return Err(Error::Unbundled { entry, why: "its body was erased" });
        };
        let bytes = &whole.body.bytes;
        let text = std::str::from_utf8(bytes).ok().filter(|text| is_compact(text));
        Ok(Self {
            id: stored.entry.id().to_string(),
            kind: envelope.kind.code(),
            parent: envelope.parent.map(|id| id.to_string()),
            at_ms: envelope.at_ms,
            alias: envelope.alias.clone(),
            calls: envelope.calls.clone(),
            answers: envelope.answers.clone(),
            slot: envelope.slot.clone(),
            target: envelope.target.map(|id| id.to_string()),
            masks: envelope.masks.iter().map(MaskLine::of).collect(),
            nonce: to_hex(&whole.nonce.0),
            format: whole.body.format.clone(),
            text: text.map(str::to_owned),
            hex: text.is_none().then(|| to_hex(bytes)),
            tokens: stored.place.tokens,
            counter: stored.place.counter,
        })
    }

    /// The entry, if it has the id that it says it has; else why not.
    pub(super) fn draft(self) -> Result<(Id, Draft), String> {
        let id = parse_id(&self.id)?;
        let parent = self.parent.as_deref().map(parse_id).transpose()?;
        let nonce: [u8; 16] = from_hex(&self.nonce)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or("expected a nonce of 32 hex digits")?;
        let bytes = match (self.text, self.hex) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(hex)) => from_hex(&hex).ok_or("expected a body of hex digits")?,
            _ => return Err("expected a body as either text or hex".to_owned()),
        };
        let mut envelope = Envelope::new(Kind::from_code(self.kind), self.at_ms);
        envelope.alias = self.alias;
        envelope.calls = self.calls;
        envelope.answers = self.answers;
        envelope.slot = self.slot;
        envelope.target = self.target.as_deref().map(parse_id).transpose()?;
        envelope.masks = self.masks.iter().map(MaskLine::mask).collect::<Result<_, _>>()?;
        let body = Body::new(self.format, bytes);
        let size = Counted { tokens: self.tokens, counter: self.counter };
        let draft = Draft::with(envelope, Nonce(nonce), body).under(parent).counted(size);
        let found = draft.id_under(parent);
        if found != id {
            return Err(format!("expected entry {id}, but its content is that of {found}"));
        }
        Ok((id, draft))
    }
}

pub(super) fn parse_id(text: &str) -> Result<Id, String> {
    text.parse().map_err(|error: treering_tree::Error| error.to_string())
}

/// Whether a text is not much longer as JSON.
fn is_compact(text: &str) -> bool {
    let escaped = text.bytes().filter(|byte| *byte < 0x20 || *byte == 0x7f).count();
    escaped * 5 <= text.len() || text.len() < 1024
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}
