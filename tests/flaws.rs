//! What existing tools were seen to get wrong, each as the input that shows it. What is not here is of
//! another kind: the cuts of pi and BooCode are tables in `treering-policy`, and how much a tool reads of
//! its file (nexus 13, pi 14) is measured by the benchmark `read`.

use std::sync::Arc;

use treering_compactor::{CompactionResult, Compactor, RunOptions, SkipReason, draft_tokens};
use treering_policy::{Policy, Preset};
use treering_provider::{ByteClasses, Error, Scripted};
use treering_tree::context::Source;
use treering_tree::{
    Body, ErrorKind, Expect, Id, Kind, Message, Options, Part, RedbStore, Role, Session, Sources,
    Store,
};

struct Case {
    session: Session,
    script: Arc<Scripted>,
    compactor: Compactor,
    ids: Vec<Id>,
}

impl Case {
    fn new() -> Self {
        let sources = Sources::fixed(7);
        let store = RedbStore::in_memory(Options::new(sources.clone())).unwrap();
        let session = Session::new(Arc::new(store) as Arc<dyn Store>, "case", sources);
        let replies = (0..9).map(|nth| Ok(format!("summary {nth}")));
        let script = Arc::new(Scripted::new(replies));
        let counter = Arc::new(ByteClasses::default());
        let compactor = Compactor::new(counter, Arc::clone(&script) as _);
        Self { session, script, compactor, ids: Vec::new() }
    }

    /// Appends an entry of so many tokens; an assistant calls that many tools, a result answers one.
    async fn say(&mut self, kind: Kind, tokens: u32, calls: usize) {
        let body = Message::text(Role::User, kind.name()).body();
        let mut draft = self.session.draft(kind, body).tokens(tokens);
        match kind {
            Kind::SystemPrompt => draft = draft.slot("main"),
            Kind::Assistant => draft = draft.calls((0..calls).map(|nth| format!("c{nth}"))),
            Kind::ToolResult => draft = draft.answers([format!("c{calls}")]),
            _ => {}
        }
        self.ids.extend(self.session.append(draft, Expect::Any).await.unwrap().ids);
    }

    async fn run(&self, policy: &Policy) -> CompactionResult {
        self.compactor.run(&self.session, policy, &RunOptions::default()).await.unwrap()
    }

    async fn shown(&self) -> Vec<Id> {
        let context = self.session.context().await.unwrap();
        context.items.iter().map(|item| item.stored.entry.id()).collect()
    }

    fn summarized(&self, job: usize) -> Vec<Id> {
        self.script.jobs()[job].entries.iter().map(|entry| entry.id).collect()
    }
}

fn nexus() -> Policy {
    Policy { window: 20_000, ..Preset::Nexus.policy(20_000) }
}

#[tokio::test]
async fn nexus_2_a_prompt_at_the_beginning_does_not_stop_compaction() {
    let mut case = Case::new();
    case.say(Kind::SystemPrompt, 100, 0).await;
    for _ in 0..50 {
        case.say(Kind::User, 1_000, 0).await;
    }
    let done = case.run(&nexus()).await;
    assert_eq!(done.summarized_count, 44);
    let shown = case.shown().await;
    assert_eq!((shown[0], shown.len()), (case.ids[0], 1 + 1 + 6));
}

#[tokio::test]
async fn nexus_3_a_second_run_finds_nothing_to_do() {
    let mut case = Case::new();
    for _ in 0..20 {
        case.say(Kind::User, 1_000, 0).await;
    }
    assert_eq!(case.run(&nexus()).await.summarized_count, 14);
    for _ in 0..2 {
        let again = case.run(&nexus()).await.skipped_reason;
        assert!(matches!(again, Some(SkipReason::UnderThreshold { .. })), "{again:?}");
    }
    assert_eq!((case.shown().await.len(), case.script.jobs().len()), (7, 1));
}

#[tokio::test]
async fn nexus_5_and_boocode_1_trailing_results_keep_their_call() {
    for policy in [nexus(), Preset::BooCode.policy(20_000), Preset::Pi.policy(20_000)] {
        let mut case = Case::new();
        case.say(Kind::User, 14_000, 0).await;
        case.say(Kind::User, 1_000, 0).await;
        case.say(Kind::Assistant, 1_000, 6).await;
        for call in 0..6 {
            case.say(Kind::ToolResult, 500, call).await;
        }
        case.run(&policy).await;
        let shown = case.shown().await;
        assert!(shown.ends_with(&case.ids[2..]), "call and results, whatever else");
    }
}

#[tokio::test]
async fn pi_1_what_the_first_compaction_kept_is_in_the_second_summary() {
    let mut case = Case::new();
    for _ in 0..20 {
        case.say(Kind::User, 1_000, 0).await;
    }
    case.run(&nexus()).await;
    let kept: Vec<Id> = case.shown().await.split_off(1);
    for _ in 0..20 {
        case.say(Kind::User, 1_000, 0).await;
    }
    case.run(&nexus()).await;
    assert!(case.summarized(1).starts_with(&kept), "nothing of the kept tail vanishes");
    let previous = case.script.jobs()[1].previous.clone().unwrap();
    assert_eq!(previous.text, "summary 0", "and the summary before is an input");
    let context = case.session.context().await.unwrap();
    let summaries = context.items.iter().filter(|item| item.source == Source::Summary);
    assert_eq!(summaries.count(), 1);
}

