//! What was said before a compaction, found again: by words, or by the entry ids that the lines of a
//! ledger carry. Pure search over the entries it is shown, in one pass; it knows no store.

use std::fmt;

use treering_tree::{Id, Kind};

use crate::error::{Error, Result};
use crate::summarizer::JobEntry;
use crate::transcript::{clip, said};

/// Bytes of a query.
const QUERY_BYTES: usize = 4 << 10;
/// Words of a query that are looked for.
const TERMS: usize = 32;
/// Bytes of an excerpt around what was found by words.
const EXCERPT_BYTES: usize = 600;
/// Bytes of an entry that was asked for by its id.
const ENTRY_BYTES: usize = 16 << 10;
/// Digits that make a word an id.
const ID_DIGITS: std::ops::RangeInclusive<usize> = 6..=64;
/// Places of one word in one entry that are looked at.
const PLACES: usize = 64;
/// Finds that are kept while there are more to come.
const KEPT: usize = 4_096;

/// A search through entries, shown one by one.
///
/// An entry is found when it holds any word of the query, in whatever case, also inside a longer word;
/// or when its id begins with the query. Those that hold more of the words come first, then those that
/// hold rarer ones more often, then newer ones. Compactions are found by id only: what they say,
/// others said before.
///
/// ```
/// use treering_provider::{JobEntry, Recall};
/// use treering_tree::{Id, Kind, Message, Role};
///
/// let entry = |at: u8, text: &str| JobEntry {
///     id: Id::from_bytes([at; 32]),
///     kind: Kind::User,
///     turn: 1,
///     tokens: 9,
///     message: Message::text(Role::User, text),
/// };
/// let mut recall = Recall::new("parser port")?;
/// recall.look(&entry(1, "Write a parser."));
/// recall.look(&entry(2, "The parser listens at port 8080."));
/// let found = recall.found(5);
/// assert_eq!(found[0].id, Id::from_bytes([2; 32]));
/// assert_eq!(found[0].excerpt, "The parser listens at port 8080.");
/// # Ok::<(), treering_provider::Error>(())
/// ```
pub struct Recall {
    terms: Vec<String>,
    /// Entries that hold each term.
    holders: Vec<u64>,
    looked: u64,
    finds: Vec<Find>,
}

/// How far it has come; neither the words nor what was found.
impl fmt::Debug for Recall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recall({} terms, {} finds)", self.terms.len(), self.finds.len())
    }
}

/// An entry that was found.
#[derive(Clone, PartialEq, Eq)]
pub struct Recalled {
    /// The entry.
    pub id: Id,
    /// What it is.
    pub kind: Kind,
    /// The turn it belongs to.
    pub turn: u64,
    /// What it says where the words stand; the whole of it, up to 16 KiB, if asked for by id.
    pub excerpt: String,
}

/// Which entry, not what it says.
impl fmt::Debug for Recalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, bytes) = (self.id, self.excerpt.len());
        write!(f, "Recalled({id}, {:?}, turn {}, {bytes} bytes)", self.kind, self.turn)
    }
}

struct Find {
    entry: Recalled,
    by_id: bool,
    /// How often it holds each term.
    counts: Vec<u32>,
    at: u64,
}

impl Recall {
    /// A search for words, or for an entry by the first six or more digits of its id.
    ///
    /// # Errors
    /// `Invalid` for a query without words, or one of more than 4 KiB.
    pub fn new(query: &str) -> Result<Self> {
        let invalid = |why: String| Err(Error::Invalid { what: "query", why });
        if query.len() > QUERY_BYTES {
            return invalid(format!("at most {QUERY_BYTES} bytes, found {}", query.len()));
        }
        let mut terms: Vec<String> = Vec::new();
        for word in query.split_whitespace() {
            // As a ledger writes them.
            let term = word.trim_matches(['[', ']', ',', '"', '`']).to_ascii_lowercase();
            if !term.is_empty() && !terms.contains(&term) && terms.len() < TERMS {
                terms.push(term);
            }
        }
        if terms.is_empty() {
            return invalid("expected words or an entry's id, found none".to_owned());
        }
        let holders = vec![0; terms.len()];
        Ok(Self { terms, holders, looked: 0, finds: Vec::new() })
    }

    /// Looks at one more entry, older ones first.
    pub fn look(&mut self, entry: &JobEntry) {
        self.looked += 1;
        let id = entry.id.to_string();
        let is_id =
            |term: &String| ID_DIGITS.contains(&term.len()) && id.starts_with(term.as_str());
        let by_id = self.terms.iter().any(is_id);
        if entry.kind == Kind::Compaction && !by_id {
            return;
        }
        let text = said(entry, usize::MAX);
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        let places: Vec<Vec<usize>> = self.terms.iter().map(|term| places(&lower, term)).collect();
        for (holders, places) in self.holders.iter_mut().zip(&places) {
            *holders += u64::from(!places.is_empty());
        }
        if !by_id && places.iter().all(Vec::is_empty) {
            return;
        }
        let excerpt = if by_id {
            clip(text, ENTRY_BYTES).into_owned()
        } else {
            excerpt(text, densest(&places))
        };
        let entry = Recalled { id: entry.id, kind: entry.kind, turn: entry.turn, excerpt };
        let count = |places: &Vec<usize>| u32::try_from(places.len()).unwrap_or(u32::MAX);
        let counts = places.iter().map(count).collect();
        self.finds.push(Find { entry, by_id, counts, at: self.looked });
        if self.finds.len() >= 2 * KEPT {
            self.rank(KEPT);
        }
    }

