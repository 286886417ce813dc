//! Invariant 2: ids are a function of envelope and body, the same for ever. The vectors stand in
//! `docs/format.md`; an id that changes there is a change of every id there is.

#![allow(clippy::unwrap_used, reason = "a document that does not parse fails the test")]

use serde_json::Value;
use treering_tree::{Body, Entry, Envelope, Id, Kind, Mask, Nonce};

fn document() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/format.md")).unwrap()
}

fn names(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn masks(value: &Value) -> Vec<Mask> {
    let mask = |mask: &Value| Mask {
        entry: id(&mask["entry"]).unwrap(),
        saved_tokens: mask["saved_tokens"].as_u64().unwrap().try_into().unwrap(),
    };
    value.as_array().into_iter().flatten().map(mask).collect()
}

fn id(value: &Value) -> Option<Id> {
    value.as_str().map(|hex| hex.parse().unwrap())
}

fn entry(vector: &Value) -> Entry {
    let text = |key: &str| vector[key].as_str().map(str::to_owned);
    let code = u16::try_from(vector["kind"].as_u64().unwrap()).unwrap();
    let envelope = Envelope {
        parent: id(&vector["parent"]),
        target: id(&vector["target"]),
        alias: text("alias"),
        slot: text("slot"),
        calls: names(&vector["calls"]),
        answers: names(&vector["answers"]),
        masks: masks(&vector["masks"]),
        ..Envelope::new(Kind::from_code(code), vector["at_ms"].as_i64().unwrap())
    };
    let nonce = u8::try_from(vector["nonce_byte"].as_u64().unwrap()).unwrap();
    let times = usize::try_from(vector["repeat"].as_u64().unwrap()).unwrap();
    let body = vector["body"].as_str().unwrap().repeat(times);
    Entry::new(envelope, Nonce([nonce; 16]), Body::new(text("format").unwrap(), body))
}

#[test]
fn invariant_2_ids_are_those_of_the_document() {
    let document = document();
    let vectors: Vec<Value> = document
        .lines()
        .filter(|line| line.starts_with("{\"id\""))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(vectors.len(), 7, "golden vectors in docs/format.md");
    for vector in vectors {
        assert_eq!(entry(&vector).id().to_string(), vector["id"], "{vector}");
    }
}
