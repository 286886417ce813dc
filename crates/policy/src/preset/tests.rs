//! The tables of the tools that each preset stands for, and the arithmetic for every window.

use proptest::prelude::*;

use super::*;
use crate::policy::{required_gain, should_compact};

fn fires(cases: &[(u64, Policy, bool)]) {
    for (tokens, policy, expected) in cases {
        assert_eq!(should_compact(*tokens, policy), *expected, "{tokens} tokens, {policy:?}");
    }
}

#[test]
fn nexus_fires_strictly_over_the_window_less_the_reserve() {
    let reserved = |window, reserve| Policy { window, reserve, ..Policy::default() };
    fires(&[
        (100, reserved(1_000, Some(100)), false),
        (900, reserved(1_000, Some(100)), false),
        (901, reserved(1_000, Some(100)), true),
        (500, reserved(0, None), false),
        (80_000, reserved(100_000, None), false),
        (81_000, reserved(100_000, None), true),
    ]);
    // A reserve of 10,000 leaves a window of 10,000 nothing: there it is half of it.
    for (window, reserve) in [(100_000, 20_000), (20_000, 10_000), (10_000, 5_000), (1, 1)] {
        assert_eq!(reserved(window, None).budget().reserve, reserve, "window {window}");
    }
    assert_eq!(Policy::default().budget().keep_turns, Some(6));
    assert_eq!(Policy::default(), Preset::Nexus.policy(0));
}

#[test]
fn boocode_fires_at_85_percent() {
    let table = [
        (262_144, 222_822, 8_000),
        (200_000, 170_000, 8_000),
        (128_000, 108_800, 8_000),
        (100_000, 85_000, 8_000),
        (32_000, 27_200, 6_800),
        (20_000, 17_000, 4_250),
        (8_192, 6_963, 2_000),
        (4_096, 3_481, 2_000),
        (0, 0, 2_000),
    ];
    for (window, usable, tail) in table {
        let budget = Preset::BooCode.policy(window).budget();
        assert_eq!(budget.threshold, usable, "window {window}");
        assert_eq!(budget.keep_tokens, Some(tail), "window {window}");
    }
    let policy = Preset::BooCode.policy(100_000);
    fires(&[
        (84_999, policy.clone(), false),
        (85_000, policy.clone(), true),
        (80_000 + 5_000, policy.clone(), true),
        (80_000 + 4_999, policy, false),
        (1_000_000_001, Preset::BooCode.policy(0), false),
    ]);
}

/// A model of opencode's table: window, input limit, output limit.
fn opencode(preset: Preset, window: u64, input: Option<u64>, output: u64) -> Policy {
    Policy { input_limit: input, output_limit: Some(output), ..preset.policy(window) }
}

#[test]
fn opencode_v1_fires_at_its_limits() {
    let model = |window, input, output| opencode(Preset::OpencodeV1, window, input, output);
    let off = Policy { automatic: false, ..model(100_000, None, 32_000) };
    fires(&[
        (75_000 + 5_000, model(100_000, None, 32_000), true),
        (100_000 + 10_000, model(200_000, None, 32_000), false),
        (60_000 + 10_000 + 10_000, model(100_000, None, 32_000), true),
        (271_000 + 1_000 + 2_000, model(400_000, Some(272_000), 128_000), true),
        (200_000 + 20_000 + 10_000, model(400_000, Some(272_000), 128_000), false),
        (50_000 + 9_999, model(200_000, Some(120_000), 10_000), false),
        (180_000 + 15_000 + 3_000, model(200_000, Some(200_000), 32_000), true),
        (180_000 + 15_000 + 3_000, model(200_000, None, 32_000), true),
        (166_000 + 10_000 + 5_000, model(200_000, Some(200_000), 32_000), true),
        (166_000 + 10_000 + 5_000, model(200_000, None, 32_000), true),
        (100_000 + 10_000, model(0, None, 32_000), false),
        (75_000 + 5_000, off, false),
    ]);
    let thresholds = [
        (model(400_000, Some(272_000), 128_000), 252_000),
        (model(200_000, Some(200_000), 32_000), 180_000),
        (model(200_000, None, 32_000), 168_000),
        (model(200_000, Some(120_000), 10_000), 110_000),
    ];
    for (policy, threshold) in thresholds {
        assert_eq!(policy.budget().threshold, threshold, "{policy:?}");
        fires(&[(threshold - 1, policy.clone(), false), (threshold, policy, true)]);
    }
    let keep = |window| model(window, None, 32_000).budget().keep_tokens;
    assert_eq!(
        (keep(100_000), keep(72_000), keep(36_000)),
        (Some(15_000), Some(10_000), Some(4_500))
    );
}

