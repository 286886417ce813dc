//! Five compactions in a row with real entries in between: every ask visible, every changed file named,
//! nothing unaccounted for.

use tests::command::{ROOT, samples};
use tests::generations::{Piece, of_file, of_lines, run};
use treering_policy::{Policy, Preset};

const GENERATIONS: usize = 5;

fn hold(pieces: &[Piece], policy: &Policy) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done = runtime.block_on(run(pieces, GENERATIONS, policy));
    assert_eq!(done.len(), GENERATIONS);
    for (at, generation) in done.iter().enumerate() {
        assert!(generation.holds(), "generation {}: {generation:#?}", at + 1);
        assert!(generation.asks.of > 0);
    }
    assert!(done.last().unwrap().files.of > 0);
}

#[test]
fn invariant_8_five_generations_of_our_own_session_lose_nothing() {
    let path = std::path::Path::new(ROOT).join("crates/cli/demo/session.jsonl");
    let pieces = of_lines(&std::fs::read_to_string(path).unwrap());
    // Small parts are to be covered: of each only the last turn is kept.
    let rules = Preset::Recommended.policy(64_000);
    hold(&pieces, &Policy { keep_recent_turns: Some(1), ..rules });
}

#[test]
fn invariant_8_five_generations_of_a_real_session_lose_nothing() {
    let is_large = |path: &std::path::PathBuf| path.ends_with("large-session.jsonl");
    let Some(sample) = samples("pi").into_iter().find(is_large) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pieces = runtime.block_on(of_file(&sample)).unwrap();
    hold(&pieces, &Preset::Recommended.policy(200_000));
}
