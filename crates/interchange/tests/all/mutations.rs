//! Samples cut, spliced, shuffled and flipped: they load or are refused, nothing panics, no byte is
//! lost, and the store stays sound.

use std::time::Instant;

use proptest::prelude::*;

use crate::kit::{block_on, loaded_as, samples};
use crate::samples::FOLDERS;

/// Bytes of a sample that are mutated: enough for every kind of record, little enough for many cases.
const SAMPLE_BYTES: usize = 24 << 10;

#[derive(Clone, Debug)]
enum Mutation {
    FlipBit(usize),
    Cut(usize, usize),
    Copy(usize, usize, usize),
    SwapLines(usize, usize),
    DuplicateLine(usize, usize),
    Insert(usize, Vec<u8>),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<usize>;
    let junk = prop::sample::select(vec![
        &b"\0\0\0\0"[..],
        b"\n",
        b"\r",
        b"{",
        b"}",
        b"\"",
        b"{\"type\":\"user\"}",
        b"1e999999",
        b"\xff\xfe",
        b"[[[[[[",
        b"\\ud83d",
    ]);
    prop_oneof![
        at().prop_map(Mutation::FlipBit),
        (at(), 0..400_usize).prop_map(|(at, len)| Mutation::Cut(at, len)),
        (at(), at(), 0..400_usize).prop_map(|(from, to, len)| Mutation::Copy(from, to, len)),
        (at(), at()).prop_map(|(one, other)| Mutation::SwapLines(one, other)),
        (at(), at()).prop_map(|(line, to)| Mutation::DuplicateLine(line, to)),
        (at(), junk).prop_map(|(at, junk)| Mutation::Insert(at, junk.to_vec())),
    ]
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    let end = |from: usize, count: usize| len.min(from + count);
    match mutation {
        Mutation::FlipBit(at) => bytes[at / 8 % len] ^= 1 << (at % 8),
        Mutation::Cut(at, count) => drop(bytes.drain(at % len..end(at % len, *count))),
        Mutation::Copy(from, to, count) => {
            let copy = bytes[from % len..end(from % len, *count)].to_vec();
            bytes.splice(to % len..to % len, copy);
        }
        Mutation::Insert(at, junk) => drop(bytes.splice(at % len..at % len, junk.iter().copied())),
        Mutation::SwapLines(..) | Mutation::DuplicateLine(..) => {
            let mut lines: Vec<Vec<u8>> =
                bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            let count = lines.len();
            match mutation {
                Mutation::SwapLines(one, other) => lines.swap(one % count, other % count),
                Mutation::DuplicateLine(line, to) => {
                    lines.insert(to % count, lines[line % count].clone());
                }
                _ => {}
            }
            *bytes = lines.concat();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 2))]

    #[test]
    fn a_mutated_sample_loses_no_byte(
        format in prop::sample::select(&FOLDERS[..]), pick: usize, from: usize, mutations in prop::collection::vec(mutation(), 1..12),
    ) {
        let samples = samples(format);
        if let Some(path) = samples.get(pick % samples.len().max(1)) {
            let whole = std::fs::read(path).unwrap();
            let from = if whole.len() > SAMPLE_BYTES { from % (whole.len() - SAMPLE_BYTES) } else { 0 };
            let mut bytes = whole[from..whole.len().min(from + SAMPLE_BYTES)].to_vec();
            for mutation in &mutations {
                apply(&mut bytes, mutation);
            }
            if !bytes.is_empty() {
                let begun = Instant::now();
                block_on(loaded_as("mutated", &bytes, Some(format)));
                prop_assert!(begun.elapsed().as_secs() < 5, "took {:?}", begun.elapsed());
            }
        }
    }
}
