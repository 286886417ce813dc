//! Cuts as tables: a context in a line of text, and where it is cut.
//!
//! `u10 a10 t10`: entries of kind and tokens. u user, a assistant, t tool result, b and c notes, s branch
//! summary, m record, K compaction, p system prompt (pinned), P superseded system prompt; `*` after the
//! tokens pins. `a10>` leaves a call open, which the next t answers. What is behind a `/` can be masked: `t900/800`
//! saves 800.

use super::*;
use crate::preset::Preset;

mod edges;

struct Script {
    steps: Vec<Step>,
    open: bool,
}

fn script(line: &str) -> Script {
    let mut steps = Vec::new();
    let (mut turn, mut open) = (0, false);
    let words: Vec<&str> = line.split_whitespace().collect();
    for (at, word) in words.iter().enumerate() {
        let (letter, size) = word.split_at(1);
        let digits: String = size.chars().take_while(char::is_ascii_digit).collect();
        let kind = match letter {
            "u" => Kind::User,
            "a" => Kind::Assistant,
            "t" => Kind::ToolResult,
            "b" | "c" => Kind::Note,
            "s" => Kind::BranchSummary,
            "m" => Kind::Record,
            "K" => Kind::Compaction,
            _ => Kind::SystemPrompt,
        };
        turn += u64::from(kind == Kind::User);
        let answered = words.get(at + 1).is_some_and(|next| next.starts_with('t'));
        steps.push(Step {
            kind,
            tokens: digits.parse().unwrap_or(0),
            turn,
            may_be_first_kept: kind == Kind::User || !open,
            pinned: letter == "p" || word.ends_with('*'),
            maskable: word
                .split_once('/')
                .map_or(0, |(_, saved)| saved.trim_end_matches(['>', '*']).parse().unwrap()),
        });
        open = kind != Kind::User && answered || word.ends_with('>');
    }
    Script { steps, open }
}

impl Script {
    fn view(&self, forced: bool) -> View<'_> {
        View {
            tokens: self.steps.iter().map(|step| step.tokens).sum(),
            before: Before::default(),
            steps: &self.steps,
            open: self.open,
            through: None,
            forced,
        }
    }
}

/// Where a cut goes and whether it splits a turn; `None` for a skip.
fn cut(line: &str, policy: &Policy) -> Option<(usize, bool)> {
    match plan(&script(line).view(true), policy) {
        Plan::Cut { first_kept, splits_turn, .. } => Some((first_kept, splits_turn)),
        Plan::Skip(_) => None,
    }
}

/// A preset with its tail budget set, and no room taken by the arithmetic of small windows.
fn keeping(preset: Preset, turns: Option<u64>, tokens: u64) -> Policy {
    Policy {
        keep_recent_turns: turns,
        keep_recent_tokens: Some(crate::Share::fixed(tokens)),
        prose: crate::Share::fixed(SUMMARY_TOKENS_MIN),
        index: crate::Share::fixed(0),
        ..preset.policy(1 << 40)
    }
}

#[test]
fn pi_cut_points() {
    let six = "u10 a10 u10 a10 u10 a10";
    let tools = "u10 a10 t10 a10 t10 a10 t10";
    let cases = [
        // As upstream.
        (six, 20, Some((4, false))),
        (six, 21, Some((3, true))),
        (six, 30, Some((3, true))),
        (six, 60, None),
        (six, 61, None),
        (tools, 15, Some((5, true))),
        (tools, 25, Some((5, true))),
        ("u10 a10 t10 t10 t10 a10", 15, Some((5, true))),
        ("u10 a10 K u10 a10 u10 a10", 15, Some((5, false))),
        ("m m", 1, None),
        ("t10", 1, None),
        ("a10", 100, None),
        ("u1000", 10, None),
        // Flaw 3, fixed: no legal cut in the tail, so the nearest one before; upstream cuts at 0 and
        // asks for a summary of nothing.
        (tools, 10, Some((5, true))),
        ("u10 a10 u10 a10 t100", 50, Some((3, true))),
        // Flaw 4, fixed: settings and notes before the cut do not move it back; upstream 2, split.
        ("u10 a10 m u10 a10", 20, Some((3, false))),
        ("u10 a10 s50 u10 a10", 20, Some((3, false))),
        ("u10 a10 c50 a10 u10 a10", 25, Some((3, true))),
        // Flaw 12, fixed: branch summaries and custom messages count. Upstream (1, split).
        ("u10 a10 s50 u10 a10", 30, Some((2, true))),
        // As upstream, but the turn that is split begins at its user entry, not at the shell command.
        ("u10 a10 b10 u10 a10", 25, Some((2, true))),
    ];
    for (line, tokens, expected) in cases {
        assert_eq!(
            cut(line, &keeping(Preset::Pi, None, tokens)),
            expected,
            "{line}, keep {tokens}"
        );
    }
}