#[test]
fn opencode_v2_fires_at_the_smaller_limit() {
    let model = |window, input, output| opencode(Preset::OpencodeV2, window, input, output);
    let thresholds = [
        (model(400_000, Some(272_000), 128_000), 252_000),
        (model(200_000, Some(200_000), 32_000), 168_000),
        (model(200_000, None, 32_000), 168_000),
        (model(200_000, Some(120_000), 10_000), 100_000),
        (model(200_000, None, 8_000), 180_000),
    ];
    for (policy, threshold) in thresholds {
        fires(&[(threshold - 1, policy.clone(), false), (threshold, policy, true)]);
    }
    assert_eq!(model(200_000, None, 32_000).budget().keep_tokens, Some(15_000));
}

#[test]
fn llama_shears_counts_the_next_answer_in() {
    let limited = |window| Policy { output_limit: Some(100), ..Preset::LlamaShears.policy(window) };
    fires(&[
        (649, limited(1_000), false),
        (650, limited(1_000), true),
        (500, limited(100_000), false),
        (1_000_000, limited(0), false),
        // No output limit: a sixth of the window is expected, 12,000 of 72,000.
        (41_999, Preset::LlamaShears.policy(72_000), false),
        (42_000, Preset::LlamaShears.policy(72_000), true),
    ]);
    for (window, cap) in [(900, 300), (600, 256)] {
        assert_eq!(Preset::LlamaShears.policy(window).budget().summary(), cap, "window {window}");
    }
}

#[test]
fn pi_fires_strictly_over_the_window_less_16_384() {
    let reserved = Policy { reserve: Some(10_000), ..Preset::Pi.policy(100_000) };
    let disabled = Policy { automatic: false, ..reserved.clone() };
    fires(&[
        (95_000, reserved.clone(), true),
        (90_000, reserved.clone(), false),
        (89_000, reserved, false),
        (95_000, disabled, false),
        (183_616, Preset::Pi.policy(200_000), false),
        (183_617, Preset::Pi.policy(200_000), true),
    ]);
    let budget = Preset::Pi.policy(200_000).budget();
    assert_eq!((budget.keep_tokens, budget.prose), (Some(20_000), 13_107));
    // Upstream a window of 16,000 has a threshold under zero and fires always.
    assert_eq!(Preset::Pi.policy(16_000).budget().threshold, 8_000);
}

#[test]
fn codex_fires_at_90_percent() {
    let policy = Preset::Codex.policy(272_000);
    fires(&[(244_799, policy.clone(), false), (244_800, policy, true)]);
}

#[test]
fn recommended_holds_back_what_the_field_does() {
    let table = [
        (8_192, 2_048),
        (32_768, 8_192),
        (100_000, 16_384),
        (200_000, 30_000),
        (262_144, 39_321),
        (1_000_000, 64_000),
    ];
    for (window, reserve) in table {
        let budget = Preset::Recommended.policy(window).budget();
        assert_eq!(budget.reserve, reserve, "window {window}");
        assert_eq!(budget.threshold, window - reserve);
    }
    let figures = |window| {
        let budget = Preset::Recommended.policy(window).budget();
        (budget.keep_tokens, budget.prose, budget.index, budget.low_water, budget.emergency)
    };
    assert_eq!(figures(200_000), (Some(20_000), 4_096, 3_000, 85_000, 185_000));
    assert_eq!(figures(32_768), (Some(6_144), 1_228, 614, 12_288, 28_672));
    assert_eq!(figures(2_048), (Some(512), 192, 192, 768, 1_792));
    let short_answers = Policy { output_limit: Some(4_000), ..Preset::Recommended.policy(200_000) };
    assert_eq!(short_answers.budget().emergency, 196_000);
}