    /// The best finds, best first.
    pub fn found(mut self, most: usize) -> Vec<Recalled> {
        self.rank(most);
        self.finds.into_iter().map(|find| find.entry).collect()
    }

    fn rank(&mut self, most: usize) {
        let worth = |find: &Find| {
            let held = find.counts.iter().filter(|count| **count > 0).count();
            let rarity = |(count, holders): (&u32, &u64)| {
                let rare = (8 * self.looked / (*holders).max(1)).max(1).ilog2() + 1;
                count.checked_ilog2().map_or(0, |often| 2 * rare + often)
            };
            let score: u32 = find.counts.iter().zip(&self.holders).map(rarity).sum();
            (find.by_id, held, score, find.at)
        };
        self.finds.sort_by_cached_key(|find| std::cmp::Reverse(worth(find)));
        self.finds.truncate(most);
    }
}

/// Where a term stands in a text.
fn places(text: &str, term: &str) -> Vec<usize> {
    text.match_indices(term).map(|(at, _)| at).take(PLACES).collect()
}

/// The place from which most terms are within an excerpt's reach; the first of several.
fn densest(places: &[Vec<usize>]) -> usize {
    let reach = |from: usize| {
        let near = |place: &usize| (from..from + EXCERPT_BYTES / 2).contains(place);
        places.iter().filter(|places| places.iter().any(near)).count()
    };
    let all = places.iter().flatten().copied();
    all.min_by_key(|from| (std::cmp::Reverse(reach(*from)), *from)).unwrap_or(0)
}

/// What stands around a place, from the start of a line where one is near.
fn excerpt(text: &str, at: usize) -> String {
    let mut start = at.saturating_sub(EXCERPT_BYTES / 4);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    if let (true, Some(line)) = (start > 0, text[start..at].find('\n')) {
        start += line + 1;
    }
    let mut end = text.len().min(start + EXCERPT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mark = |cut: bool| if cut { "..." } else { "" };
    format!("{}{}{}", mark(start > 0), text[start..end].trim(), mark(end < text.len()))
}

#[cfg(test)]
mod tests {
    use treering_tree::{Message, Role};

    use super::*;

    fn entry(at: u8, kind: Kind, text: &str) -> JobEntry {
        let id = Id::from_bytes([at; 32]);
        JobEntry { id, kind, turn: 1, tokens: 9, message: Message::text(Role::User, text) }
    }

    fn found(query: &str, texts: &[&str]) -> Vec<Recalled> {
        let mut recall = Recall::new(query).unwrap();
        for (at, text) in (1..).zip(texts) {
            recall.look(&entry(at, Kind::User, text));
        }
        recall.found(10)
    }

    fn order(query: &str, texts: &[&str]) -> Vec<u8> {
        found(query, texts).iter().map(|found| found.id.as_bytes()[0]).collect()
    }

    #[test]
    fn neither_what_is_looked_for_nor_what_is_found_shows() {
        let mut recall = Recall::new("canary").unwrap();
        recall.look(&entry(1, Kind::User, "the canary sings"));
        let shown = [format!("{recall:?}"), format!("{:?}", recall.found(1))].concat();
        assert!(!shown.contains("canary") && shown.contains("16 bytes"), "{shown}");
    }

    #[test]
    fn more_words_come_first_then_rarer_ones_then_newer_entries() {
        let texts = ["the parser", "the", "the port of the PARSER", "the the", "port", "none"];
        assert_eq!(order("the parser port", &texts), [3, 1, 5, 4, 2]);
    }

    #[test]
    fn an_entry_is_found_by_its_id_whole() {
        let long = "x".repeat(3_000);
        for query in ["020202", "[020202]", &Id::from_bytes([2; 32]).to_string()] {
            let found = found(query, &["020202 is said here", &long]);
            assert_eq!(found[0].id, Id::from_bytes([2; 32]), "{query}");
            assert_eq!(found[0].excerpt, long);
        }
        assert_eq!(order("0202", &["a", "b"]), [] as [u8; 0]);
    }

    #[test]
    fn the_excerpt_is_where_most_words_are() {
        let filler = "\u{e9}t\u{e9} ".repeat(400);
        let text = format!("{filler}port{filler}\nhere: port of the parser\n{filler}");
        let found = found("PORT parser", &[&text]);
        let excerpt = &found[0].excerpt;
        assert!(excerpt.starts_with("...here: port of the parser\n"), "{excerpt}");
        assert!(excerpt.ends_with("...") && excerpt.len() <= EXCERPT_BYTES + 6, "{excerpt}");
    }

    #[test]
    fn compactions_are_found_by_id_only() {
        let mut recall = Recall::new("parser 010101").unwrap();
        recall.look(&entry(1, Kind::Compaction, "the parser"));
        recall.look(&entry(2, Kind::Compaction, "the parser"));
        let ids: Vec<Id> = recall.found(9).iter().map(|found| found.id).collect();
        assert_eq!(ids, [Id::from_bytes([1; 32])]);
    }

    #[test]
    fn a_query_without_words_is_refused() {
        for query in ["", " \n", "[]", &"x".repeat(5_000)] {
            assert!(Recall::new(query).is_err());
        }
    }

    #[test]
    fn memory_stays_bounded_and_the_best_stay() {
        let mut recall = Recall::new("parser port").unwrap();
        recall.look(&entry(9, Kind::User, "parser at a port"));
        for _ in 0..3 * KEPT {
            recall.look(&entry(1, Kind::User, "parser"));
            assert!(recall.finds.len() < 2 * KEPT);
        }
        assert_eq!(recall.found(1)[0].id, Id::from_bytes([9; 32]));
    }
}