#[test]
fn boocode_selection() {
    let cases = [
        ("u100 a100 u100 a100 u100 a100", Some((2, false))),
        ("u100 a100 u100 a100", None),
        ("u100 a100 u100 a10000 a100", Some((4, true))),
        ("u100 a100 u10000 u100 a100", Some((3, false))),
        // Upstream does nothing and overflows for ever; ours keeps the newest entry.
        ("u100 a100 u10000", Some((2, false))),
        // Upstream begins the tail at the tool result, without its call.
        ("u100 a100 u100 a10000 t100 a100", Some((5, true))),
        ("u100 a100 u100 a100 t10000 a100", Some((5, true))),
    ];
    for (line, expected) in cases {
        assert_eq!(cut(line, &keeping(Preset::BooCode, Some(2), 8_000)), expected, "{line}");
    }
    // No turns are kept: upstream does nothing.
    assert_eq!(cut("u100 a100", &keeping(Preset::BooCode, Some(0), 8_000)), Some((2, false)));
    // No user entry: upstream finds no turn; ours splits what there is.
    assert_eq!(
        cut("a5000 a5000 a5000", &keeping(Preset::BooCode, Some(2), 8_000)),
        Some((2, false))
    );
}

#[test]
fn opencode_v1_selection() {
    let cases = [
        ("u50 u50 u50", Some(2), 10_000, Some(1)),
        ("u50 u500 u10", Some(2), 100, Some(2)),
        ("u50 u500", Some(1), 20, Some(2)),
        ("u50 u1010", Some(1), 100, Some(2)),
        ("u50 u10 a500 a10", Some(1), 100, Some(3)),
        ("u50 u50 u50", Some(2), 2_000, Some(1)),
        // An earlier summary is no step, so it cannot count against the tail.
        ("K u50 u50 u50", Some(2), 500, Some(2)),
        // All turns are candidates where their number is not limited.
        ("u50 u10 u500 u10 u10", None, 20, Some(3)),
    ];
    for (line, turns, tokens, expected) in cases {
        let found = cut(line, &keeping(Preset::OpencodeV1, turns, tokens));
        assert_eq!(found.map(|(at, _)| at), expected, "{line}, {turns:?} turns, {tokens}");
    }
}

#[test]
fn opencode_v2_goes_back_to_the_start_of_the_turn() {
    let cases = [
        ("u10 a10 u10 a10 t10 a10 u10 a10", 30, Some(2)),
        ("u10 a10 u10 a500", 100, Some(2)),
        // Everything fits: only the last exchange is kept.
        ("u10 a10 u10 a10 u10 a10", 15_000, Some(4)),
        // One exchange: nothing to cover that a user asked before. Upstream summarizes all of it.
        ("u10 a10 a10", 15_000, None),
    ];
    for (line, tokens, expected) in cases {
        let found = cut(line, &keeping(Preset::OpencodeV2, None, tokens));
        assert_eq!(found.map(|(at, _)| at), expected, "{line}, {tokens}");
    }
}

