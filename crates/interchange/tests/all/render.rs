//! Contexts and paths rendered for every target, held against each target's published rules.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use treering_interchange::{LossKind, Rendered, Target, Transcript, render};
use treering_tree::{
    Context, Expect, Id, Kind, Message, Part, RedbStore, Role, Session, Sources, Store, Summary,
};

use crate::kit::{block_on, exported, loaded_as, path, samples, shown, store, try_load};
use crate::validators;

fn check(target: Target, rendered: &Rendered) {
    match target {
        Target::OpenaiChat => validators::chat(&rendered.bytes),
        Target::OpenaiResponses => validators::responses(&rendered.bytes),
        Target::Anthropic => validators::anthropic(&rendered.bytes),
        Target::Atif => validators::atif(&rendered.bytes),
        Target::Html => validators::html(&rendered.bytes),
        Target::Pi | Target::ClaudeCode => reads_back(target, rendered),
        _ => assert!(std::str::from_utf8(&rendered.bytes).is_ok()),
    }
}

/// The tool's own format loads without anything to mend.
fn reads_back(target: Target, rendered: &Rendered) {
    if rendered.bytes.is_empty() {
        return;
    }
    let (_, report) = block_on(loaded_as("x.jsonl", &rendered.bytes, Some(target.name())));
    assert_eq!(report.repairs, [], "{target}");
    assert_eq!(report.format, target.name());
}

/// Renders what stands at the active head of a session for every target, and checks it.
fn check_all(store: &Arc<RedbStore>, session: &str) {
    let transcripts = block_on(async {
        let path = path(store, session, "main").await;
        let head = path.last().map(|stored| stored.entry.id())?;
        let context = Context::at(&**store, head).await.unwrap();
        Some([Transcript::of_context(session, &context), Transcript::of_path(session, &path)])
    });
    for transcript in transcripts.iter().flatten() {
        for target in Target::all() {
            check(target, &render(target, transcript));
        }
    }
}

#[test]
fn every_sample_renders_validly_for_every_target() {
    for folder in ["pi", "claude-code"] {
        for sample in samples(folder) {
            let store = store();
            let reports = block_on(try_load(&*store, vec![sample.clone().into()], None)).unwrap();
            check_all(&store, &reports[0].session);
        }
    }
}