#[test]
fn each_preset_keeps_and_cuts_as_its_line_of_the_table_says() {
    use Boundary::{Before, Reaching, TurnBefore, Within};
    let table = [
        (Preset::Recommended, None, None, Some(20_000), Within, 136_000),
        (Preset::Nexus, Some(6), None, None, Before, 160_000),
        (Preset::BooCode, Some(2), None, Some(8_000), Within, 170_000),
        (Preset::OpencodeV1, None, None, Some(15_000), Within, 168_000),
        (Preset::OpencodeV2, None, None, Some(15_000), TurnBefore, 168_000),
        (Preset::LlamaShears, None, Some(6), None, Before, 150_000),
        (Preset::Pi, None, None, Some(20_000), Reaching, 183_616),
        (Preset::Codex, None, None, Some(20_000), Within, 180_000),
    ];
    for (preset, turns, messages, tokens, boundary, ceiling) in table {
        let policy = preset.policy(200_000);
        let budget = policy.budget();
        let keeps = (budget.keep_turns, budget.keep_messages, budget.keep_tokens);
        assert_eq!(keeps, (turns, messages, tokens), "{preset:?}");
        assert_eq!((policy.boundary, budget.ceiling), (boundary, ceiling), "{preset:?}");
    }
}

#[test]
fn a_twentieth_must_be_gained_or_one_token_where_it_was_asked_for() {
    for (tokens, gain) in [(0, 1), (1, 1), (20, 1), (21, 2), (100_000, 5_000)] {
        assert_eq!(required_gain(tokens, false), gain, "of {tokens}");
        assert_eq!(required_gain(tokens, true), 1, "of {tokens}");
    }
}

#[test]
fn every_preset_is_found_by_its_name() {
    for preset in Preset::all() {
        assert_eq!(Preset::from_name(preset.name()), Some(preset));
    }
    assert_eq!(Preset::all().next(), Some(Preset::default()));
    let names: std::collections::BTreeSet<&str> = Preset::all().map(Preset::name).collect();
    assert_eq!(names.len(), PRESETS.len());
    assert_eq!(Preset::from_name("none"), None);
}

/// Windows of every order of magnitude from 1 to 2^40.
fn windows() -> impl Strategy<Value = u64> {
    (0_u32..=40).prop_flat_map(|bits| (1_u64 << bits) / 2 + 1..=1 << bits)
}

proptest! {
    #[test]
    fn figures_fit_every_window(
        window in windows(), more in 0_u64..1 << 20, tokens: u64,
        input in proptest::option::of(windows()), output in proptest::option::of(windows()),
        reserve in proptest::option::of(windows()),
    ) {
        for preset in Preset::all() {
            let policy = Policy { input_limit: input, output_limit: output, ..preset.policy(window) };
            let budget = policy.budget();
            let limit = window.min(input.unwrap_or(u64::MAX));
            prop_assert!(budget.threshold < window, "{preset:?}: {budget:?}");
            prop_assert!(budget.threshold > 0 || limit == 1, "{preset:?}: {budget:?}");
            prop_assert_eq!(budget.threshold + budget.reserve, limit);
            prop_assert!(budget.threshold <= budget.emergency && budget.emergency <= limit);
            prop_assert!(budget.low_water <= budget.ceiling && budget.ceiling <= budget.threshold);
            prop_assert!(budget.growth <= budget.threshold / 2);
            prop_assert!(budget.summary() + budget.keep_tokens.unwrap_or(0) <= budget.threshold);
            let wider = Policy { window: window + more, ..policy.clone() };
            prop_assert!(wider.budget().threshold >= budget.threshold, "{preset:?}");
            prop_assert!(!should_compact(tokens, &policy) || should_compact(tokens.saturating_add(more), &policy));
            prop_assert!(should_compact(u64::MAX, &policy) && !should_compact(0, &policy));
            // Whatever reserve somebody asks for, the arithmetic holds.
            let asked = Policy { reserve, ..policy }.budget();
            prop_assert!(asked.threshold <= limit && asked.emergency >= asked.threshold);
        }
    }
}