#[test]
fn llama_shears_keeps_six_messages_and_their_calls() {
    let policy = Policy { prose: crate::Share::fixed(16), ..Preset::LlamaShears.policy(100_000) };
    let cases = [
        ("u50 a50 u50 a50 u50 a50", None),
        ("p50 u50 a50 u50 a50 u50 a50 u50 a50", Some((3, false))),
        // Six messages back is the tool result: back to its call, so seven are kept.
        ("p50 u50 a50 t50 u50 a50 u50 a50 u50", Some((2, true))),
        ("u50 a50 u50 a50 u50 a50 u50 a50 a50", Some((3, true))),
    ];
    for (line, expected) in cases {
        assert_eq!(cut(line, &policy), expected, "{line}");
    }
}

#[test]
fn nexus_keeps_turns_and_is_not_held_by_prompts() {
    let policy = Policy { window: 1_000, reserve: Some(100), ..Policy::default() };
    let keep = |turns| Policy { keep_recent_turns: Some(turns), ..policy.clone() };
    // 10 user entries, keep 3: 7 are covered.
    let ten = "u95 u95 u95 u95 u95 u95 u95 u95 u95 u95";
    assert_eq!(cut(ten, &keep(3)), Some((7, false)));
    // Upstream cuts at the newest prompt; ours at the turn, and lifts the prompt.
    let prompts = "u95 u95 P95 u95 u95 u95 p95 u95 u95 u95 u95 u95 u95 u95";
    let wide = Policy { window: 100_000, ..Policy::default() };
    assert_eq!(cut(prompts, &wide), Some((8, false)));
    // Upstream never compacts a session that begins with a prompt.
    let first = format!("p500{}", " u100 a900".repeat(25));
    assert_eq!(cut(&first, &wide), Some((39, false)));
    // Turns are counted, not entries.
    assert_eq!(cut("u10 a10 a10 a10 a10 a10 a10 a10", &policy), None);
    // 3 huge entries: whatever is kept does not fit.
    let huge = plan(&script("u5000 u5000 u5000").view(false), &policy);
    assert!(matches!(huge, Plan::Skip(SkipReason::Unreachable { kept: 5_000, .. })), "{huge:?}");
}

#[test]
fn calls_and_results_are_never_parted() {
    // An open call is never covered, and what came before it still can be.
    assert_eq!(cut("u500 a500 u10 a10>", &keeping(Preset::Pi, None, 5)), Some((3, true)));
    // A result alone over the budget: back to its call.
    let only = "u100 a10> t5000";
    assert_eq!(cut(only, &keeping(Preset::Pi, None, 100)), Some((1, true)));
    // No cut but at the first entry.
    let none = plan(&script("a10> t10 t10").view(true), &keeping(Preset::Pi, None, 10));
    assert!(matches!(none, Plan::Skip(SkipReason::NoLegalCut { tokens: 30 })), "{none:?}");
    // Nothing is kept only where nothing is open.
    let open = cut("u500 a500 u500 a10>", &keeping(Preset::OpencodeV1, None, 5));
    assert_eq!(open, Some((3, true)));
}

#[test]
fn while_over_the_threshold_less_is_kept_until_it_fits() {
    // Six turns are to be kept, but there is one, and it is as large as the window.
    let policy = Policy { window: 20_000, ..Policy::default() };
    let line = format!("u100{}", " a1000 t1000".repeat(9));
    let planned = plan(&script(&line).view(false), &policy);
    let Plan::Cut { first_kept, splits_turn, kept, lifted, summary, .. } = planned else {
        panic!("{planned:?}")
    };
    assert!(splits_turn && kept + lifted + summary <= policy.budget().ceiling);
    assert_eq!(first_kept, 11, "no more is covered than must be");
    // The same asked for under the threshold: the turn is kept.
    assert_eq!(cut("u100 a1000 t1000 a1000 t1000", &policy), None);
}

