//! Random histories against the plain model.

use tests::profile::{SEQUENCES, STEPS};
use tests::sequences::run;

#[test]
fn invariants_3_6_7_8_any_history_reads_as_the_model_says() {
    // On two threads, since no other test is as long.
    let half = |parity: u64| {
        for seed in (0..SEQUENCES).filter(|seed| seed % 2 == parity) {
            run(seed).unwrap_or_else(|why| panic!("{why}"));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| half(1));
        half(0);
    });
    println!("{SEQUENCES} sequences of {} to {} steps", STEPS.0, STEPS.1);
}
