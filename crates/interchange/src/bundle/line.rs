//! One line of a bundle, and the entry it stands for.

use serde::{Deserialize, Serialize};
use treering_tree::{
    Body, Commitment, Content, Counted, Counter, Draft, Envelope, Id, Kind, Mask, Nonce, Stored,
    Whole,
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
    /// The entry it is bound to; `null` for none.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) id: Option<String>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    /// The body where it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The body where it is not, in hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
    /// What stands for nonce, format and body where they were erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    erased: Option<String>,
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
        let mut line = Self {
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
            nonce: None,
            format: None,
            text: None,
            hex: None,
            erased: None,
            tokens: stored.place.tokens,
            counter: stored.place.counter,
        };
        match stored.entry.content() {
            Content::Whole(whole) => line.put_body(whole),
            Content::Erased { commitment } => line.erased = Some(to_hex(&commitment.0)),
            Content::Sealed(_) => {
                return Err(Error::Unbundled { entry: line.id, why: "its key is not here" });
            }
            Content::Lost => {
                return Err(Error::Unbundled { entry: line.id, why: "damage took its content" });
            }
        }
        Ok(line)
    }

    fn put_body(&mut self, whole: &Whole) {
        let bytes = &whole.body.bytes;
        let text = std::str::from_utf8(bytes).ok().filter(|text| is_compact(text));
        self.nonce = Some(to_hex(&whole.nonce.0));
        self.format = Some(whole.body.format.clone());
        self.text = text.map(str::to_owned);
        self.hex = text.is_none().then(|| to_hex(bytes));
    }

    /// The entry, if it has the id that it says it has; else why not.
    pub(super) fn draft(mut self) -> Result<(Id, Draft), String> {
        let id = parse_id(&self.id)?;
        let parent = self.parent.as_deref().map(parse_id).transpose()?;
        let mut envelope = Envelope::new(Kind::from_code(self.kind), self.at_ms);
        envelope.alias = self.alias.take();
        envelope.calls = std::mem::take(&mut self.calls);
        envelope.answers = std::mem::take(&mut self.answers);
        envelope.slot = self.slot.take();
        envelope.target = self.target.as_deref().map(parse_id).transpose()?;
        envelope.masks = self.masks.iter().map(MaskLine::mask).collect::<Result<_, _>>()?;
        let size = Counted { tokens: self.tokens, counter: self.counter };
        let draft = match self.content()? {
            Ok((nonce, body)) => Draft::with(envelope, nonce, body),
            Err(commitment) => Draft::erased(envelope, commitment),
        };
        let draft = draft.under(parent).counted(size);
        let found = draft.id_under(parent);
        if found != id {
            return Err(format!("expected entry {id}, but its content is that of {found}"));
        }
        Ok((id, draft))
    }

    /// Nonce and body, or what stands for them.
    fn content(self) -> Result<Result<(Nonce, Body), Commitment>, String> {
        let (nonce, format) = match (self.nonce, self.format, self.erased) {
            (Some(nonce), Some(format), None) => (nonce, format),
            (None, None, Some(erased)) if self.text.is_none() && self.hex.is_none() => {
                let commitment = array(&erased).ok_or("expected a commitment of 64 hex digits")?;
                return Ok(Err(Commitment(commitment)));
            }
            _ => return Err("expected either nonce, format and body, or erased".to_owned()),
        };
        let nonce = array(&nonce).ok_or("expected a nonce of 32 hex digits")?;
        let bytes = match (self.text, self.hex) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(hex)) => from_hex(&hex).ok_or("expected a body of hex digits")?,
            _ => return Err("expected a body as either text or hex".to_owned()),
        };
        Ok(Ok((Nonce(nonce), Body::new(format, bytes))))
    }
}

fn array<const N: usize>(hex: &str) -> Option<[u8; N]> {
    from_hex(hex)?.try_into().ok()
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
