//! Summaries without a model that the ledger is compared with.

use std::collections::{BTreeMap, BTreeSet};

use treering_provider::{ByteClasses, JobEntry, TokenCounter};
use treering_tree::{Part, Role};

/// The leading text that fits.
pub(crate) fn first(texts: &[String], budget: u32) -> String {
    let counter = ByteClasses::default();
    let (mut text, mut left) = (String::new(), budget);
    for line in texts.iter().flat_map(|text| text.lines()) {
        let cost = counter.count(line) + 2;
        if cost > left {
            break;
        }
        left -= cost;
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Sentences of the user and the agent.
pub(crate) fn prose(entries: &[JobEntry]) -> Vec<String> {
    let mut sentences = Vec::new();
    let said = entries.iter().filter(|entry| entry.message.role != Role::Tool);
    for part in said.flat_map(|entry| &entry.message.parts) {
        let Part::Text { text } = part else { continue };
        for sentence in text.split(['\n', '!', '?']).flat_map(|line| line.split(". ")) {
            if (20..=400).contains(&sentence.trim().len()) {
                sentences.push(sentence.trim().to_owned());
            }
        }
    }
    sentences
}

/// The sentences with the rarest words that fit, in their order.
pub(crate) fn tf_idf(sentences: &[String], budget: u32) -> String {
    let words = |sentence: &str| -> BTreeSet<String> {
        let words = sentence.split(|c: char| !c.is_alphanumeric() && !"_./-".contains(c));
        words.filter(|word| word.len() > 2).map(str::to_lowercase).collect()
    };
    let mut frequency: BTreeMap<String, f64> = BTreeMap::new();
    for sentence in sentences {
        for word in words(sentence) {
            *frequency.entry(word).or_default() += 1.0;
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "a few thousand sentences")]
    let worth = |sentence: &String| {
        let rarity = |word: &String| (sentences.len() as f64 / frequency[word]).ln();
        words(sentence).iter().map(rarity).sum::<f64>() / (sentence.len() as f64).sqrt()
    };
    let mut ranked: Vec<(f64, usize)> = sentences.iter().map(worth).zip(0..).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let counter = ByteClasses::default();
    let (mut taken, mut left) = (BTreeSet::new(), budget);
    for (_, at) in ranked {
        let cost = counter.count(&sentences[at]) + 2;
        if cost <= left {
            left -= cost;
            taken.insert(at);
        }
    }
    let taken: Vec<&str> = taken.into_iter().map(|at| sentences[at].as_str()).collect();
    taken.join("\n")
}
