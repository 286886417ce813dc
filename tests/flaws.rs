//! What existing tools were seen to get wrong in compaction, each as the input that shows it.

use std::sync::Arc;

use treering_compactor::{CompactionResult, Compactor, RunOptions, SkipReason};
use treering_policy::{Policy, Preset};
use treering_provider::{ByteClasses, Scripted};
use treering_tree::context::Source;
use treering_tree::{Expect, Id, Kind, Message, Options, RedbStore, Role, Session, Sources, Store};

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
