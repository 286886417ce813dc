//! Plans at the edges of their arithmetic: what a step is, windows that are not known, what stands
//! before the steps, and the numbers of every reason.

use super::*;

/// A plan that must be a cut: its place and its masks.
fn cut_of(view: &View<'_>, policy: &Policy) -> (usize, Vec<usize>) {
    match plan(view, policy) {
        Plan::Cut { first_kept, masks, .. } => (first_kept, masks),
        Plan::Skip(reason) => panic!("{reason}"),
    }
}

/// Keeps the last turn, is over at 9,001 and may leave half of that.
fn narrow() -> Policy {
    Policy {
        window: 10_000,
        reserve: Some(1_000),
        keep_recent_tokens: None,
        ceiling: crate::Share::new(1, 2),
        ..keeping(Preset::Nexus, Some(1), 0)
    }
}

#[test]
fn messages_are_what_was_said_and_only_they_take_a_cut() {
    let script = script("u1 a1 t1 b1 s1 m1 K1 p1");
    let messages: Vec<bool> = script.steps.iter().map(Step::is_message).collect();
    assert_eq!(messages, [true, true, true, true, true, false, false, false]);
    for step in script.steps {
        assert_eq!(step.takes_cut(), step.may_be_first_kept && step.is_message(), "{step:?}");
    }
}

#[test]
fn a_masked_step_is_smaller_and_not_masked_again() {
    let step = script("a900/800").steps[0];
    assert_eq!(step.masked(850), Step { tokens: 50, maskable: 0, ..step });
    assert_eq!(step.masked(901).tokens, 0);
}

#[test]
fn settings_before_the_first_message_are_nothing_to_cover() {
    let policy = keeping(Preset::Pi, None, 10);
    for line in ["m m u10 a10", "K50 u10 a10", "p50 m u10* u10 a10"] {
        let script = script(line);
        let wide = View { tokens: 1_000, ..script.view(true) };
        let first_kept = script.steps.len() - 1;
        assert_eq!(cut_of(&wide, &policy).0, first_kept, "{line}");
        let all = View { through: Some(first_kept - 1), ..wide };
        assert!(matches!(plan(&all, &policy), Plan::Skip(_)), "{line}");
    }
}

#[test]
fn a_window_that_is_not_known_shrinks_and_masks_nothing() {
    let policy = Policy { window: 0, keep_recent_turns: Some(2), ..Preset::Nexus.policy(0) };
    let line = script("u500 a500 u500 a50> t900/800 u500 a500");
    assert_eq!(cut_of(&line.view(true), &policy), (2, vec![]));
}

#[test]
fn under_the_threshold_nothing_is_masked() {
    let line = script("u50 a500 u50 a50> t7000/6900");
    assert_eq!(cut_of(&line.view(true), &narrow()), (2, vec![]));
}

#[test]
fn where_masks_do_not_do_only_what_can_be_masked_is() {
    // The newest entry alone is over what a cut may leave.
    let line = script("u5000 a50 u50 a50> t6000/600");
    assert_eq!(cut_of(&line.view(false), &narrow()), (3, vec![4]));
}

#[test]
fn a_cut_at_the_first_step_gives_way_like_any_other() {
    let line = script("u50 a4000 a4000 u50 a50");
    let before = Before { tokens: 1_000, turns: 1, lifted_tokens: 0 };
    let view = View { before, tokens: 9_150, ..line.view(false) };
    let policy = Policy { keep_recent_turns: Some(2), ..narrow() };
    assert_eq!(cut_of(&view, &policy), (2, vec![]));
}

#[test]
fn a_cut_that_keeps_nothing_is_not_moved_back() {
    let policy = Policy {
        oversized: Oversized::Cover,
        keep_recent_turns: None,
        keep_recent_tokens: Some(crate::Share::fixed(10)),
        ..narrow()
    };
    let line = script("p6000 u1000 a1000 a1500");
    assert_eq!(cut_of(&line.view(false), &policy), (4, vec![]));
}

#[test]
fn what_would_not_help_says_what_would_be_left() {
    let policy = keeping(Preset::Pi, None, 800);
    let found = plan(&script("p7 u5 a5 u400 a400").view(true), &policy);
    let after = 800 + 7 + SUMMARY_TOKENS_MIN;
    assert_eq!(found, Plan::Skip(SkipReason::NoProgress { before: 817, after, required: 1 }));
}

#[test]
fn where_everything_stays_the_reason_says_how_many_turns() {
    let kept = |line: &str, turns_before: u64, preset: Preset| {
        let script = script(line);
        let before = Before { turns: turns_before, ..Before::default() };
        match plan(&View { before, ..script.view(true) }, &keeping(preset, Some(6), 1_000)) {
            Plan::Skip(SkipReason::AllKept { turns, .. }) => turns,
            other => panic!("{line}: {other:?}"),
        }
    };
    assert_eq!(kept("u10 a10 u10 a10", 0, Preset::Nexus), 2);
    assert_eq!(
        kept("p10 u10", 0, Preset::Nexus),
        1,
        "nothing to keep behind what a cut could cover"
    );
    assert_eq!(kept("p10 u10*", 0, Preset::Nexus), 1, "nothing that a cut could cover");
    assert_eq!(kept("a10 a10", 3, Preset::OpencodeV2), 3, "no turn begins in what is looked at");
}

#[test]
fn what_leaves_exactly_the_emergency_mark_is_cut_and_one_more_is_not() {
    let policy = narrow();
    let Budget { threshold, emergency, .. } = policy.budget();
    let at = |kept: u64| plan(&script(&format!("u1000 p5 u{kept}")).view(false), &policy);
    let overhead = 5 + SUMMARY_TOKENS_MIN;
    let kept = emergency - overhead;
    assert!(matches!(at(kept), Plan::Cut { first_kept: 2, .. }), "{:?}", at(kept));
    let kept = kept + 1;
    let unreachable = SkipReason::Unreachable { overhead, kept, threshold, emergency };
    assert_eq!(at(kept), Plan::Skip(unreachable));
}
