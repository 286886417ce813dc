//! What was covered, found again: the search over a session, and the same as a tool that a runtime
//! offers its model, so that what a summary lost is a look-up away. Reads only.

use serde_json::{Value, json};
use treering_provider::{Recall, Recalled};
use treering_tree::Session;

use crate::error::Result;
use crate::gather::entry;

/// Entries that are read at once.
const PAGE: u64 = 512;
/// Finds that a call shows where it does not say how many.
const FINDS: usize = 5;
/// The most finds one call shows.
const FINDS_MAX: usize = 20;
/// Bytes of a call's text where the runtime says nothing else.
const TEXT_BYTES: usize = 16 << 10;
/// What stands where a text was cut.
const CUT: &str = "\n[cut here: ask for fewer finds, or for one by its id]\n";

/// Shows a search everything that the newest compaction on the active path covers, oldest first; the
/// same search, for its finds. O(covered) in time, a page in memory.
///
/// # Errors
/// `NotFound` for an unknown session, `Corrupt`, `Storage`.
pub async fn recall(session: &Session, mut search: Recall) -> Result<Recall> {
    let store = session.store();
    let Some(head) = session.info().await?.head else { return Ok(search) };
    let compaction = store.measure(head).await?.compaction;
    let covered = compaction.and_then(|place| place.cut).map_or(0, |cut| cut.first_kept_depth);
    let mut depth = 0;
    while depth < covered {
        let to = covered.min(depth + PAGE);
        for stored in store.path(head, depth..to).await? {
            search.look(&entry(&stored));
        }
        depth = to;
    }
    Ok(search)
}

/// [`recall`] as a tool: its definition for the model's request, and the call that answers it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::sync::Arc;
/// # use serde_json::json;
/// # use treering_compactor::{Compactor, RecallTool, RunOptions};
/// # use treering_policy::Policy;
/// # use treering_provider::{ByteClasses, Scripted};
/// # use treering_tree::{Expect, Kind, Message, Options, RedbStore, Role, Session, Sources};
/// # let sources = Sources::fixed(1);
/// # let store = Arc::new(RedbStore::in_memory(Options::new(sources.clone()))?);
/// # let session = Session::new(store, "work", sources);
/// # for text in ["The server listens at port 8080.", "Go on.", "Go on."] {
/// #     let body = Message::text(Role::User, text).body();
/// #     session.append(session.draft(Kind::User, body).tokens(500), Expect::Any).await?;
/// # }
/// # let told = Arc::new(Scripted::new([Ok("A server was set up.".to_owned())]));
/// # let compactor = Compactor::new(Arc::new(ByteClasses::default()), told);
/// # let policy = Policy { keep_recent_turns: Some(1), ..Policy::default() };
/// # let force = RunOptions { force: true, ..RunOptions::default() };
/// # compactor.run(&session, &policy, &force).await?;
/// let tool = RecallTool::new(&session);
/// let definition = RecallTool::definition(); // goes into the request's list of tools
/// assert_eq!(definition["name"], "recall");
///
/// let text = tool.call(&json!({ "query": "server port" })).await?; // the model called it
/// assert!(text.contains("The server listens at port 8080."));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RecallTool {
    session: Session,
    max_bytes: usize,
}

impl RecallTool {
    /// The name the model calls it by.
    pub const NAME: &'static str = "recall";

    /// A tool that searches this session. An answer has at most 16 KiB.
    pub fn new(session: &Session) -> Self {
        Self { session: session.clone(), max_bytes: TEXT_BYTES }
    }

    /// Sets how many bytes an answer may have.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// What the model is told of it: `name`, `description`, and `parameters`, a JSON schema. Anthropic
    /// calls the last one `input_schema`.
    pub fn definition() -> Value {
        json!({
            "name": Self::NAME,
            "description": "Search the part of this session that was replaced by a summary. Returns \
                excerpts of the original entries, verbatim. Query with a few words (names, paths, \
                error codes), or with an entry id as it stands in brackets in the summary to read \
                that entry.",
            "parameters": {
                "type": "object",
                "properties": {
                    "query": { "type": "string", "description": "Words, or an entry id." },
                    "most": {
                        "type": "integer", "minimum": 1, "maximum": FINDS_MAX,
                        "description": format!("How many finds to show; {FINDS} if not given."),
                    },
                },
                "required": ["query"],
                "additionalProperties": false,
            },
        })
    }

    /// Answers a call with these arguments. Arguments that are wrong are answered by a text that says
    /// so, for the model to correct.
    ///
    /// # Errors
    /// `NotFound` for an unknown session, `Corrupt`, `Storage`.
    pub async fn call(&self, arguments: &Value) -> Result<String> {
        let query = arguments["query"].as_str().unwrap_or_default();
        let search = match Recall::new(query) {
            Ok(search) => search,
            Err(error) => return Ok(self.bounded(error.to_string())),
        };
        let most = arguments["most"].as_u64().and_then(|most| usize::try_from(most).ok());
        let most = most.unwrap_or(FINDS).clamp(1, FINDS_MAX);
        let found = recall(&self.session, search).await?.found(most);
        if found.is_empty() {
            return Ok(self.bounded("Nothing of that in what was covered.".to_owned()));
        }
        Ok(self.bounded(found.iter().map(told).collect::<Vec<_>>().join("\n")))
    }