#[test]
fn what_is_kept_is_masked_before_a_turn_is_split_and_only_as_much_as_must_be() {
    // Over 9,000; what a cut may leave, too.
    let policy = Policy {
        keep_recent_turns: Some(2),
        reserve: Some(1_000),
        ceiling: crate::Share::new(1, 1),
        ..keeping(Preset::Nexus, Some(2), u64::MAX)
    };
    let policy = Policy { window: 10_000, keep_recent_tokens: None, ..policy };
    let masked = |line: &str| match plan(&script(line).view(false), &policy) {
        Plan::Cut { first_kept, masks, kept, .. } => (first_kept, masks, kept),
        Plan::Skip(reason) => panic!("{line}: {reason}"),
    };
    // The largest output alone, though an older one and arguments are there.
    let line = "u50 u50 a900/800> t2000/1900 u50 a50> t7000/6900";
    assert_eq!(masked(line), (1, vec![6], 10_050 - 6_900));
    // Outputs first, then arguments.
    let line = "u50 u50 a9500/9400> t2000/1900 u50 a50> t7000/6900";
    assert_eq!(masked(line), (1, vec![2, 3, 6], 18_650 - 18_200));
    // Pinned output is not masked: a turn is split instead.
    let line = "u50 u50 a5000 a50> t4500/4000* a50 u50";
    assert_eq!(masked(line), (3, vec![], 4_650));
    // Where it does not do, less is kept, and masked there.
    let line = "u50 u50 a9000 u50 a50> t9500/9000";
    assert_eq!(masked(line), (4, vec![5], 550));
    // Nothing is masked where what is kept fits.
    assert_eq!(masked("u9000 u50 a50> t2000/1900 u50"), (1, vec![], 2_150));
}

#[test]
fn pins_stay_and_are_counted() {
    let policy = keeping(Preset::Pi, None, 10);
    let planned = plan(&script("p100 u10* a500 u10 a10").view(true), &policy);
    let Plan::Cut { first_kept, kept, lifted, .. } = planned else { panic!("{planned:?}") };
    assert_eq!((first_kept, kept, lifted), (4, 10, 110));
    // Only pinned entries before the cut: nothing to cover.
    assert_eq!(cut("p100 u10* a10", &policy), None);
}

#[test]
fn a_given_mark_is_cut_at_or_before() {
    let script = script("u10 a100 u10 a100 t100 a100");
    for (through, expected) in [(2, Some(2)), (4, Some(3)), (6, Some(6)), (0, None)] {
        let view = View { through: Some(through), ..script.view(true) };
        let found = match plan(&view, &Policy::default()) {
            Plan::Cut { first_kept, .. } => Some(first_kept),
            Plan::Skip(_) => None,
        };
        assert_eq!(found, expected, "through {through}");
    }
}

#[test]
fn what_cannot_help_is_not_begun() {
    let policy = Preset::Recommended.policy(32_768);
    // The prompts alone are over the threshold: no summary helps.
    let view = |line: &str| plan(&script(line).view(false), &policy);
    let overhead = view("p29000 u100 a100 u100 a100");
    assert!(matches!(overhead, Plan::Skip(SkipReason::Unreachable { .. })), "{overhead:?}");
    // Nothing is gained by covering less than a summary takes.
    let tiny = plan(&script("u5 a5 u400 a400").view(true), &keeping(Preset::Pi, None, 800));
    assert!(matches!(tiny, Plan::Skip(SkipReason::NoProgress { before: 810, .. })), "{tiny:?}");
}

#[test]
fn steps_that_are_not_shown_change_nothing() {
    let whole = script("u50 a50 u50 a500 t50 a50 u50 a50 u50 a50");
    let policies = [
        Policy { keep_recent_turns: Some(2), ..Preset::Nexus.policy(100_000) },
        keeping(Preset::Pi, None, 160),
        keeping(Preset::BooCode, Some(3), 160),
    ];
    for policy in policies {
        let Plan::Cut { first_kept, kept, .. } = plan(&whole.view(true), &policy) else { panic!() };
        for hidden in 1..=5 {
            let (before, steps) = whole.steps.split_at(hidden);
            let view = View {
                before: Before {
                    tokens: before.iter().map(|step| step.tokens).sum(),
                    turns: before.iter().filter(|step| step.kind == Kind::User).count() as u64,
                    lifted_tokens: 0,
                },
                steps,
                ..whole.view(true)
            };
            let Plan::Cut { first_kept: at, kept: same, .. } = plan(&view, &policy) else {
                panic!()
            };
            assert_eq!((at + hidden, same), (first_kept, kept), "{hidden} hidden");
        }
    }
}