#[tokio::test]
async fn pi_3_a_large_last_result_is_no_request_to_summarize_nothing() {
    let policy = Preset::Pi.policy(60_000);
    let mut case = Case::new();
    case.say(Kind::User, 20_000, 0).await;
    case.say(Kind::Assistant, 100, 1).await;
    case.say(Kind::ToolResult, 30_000, 0).await;
    let done = case.run(&policy).await;
    assert_eq!(done.first_kept_entry_id, Some(case.ids[1]));
    assert_eq!(case.summarized(0), case.ids[..1]);
    // Where nothing precedes the call, nobody is asked.
    let mut alone = Case::new();
    alone.say(Kind::Assistant, 100, 1).await;
    alone.say(Kind::ToolResult, 50_000, 0).await;
    let skipped = alone.run(&policy).await;
    assert!(skipped.skipped_reason.is_some());
    assert_eq!(alone.script.jobs().len(), 0);
}

#[tokio::test]
async fn pi_4_settings_before_a_turn_do_not_split_the_one_before() {
    let mut case = Case::new();
    case.say(Kind::User, 30_000, 0).await;
    case.say(Kind::Assistant, 1_000, 0).await;
    case.say(Kind::Record, 0, 0).await;
    case.say(Kind::User, 15_000, 0).await;
    case.say(Kind::Assistant, 5_000, 0).await;
    let done = case.run(&Preset::Pi.policy(60_000)).await;
    assert_eq!(done.first_kept_entry_id, Some(case.ids[3]));
}

#[tokio::test]
async fn nexus_1_turns_are_counted_and_not_entries() {
    let mut case = Case::new();
    for _ in 0..8 {
        case.say(Kind::User, 500, 0).await;
        case.say(Kind::Assistant, 500, 1).await;
        case.say(Kind::ToolResult, 500, 0).await;
    }
    let done = case.run(&nexus()).await;
    assert_eq!(done.first_kept_entry_id, Some(case.ids[6]), "six turns, eighteen entries");
}

#[tokio::test]
async fn nexus_10_what_is_left_is_the_size_of_the_new_context() {
    let mut case = Case::new();
    for _ in 0..20 {
        case.say(Kind::User, 1_000, 0).await;
    }
    let done = case.run(&nexus()).await;
    let context = case.session.context().await.unwrap();
    assert_eq!(done.tokens_after, context.tokens);
    assert!(done.tokens_after > 6_000, "the kept tail is part of it");
    // A call counts with what it is called with.
    let counter = ByteClasses::default();
    let arguments = serde_json::json!({ "content": "fn main() {}\n".repeat(100) });
    let (id, name) = ("c".to_owned(), "write".to_owned());
    let call = Message::new(Role::Assistant, vec![Part::ToolCall { id, name, arguments }]);
    assert!(draft_tokens(&counter, Kind::Assistant, &call.body()) > 300);
}

#[tokio::test]
async fn nexus_14_failures_discard_nothing() {
    let mut case = Case::new();
    for _ in 0..20 {
        case.say(Kind::User, 1_000, 0).await;
    }
    let off = || Err(Error::Unavailable { detail: "off".to_owned(), after: None });
    let script = Arc::new(Scripted::new((0..9).map(|_| off())));
    let compactor = Compactor::new(Arc::new(ByteClasses::default()), script as _);
    for _ in 0..9 {
        compactor.run(&case.session, &nexus(), &RunOptions::default()).await.unwrap_err();
    }
    assert_eq!(case.shown().await, case.ids);
}

#[tokio::test]
async fn pi_2_a_split_of_the_first_turn_after_a_compaction_keeps_the_summary_before() {
    let policy = Preset::Pi.policy(60_000);
    let mut case = Case::new();
    case.say(Kind::User, 30_000, 0).await;
    case.say(Kind::User, 15_000, 0).await;
    case.run(&policy).await;
    for _ in 0..3 {
        case.say(Kind::Assistant, 12_000, 0).await;
    }
    let done = case.run(&policy).await;
    assert_eq!(done.first_kept_entry_id, Some(case.ids[3]), "the turn is split");
    let job = &case.script.jobs()[1];
    assert_eq!(job.previous.as_ref().unwrap().text, "summary 0");
    assert_eq!(case.summarized(1), case.ids[1..3]);
}

#[tokio::test]
async fn pi_5_an_unknown_first_kept_entry_is_refused_and_no_result_is_orphaned() {
    let mut case = Case::new();
    case.say(Kind::User, 10, 0).await;
    case.say(Kind::Assistant, 10, 1).await;
    case.say(Kind::ToolResult, 10, 0).await;
    let compaction = |target| {
        let body = Body::new("text", "by hand");
        case.session.draft(Kind::Compaction, body).target(target)
    };
    let unknown = case.session.append(compaction(Id::from_bytes([7; 32])), Expect::Any).await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NotFound);
    let orphan = case.session.append(compaction(case.ids[2]), Expect::Any).await;
    assert_eq!(orphan.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(case.shown().await, case.ids);
}