/// One thing that happens in a history; numbers pick call ids, so that they repeat.
#[derive(Clone, Debug)]
enum Happens {
    User(&'static str),
    Assistant(&'static str, Vec<u8>),
    Results(Vec<u8>),
    Note,
    Prompt(u8),
    Media,
    Compaction(u8),
}

const TEXTS: [&str; 5] =
    ["hello", "", " \n", "<script>alert('x')</script> ``` & \u{202e}", "ends "];

fn happens() -> impl Strategy<Value = Happens> {
    let text = || proptest::sample::select(&TEXTS[..]);
    let calls = || proptest::collection::vec(0_u8..5, 0..4);
    prop_oneof![
        3 => text().prop_map(Happens::User),
        4 => (text(), calls()).prop_map(|(text, calls)| Happens::Assistant(text, calls)),
        4 => proptest::collection::vec(0_u8..5, 1..3).prop_map(Happens::Results),
        1 => Just(Happens::Note),
        1 => (0_u8..2).prop_map(Happens::Prompt),
        1 => Just(Happens::Media),
        1 => (0_u8..8).prop_map(Happens::Compaction),
    ]
}

/// Ids as tools write them, some not allowed by a provider.
fn call_id(number: u8) -> String {
    ["call_a", "toolu_01", "has space", "fc_\u{e9}", &"long".repeat(20)][usize::from(number)]
        .to_owned()
}

fn text_part(text: &str) -> Part {
    Part::Text { text: text.to_owned() }
}

fn told(event: &Happens) -> Option<(Kind, Message)> {
    let media = |mime: &str, data: &str| Part::Media { mime: mime.into(), data: data.into() };
    Some(match event {
        Happens::User(text) => (Kind::User, Message::text(Role::User, *text)),
        Happens::Assistant(text, calls) => {
            let mut parts = vec![Part::Reasoning { text: "hm".into() }, text_part(text)];
            let arguments =
                [json!({"a": 1}), json!("{\"b\":2}"), json!(null), json!([3]), json!("x")];
            parts.extend(calls.iter().map(|call| Part::ToolCall {
                id: call_id(*call),
                name: if *call == 4 { "mcp.run it".into() } else { "run".into() },
                arguments: arguments[usize::from(*call)].clone(),
            }));
            (Kind::Assistant, Message::new(Role::Assistant, parts))
        }
        Happens::Results(calls) => {
            let part = |call: &u8| Part::ToolResult {
                call: call_id(*call),
                text: TEXTS[usize::from(*call)].to_owned(),
                error: *call == 1,
            };
            let mut parts: Vec<Part> = calls.iter().map(part).collect();
            parts.push(media("image/png", "aGVsbG8="));
            (Kind::ToolResult, Message::new(Role::Tool, parts))
        }
        Happens::Note => (Kind::Note, Message::text(Role::User, "by the way")),
        Happens::Prompt(n) => {
            (Kind::SystemPrompt, Message::text(Role::System, format!("prompt {n}")))
        }
        Happens::Media => {
            let parts = vec![
                media("image/tiff", "AAAA"),
                media("image/png", "not base64!"),
                media("application/pdf", "AAAA"),
                Part::Other { name: "odd".into(), value: json!("<b>") },
            ];
            (Kind::User, Message::new(Role::User, parts))
        }
        Happens::Compaction(_) => return None,
    })
}

/// What of a history the tree takes.
async fn live(store: &Arc<RedbStore>, history: &[Happens]) {
    let session = Session::new(Arc::clone(store) as Arc<dyn Store>, "s", Sources::fixed(3));
    let mut ids: Vec<Id> = Vec::new();
    for event in history {
        let draft = match (told(event), event) {
            (Some((kind, message)), _) => {
                let draft = session.draft(kind, message.body()).calls(message.calls());
                let draft = draft.answers(message.answers());
                match event {
                    Happens::Prompt(slot) => draft.slot(format!("slot {}", slot % 2)),
                    _ => draft,
                }
            }
            (None, Happens::Compaction(back)) => {
                let body = Summary { text: "so far".into(), ..Summary::default() }.body();
                let kept = ids.len().checked_sub(usize::from(*back) + 1).map(|at| ids[at]);
                let draft = session.draft(Kind::Compaction, body);
                match kept {
                    Some(kept) => draft.target(kept),
                    None => draft,
                }
            }
            (None, _) => continue,
        };
        // The tree refuses some compactions.
        if let Ok(done) = session.append(draft, Expect::Any).await {
            ids.extend(done.ids);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_history_renders_validly_for_every_target(
        history in proptest::collection::vec(happens(), 1..24),
    ) {
        let store = store();
        block_on(live(&store, &history));
        check_all(&store, "s");
    }
}

/// A history, rendered from its path.
fn rendered(target: Target, history: &[Happens]) -> Rendered {
    let store = store();
    block_on(live(&store, history));
    let path = block_on(path(&store, "s", "main"));
    let rendered = render(target, &Transcript::of_path("s", &path));
    check(target, &rendered);
    rendered
}

fn count(rendered: &Rendered, kind: LossKind) -> u64 {
    rendered.losses.iter().find(|loss| loss.kind == kind).map_or(0, |loss| loss.count)
}

#[test]
fn losses_are_counted_by_name() {
    let history = [
        Happens::Prompt(0),
        Happens::User("hello"),
        Happens::Assistant("ends ", vec![0, 2, 0]),
        Happens::Results(vec![0]),
        Happens::User("stop"),
        Happens::Results(vec![2, 1]),
        Happens::Prompt(0),
        Happens::Assistant("", vec![3]),
    ];
    let anthropic = rendered(Target::Anthropic, &history);
    let expected = [
        (LossKind::LateResult, 2),
        (LossKind::InterruptedCall, 2),
        (LossKind::OpenCall, 1),
        (LossKind::RenamedCall, 3),
        (LossKind::WrappedArguments, 1),
        (LossKind::Reasoning, 2),
        (LossKind::HoistedPrompt, 1),
        (LossKind::SupersededPrompt, 1),
    ];
    for (kind, times) in expected {
        assert_eq!(count(&anthropic, kind), times, "{kind:?} in {:?}", anthropic.losses);
    }
    let markdown = rendered(Target::Markdown, &history);
    assert_eq!(count(&markdown, LossKind::Reasoning), 0);
    assert_eq!(count(&markdown, LossKind::RenamedCall), 1, "only the one that came twice");
    let nothing = Transcript::of_context("s", &Context::empty());
    for target in Target::all() {
        let empty = render(target, &nothing);
        check(target, &empty);
        assert!(empty.losses.is_empty());
    }
}

#[test]
fn results_stand_beside_their_calls_whatever_came_between() {
    let history = [
        Happens::User("hello"),
        Happens::Assistant("hello", vec![0, 1]),
        Happens::Results(vec![1]),
        Happens::Note,
        Happens::Results(vec![0]),
    ];
    let chat: Vec<Value> =
        serde_json::from_slice(&rendered(Target::OpenaiChat, &history).bytes).unwrap();
    let roles: Vec<&str> = chat.iter().map(|row| row["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool", "user"]);
    assert_eq!(chat[2]["tool_call_id"], "call_a");
    assert_eq!(chat[2]["content"].as_str().unwrap().lines().next(), Some("hello"));
}

/// A path with a compaction, written as another tool's session, shows there what its context is.
#[test]
fn a_compaction_keeps_its_context_in_other_tools() {
    let history = [
        Happens::User("hello"),
        Happens::Assistant("hello", vec![]),
        Happens::User("keep me"),
        Happens::Assistant("kept", vec![0]),
        Happens::Results(vec![0]),
        Happens::Compaction(2),
        Happens::User("later"),
    ];
    for target in [Target::Pi, Target::ClaudeCode] {
        let bytes = rendered(target, &history).bytes;
        let (store, report) = block_on(loaded_as("x.jsonl", &bytes, Some(target.name())));
        assert_eq!(report.compactions, 1, "{target}");
        let items = block_on(shown(&*store, &report.session, "main"));
        let kinds: Vec<Kind> = items.iter().map(|item| item.0).collect();
        let expected =
            [Kind::Compaction, Kind::User, Kind::Assistant, Kind::ToolResult, Kind::User];
        assert_eq!(kinds, expected, "{target}");
        assert!(items[0].1.contains("so far") && items[1].1 == "keep me", "{target}: {items:?}");
        assert_eq!(block_on(exported(&*store, &report.session, 0)), bytes);
    }
}

#[test]
fn names_of_targets_read_back() {
    for target in Target::all() {
        assert_eq!(Target::from_name(target.name()), Some(target));
        assert!(!target.extension().is_empty());
    }
    assert_eq!(Target::from_name("nothing"), None);
}
