//! What is looked at is enough: the same cut as with the whole context in view.

use std::collections::BTreeSet;

use proptest::prelude::*;
use treering_policy::{Preset, Share, SkipReason};

use super::*;
use crate::kit::{Desk, compact, keeping};

/// The first kept entry, and what is masked.
type Found = Result<(Option<Id>, BTreeSet<Id>), SkipReason>;

fn found(sight: &Sight, policy: &Policy, forced: bool) -> Found {
    let found = |chosen: Chosen| {
        (chosen.first_kept.map(|place| place.id), chosen.masked.into_iter().collect())
    };
    sight.plan(policy, forced).map(found)
}

/// The cut with everything visible as steps.
async fn plan_of_all(desk: &Desk, policy: &Policy, forced: bool) -> Found {
    let measure = desk.session.measure().await.unwrap().unwrap();
    let (head, visible) = (measure.head.clone(), measure.first_visible_depth());
    let store = desk.store();
    let (places, mut steps) = fetch(store, &head, visible, visible, 0).await.unwrap();
    let masks = masks(store, &measure).await.unwrap();
    let before = weigh(store, &measure, &places, &masks, &mut steps).await.unwrap();
    assert_eq!((before.tokens, before.turns), (0, 0));
    let sight = Sight { measure, places, steps, before, through: None, masks };
    found(&sight, policy, forced)
}

fn policies() -> Vec<Policy> {
    let small = |preset: Preset| Policy {
        reserve: Some(500),
        prose: Share::fixed(20),
        index: Share::fixed(0),
        ..preset.policy(1_000)
    };
    let mut policies: Vec<Policy> = Preset::all().map(small).collect();
    policies.extend([keeping(0), keeping(60), keeping(250)]);
    policies.push(Policy { keep_recent_tokens: None, ..keeping(0) });
    for turns in [0, 1, 3] {
        policies.push(Policy { keep_recent_turns: Some(turns), ..small(Preset::Nexus) });
        policies.push(Policy { keep_recent_turns: Some(turns), ..keeping(120) });
    }
    policies
}

fn line() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        3 => (1_u32..60).prop_map(|size| format!("u{size}")),
        4 => (1_u32..60).prop_map(|size| format!("a{size}")),
        3 => (1_u32..60, 1_u32..4).prop_map(|(size, calls)| format!("a{size}>{calls}")),
        8 => (1_u32..60).prop_map(|size| format!("t{size}")),
        1 => Just("n9".to_owned()),
        1 => (500_u32..2_000).prop_map(|size| format!("t{size}")),
        2 => Just("m0".to_owned()),
        1 => (1_u32..60).prop_map(|size| format!("p{size}")),
    ];
    proptest::collection::vec(word, 1..120).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_look_at_the_end_finds_the_same_cut(first in line(), then in line(), forced: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut desk = Desk::with(&first).await;
            for _ in 0..2 {
                for policy in policies() {
                    let measure = desk.session.measure().await.unwrap().unwrap();
                    let sight = Sight::new(desk.store(), measure, &policy, None).await.unwrap();
                    let found = found(&sight, &policy, forced);
                    let expected = plan_of_all(&desk, &policy, forced).await;
                    match (&found, &expected) {
                        // The numbers of a reason may be of what was looked at.
                        (Err(found), Err(expected)) => assert_eq!(
                            std::mem::discriminant(found),
                            std::mem::discriminant(expected),
                            "{found:?} {expected:?} {policy:?}"
                        ),
                        _ => assert_eq!(found, expected, "{policy:?}"),
                    }
                }
                compact(&desk, &keeping(90), "what was").await;
                desk.say(&then).await;
            }
        });
    }
}

#[tokio::test]
async fn a_long_session_is_not_read_from_its_beginning() {
    let mut desk = Desk::new();
    desk.say(&"u10 a10 ".repeat(2_000)).await;
    for policy in policies() {
        let measure = desk.session.measure().await.unwrap().unwrap();
        let sight = Sight::new(desk.store(), measure, &policy, None).await.unwrap();
        assert!(sight.steps.len() < 120, "{} steps, {policy:?}", sight.steps.len());
    }
}

#[tokio::test]
async fn a_legal_cut_far_before_what_is_kept_is_found() {
    let mut desk = Desk::with("u400 a10>200").await;
    desk.say(&"t1 ".repeat(200)).await;
    let measure = desk.session.measure().await.unwrap().unwrap();
    let sight = Sight::new(desk.store(), measure, &keeping(20), None).await.unwrap();
    let chosen = sight.plan(&keeping(20), false).unwrap();
    assert_eq!(chosen.first_kept.map(|place| place.id), Some(desk.ids[1]));
}

/// Looks at the end, and at everything: the same cut, which there is.
async fn both_find(desk: &Desk, policy: &Policy) -> Option<Id> {
    let measure = desk.session.measure().await.unwrap().unwrap();
    let sight = Sight::new(desk.store(), measure, policy, None).await.unwrap();
    let found = found(&sight, policy, true).unwrap();
    assert_eq!(Ok(&found), plan_of_all(desk, policy, true).await.as_ref(), "{policy:?}");
    found.0
}

#[tokio::test]
async fn messages_that_are_to_be_kept_are_found_however_far_apart() {
    let mut desk = Desk::with("u50 a50").await;
    desk.say(&format!("u10 {}", "m0 ".repeat(50)).repeat(6)).await;
    let policy = Policy { keep_recent_messages: Some(3), ..keeping(0) };
    let policy = Policy { keep_recent_tokens: None, ..policy };
    assert_eq!(both_find(&desk, &policy).await, Some(desk.ids[2 + 3 * 51]));
}