    fn bounded(&self, mut text: String) -> String {
        if text.len() > self.max_bytes {
            let mut end = self.max_bytes.saturating_sub(CUT.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str(&CUT[..CUT.len().min(self.max_bytes)]);
        }
        text
    }
}

fn told(find: &Recalled) -> String {
    let excerpt = find.excerpt.trim();
    format!("[{}] {}, turn {}:\n{excerpt}\n", find.id.short(), find.kind, find.turn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::{Desk, compact, keeping};

    async fn covered() -> (Desk, RecallTool) {
        let desk = Desk::with("u400 a150 u20 a20").await;
        compact(&desk, &keeping(50), "sum").await;
        let tool = RecallTool::new(&desk.session);
        (desk, tool)
    }

    #[tokio::test]
    async fn what_is_covered_is_found_by_words_and_by_the_id_in_the_answer() {
        let (desk, tool) = covered().await;
        let text = tool.call(&json!({ "query": "number" })).await.unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("number")).collect();
        assert_eq!(lines, ["a150 number 1", "u400 number 0"], "kept entries are in view already");
        let digits = desk.ids[1].short();
        assert!(text.starts_with(&format!("[{digits}] assistant, turn 1:\n")), "{text}");
        let query = format!("[{digits}]");
        let one = tool.call(&json!({ "query": query, "most": 1 })).await.unwrap();
        assert!(one.contains("a150 number 1") && !one.contains("u400"), "{one}");
    }

    #[tokio::test]
    async fn an_answer_is_bounded_and_says_where_it_was_cut() {
        let (_, tool) = covered().await;
        let whole = tool.call(&json!({ "query": "number" })).await.unwrap();
        for bytes in 0..=whole.len() {
            let bounded = tool.clone().max_bytes(bytes);
            let text = bounded.call(&json!({ "query": "number" })).await.unwrap();
            assert!(text.len() <= bytes);
            assert_eq!(text == whole, bytes == whole.len());
            assert_eq!(text.ends_with(CUT), (CUT.len()..whole.len()).contains(&bytes));
        }
    }

    #[test]
    fn a_cut_parts_no_character() {
        let tool = RecallTool::new(&Desk::new().session);
        let text = "\u{20ac}".repeat(50);
        for (bytes, whole) in [(2, 0), (3, 1), (5, 1), (6, 2)] {
            let bounded = tool.clone().max_bytes(CUT.len() + bytes).bounded(text.clone());
            assert_eq!(bounded, "\u{20ac}".repeat(whole) + CUT, "{bytes} bytes");
        }
    }

    #[tokio::test]
    async fn wrong_arguments_are_told_to_the_model() {
        let (_, tool) = covered().await;
        for arguments in [json!({}), json!({ "query": 5 }), json!("words"), json!(null)] {
            let text = tool.call(&arguments).await.unwrap();
            assert_eq!(text, "invalid query: expected words or an entry's id, found none");
        }
        let text = tool.call(&json!({ "query": "zebra" })).await.unwrap();
        assert_eq!(text, "Nothing of that in what was covered.");
    }

    #[tokio::test]
    async fn the_definition_names_the_tool_and_the_arguments_it_takes() {
        let definition = RecallTool::definition();
        assert_eq!(definition["name"], RecallTool::NAME);
        let parameters = &definition["parameters"];
        assert_eq!(parameters["required"], json!(["query"]));
        let names: Vec<&String> = parameters["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["query", "most"]);
        assert_eq!(parameters["properties"]["most"]["maximum"], FINDS_MAX);
    }

    #[tokio::test]
    async fn as_many_finds_are_told_as_were_asked_for_and_no_more_than_the_most() {
        let desk = Desk::with(&format!("{} u20 a20", "u30 ".repeat(40))).await;
        compact(&desk, &keeping(50), "sum").await;
        let tool = RecallTool::new(&desk.session);
        for (most, told) in
            [(json!(null), FINDS), (json!(3), 3), (json!(0), 1), (json!(99), FINDS_MAX)]
        {
            let text = tool.call(&json!({ "query": "number", "most": most })).await.unwrap();
            assert_eq!(text.lines().filter(|line| line.contains("number")).count(), told, "{most}");
        }
    }

    #[tokio::test]
    async fn without_a_compaction_everything_is_in_view() {
        let desk = Desk::with("u400").await;
        let text = RecallTool::new(&desk.session).call(&json!({ "query": "number" })).await;
        assert_eq!(text.unwrap(), "Nothing of that in what was covered.");
    }
}