#[tokio::test]
async fn pi_6_a_blank_summary_is_an_error() {
    let mut case = Case::new();
    for _ in 0..20 {
        case.say(Kind::User, 1_000, 0).await;
    }
    for reply in ["", " \n\t "] {
        let script = Arc::new(Scripted::new([Ok(reply.to_owned())]));
        let compactor = Compactor::new(Arc::new(ByteClasses::default()), script as _);
        let failed = compactor.run(&case.session, &nexus(), &RunOptions::default()).await;
        assert!(matches!(failed, Err(treering_compactor::Error::Summarizer { .. })), "{failed:?}");
    }
    assert_eq!(case.shown().await, case.ids);
}

#[tokio::test]
async fn opencode_repeated_each_summary_shows_and_is_told_once() {
    let keep = Policy { keep_recent_turns: Some(2), ..nexus() };
    let mut case = Case::new();
    for _ in 0..3 {
        case.say(Kind::User, 3_600, 0).await;
    }
    case.run(&keep).await;
    case.say(Kind::User, 3_600, 0).await;
    case.run(&keep).await;
    let head = case.session.head().await.unwrap().unwrap();
    assert_eq!(case.shown().await, [head, case.ids[2], case.ids[3]]);
    assert_eq!(case.summarized(0), case.ids[..1]);
    assert_eq!(case.summarized(1), case.ids[1..2]);
    assert_eq!(case.script.jobs()[1].previous.as_ref().unwrap().text, "summary 0");
}

/// A store in a file, opened anew.
fn opened(path: &std::path::Path) -> Session {
    let sources = Sources::fixed(9);
    let store = RedbStore::open(path, Options::new(sources.clone())).unwrap();
    Session::new(Arc::new(store) as Arc<dyn Store>, "case", sources)
}

async fn told(session: &Session, text: &str) -> Id {
    let draft = session.draft(Kind::User, Message::text(Role::User, text).body());
    session.append(draft, Expect::Any).await.unwrap().ids[0]
}

async fn replayed(session: &Session) -> Vec<Id> {
    let path = session.replay().await.unwrap().collect().await.unwrap();
    path.iter().map(|stored| stored.entry.id()).collect()
}

#[tokio::test]
async fn nexus_6_pi_7_and_pi_9_what_was_acknowledged_survives_a_crash_and_what_comes_after() {
    let folder = tempfile::tempdir().unwrap();
    let (live, image) = (folder.path().join("live"), folder.path().join("image"));
    let session = opened(&live);
    // One user message, and no assistant's.
    let first = told(&session, "one").await;
    // The file as a crash leaves it: nothing was closed.
    std::fs::copy(&live, &image).unwrap();
    let crashed = opened(&image);
    let second = told(&crashed, "two").await;
    drop(crashed);
    assert_eq!(replayed(&opened(&image)).await, [first, second]);
}

#[tokio::test]
async fn pi_8_a_rewind_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let session = opened(&path);
    let first = told(&session, "one").await;
    told(&session, "two").await;
    session.rewind(Some(first), Expect::Any).await.unwrap();
    drop(session);
    assert_eq!(replayed(&opened(&path)).await, [first]);
}

#[tokio::test]
async fn nexus_7_an_entry_over_a_mebibyte_reads_back() {
    let case = Case::new();
    let id = told(&case.session, &"x".repeat((1 << 20) + 1)).await;
    assert_eq!(replayed(&case.session).await, [id]);
}

#[tokio::test]
async fn nexus_8_an_unknown_parent_is_refused() {
    let case = Case::new();
    let draft = case.session.draft(Kind::User, Body::new("text", "orphan"));
    let orphan = draft.under(Some(Id::from_bytes([7; 32])));
    let refused = case.session.append(orphan, Expect::Any).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    assert_eq!(replayed(&case.session).await, []);
}

#[tokio::test]
async fn nexus_9_the_same_entry_again_makes_no_cycle() {
    let case = Case::new();
    let first = told(&case.session, "one").await;
    let again = case.session.draft(Kind::User, Body::new("text", "two")).under(Some(first));
    let second = case.session.append(again.clone(), Expect::Any).await.unwrap();
    told(&case.session, "three").await;
    let head = case.session.head().await.unwrap();
    let retry = case.session.append(again, Expect::Any).await.unwrap();
    assert_eq!((retry.ids, retry.added), (second.ids, 0));
    assert_eq!(
        (case.session.head().await.unwrap(), replayed(&case.session).await.len()),
        (head, 3)
    );
    // An id of the caller's own names one content.
    let named = |text| case.session.draft(Kind::User, Body::new("text", text)).alias("mine");
    case.session.append(named("one"), Expect::Any).await.unwrap();
    let other = case.session.append(named("another"), Expect::Any).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
}