#[tokio::test]
async fn the_start_of_a_turn_is_found_however_long_it_is() {
    let mut desk = Desk::with("u50 a50 u10").await;
    desk.say(&"a1 ".repeat(300)).await;
    let policy = Policy { boundary: Boundary::TurnBefore, ..keeping(20) };
    assert_eq!(both_find(&desk, &policy).await, Some(desk.ids[2]));
}

#[tokio::test]
async fn a_tail_of_many_small_entries_is_looked_at_whole() {
    let mut desk = Desk::with("u50 a50").await;
    desk.say(&"a1 ".repeat(300)).await;
    assert_eq!(both_find(&desk, &keeping(100)).await, Some(desk.ids[302 - 100]));
    let policy = Policy { keep_recent_messages: Some(100), ..keeping(0) };
    let policy = Policy { keep_recent_tokens: None, ..policy };
    assert_eq!(both_find(&desk, &policy).await, Some(desk.ids[302 - 100]));
}

#[tokio::test]
async fn where_there_are_fewer_turns_than_are_kept_nothing_is_covered() {
    let mut desk = Desk::with("u1").await;
    desk.say(&"a1 ".repeat(100)).await;
    let measure = desk.session.measure().await.unwrap().unwrap();
    // As many as there are, one more: both ask for the beginning, in different words.
    for turns in [1, 2, 3] {
        let policy = Policy { keep_recent_turns: Some(turns), ..keeping(0) };
        let policy = Policy { keep_recent_tokens: None, ..policy };
        let sight = Sight::new(desk.store(), measure.clone(), &policy, None).await.unwrap();
        let found = found(&sight, &policy, true);
        assert!(matches!(found, Err(SkipReason::AllKept { .. })), "{turns} turns: {found:?}");
    }
}

async fn pin(desk: &mut Desk, id: Id) {
    let body = treering_tree::Message::text(treering_tree::Role::User, "").body();
    let draft = desk.session.draft(treering_tree::Kind::Pin, body).target(id);
    desk.put(draft).await;
}

#[tokio::test]
async fn what_is_lifted_from_before_the_steps_is_told_apart_from_pinned_steps() {
    let mut desk = Desk::with(&format!("p40 {}", "u5 ".repeat(80))).await;
    let up_to = Some(desk.ids[60]);
    let look = async |desk: &Desk| {
        let measure = desk.session.measure().await.unwrap().unwrap();
        Sight::new(desk.store(), measure, &keeping(50), up_to).await.unwrap()
    };
    let sight = look(&desk).await;
    let (first, third) = (sight.places[0].id, sight.places[2].id);
    let before = sight.before;
    assert_eq!((before.lifted_tokens, before.tokens), (40, 40 + 5 * before.turns));
    // What is pinned at the first cut, or behind it, is a step: it counts there, and not before.
    for id in [first, third] {
        pin(&mut desk, id).await;
        let sight = look(&desk).await;
        assert_eq!((sight.places[0].id, sight.before), (first, before));
    }
    let sight = look(&desk).await;
    let pinned = sight.steps.iter().zip(&sight.places).filter(|(step, _)| step.pinned);
    assert_eq!(pinned.map(|(_, place)| place.id).collect::<Vec<_>>(), [first, third]);
}

#[tokio::test]
async fn a_prompt_is_pinned_while_a_call_is_open_too() {
    let desk = Desk::with("p40 u100 a100 u10 a10>1").await;
    let measure = desk.session.measure().await.unwrap().unwrap();
    let sight = Sight::new(desk.store(), measure, &keeping(5), None).await.unwrap();
    let pinned: Vec<bool> = sight.steps.iter().map(|step| step.pinned).collect();
    assert_eq!(pinned, [true, false, false, false, false]);
    assert_eq!(sight.before, Before::default());
}

#[tokio::test]
async fn what_masks_save_is_missing_in_the_steps_and_not_before_them() {
    let mut desk = Desk::with("u300 a100").await;
    desk.say(&"u1 a1 ".repeat(40)).await;
    desk.say("a1>1 t6000").await;
    let policy = Policy { window: 10_000, reserve: Some(5_000), ..keeping(0) };
    let messages = |messages| Policy {
        keep_recent_messages: Some(messages),
        keep_recent_tokens: None,
        ..policy.clone()
    };
    let done = compact(&desk, &messages(82), "what was").await;
    assert_eq!((done.first_kept_entry_id, done.masked_count), (Some(desk.ids[2]), 1));
    let measure = desk.session.measure().await.unwrap().unwrap();
    let sight = Sight::new(desk.store(), measure.clone(), &messages(2), None).await.unwrap();
    let first = desk.ids.iter().position(|id| *id == sight.places[0].id).unwrap();
    assert!((3..80).contains(&first), "{first}");
    assert_eq!(sight.before.tokens, first as u64 - 2);
    let steps: u64 = sight.steps.iter().map(|step| step.tokens).sum();
    assert_eq!(measure.tokens, 2 + sight.before.tokens + steps, "the summary, and all that shows");
}

#[tokio::test]
async fn a_cut_behind_what_is_kept_is_none_where_it_goes_before() {
    let mut desk = Desk::with("u200 a10>200").await;
    desk.say(&"t1 ".repeat(200)).await;
    desk.say("a5 a5").await;
    let policy = Policy { boundary: Boundary::Before, ..keeping(20) };
    assert_eq!(both_find(&desk, &policy).await, Some(desk.ids[1]));
}
