//! What a batch holds, and who is waited for. Apart from `queue`, whose file is compiled elsewhere too.

use std::time::Duration;

use super::queue::{Caps, Queue, Taken, Weight};

const CAPS: Caps = Caps { entries: 10, bytes: 10 };
const LIGHT: Weight = Weight { entries: 1, bytes: 1 };

fn batch(queue: &Queue<u32>) -> Vec<u32> {
    let Taken::Batch(batch) = queue.take(CAPS, None) else { panic!("a batch") };
    batch
}

/// A queue that expects three callers: two were answered, and one waits.
fn expecting_three(gather: Duration) -> Queue<u32> {
    let queue = Queue::new(gather);
    queue.put(LIGHT, 1).unwrap();
    queue.put(LIGHT, 2).unwrap();
    assert_eq!(batch(&queue), [1, 2]);
    queue.put(LIGHT, 3).unwrap();
    queue.answering();
    queue
}

#[test]
fn those_just_answered_are_waited_for() {
    let queue = expecting_three(Duration::from_secs(600));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for item in [4, 5] {
                std::thread::sleep(Duration::from_millis(20));
                queue.put(LIGHT, item).unwrap();
            }
        });
        assert_eq!(batch(&queue), [3, 4, 5]);
    });
}

#[test]
fn who_stays_away_is_waited_for_once_and_a_lone_caller_never() {
    let queue = expecting_three(Duration::ZERO);
    assert_eq!(batch(&queue), [3]);
    queue.answering();
    queue.put(LIGHT, 4).unwrap();
    assert_eq!(batch(&queue), [4]);
    let patient = Queue::new(Duration::from_secs(600));
    for alone in 0..3 {
        patient.put(LIGHT, alone).unwrap();
        assert_eq!(batch(&patient), [alone]);
        patient.answering();
    }
}

#[test]
fn a_closed_queue_waits_for_nobody() {
    let queue = expecting_three(Duration::from_secs(600));
    queue.close();
    assert_eq!(batch(&queue), [3]);
    assert!(matches!(queue.take(CAPS, None), Taken::Closed));
}

#[test]
fn a_batch_ends_where_one_more_would_pass_a_cap_and_the_first_is_always_taken() {
    let weights: [&[(usize, usize)]; 4] = [
        &[(5, 1), (5, 1), (1, 1)],
        &[(1, 5), (1, 5), (1, 1)],
        &[(11, 1), (1, 1)],
        &[(1, 11), (1, 1)],
    ];
    for (weights, taken) in weights.into_iter().zip([2, 2, 1, 1]) {
        let queue = Queue::new(Duration::ZERO);
        for (nth, (entries, bytes)) in (0..).zip(weights) {
            queue.put(Weight { entries: *entries, bytes: *bytes }, nth).unwrap();
        }
        let first: Vec<u32> = (0..taken).collect();
        assert_eq!(batch(&queue), first, "{weights:?}");
        assert!(queue.has_waiting());
        assert_eq!(batch(&queue), [taken]);
        assert!(!queue.has_waiting());
    }
}

#[test]
fn nothing_goes_into_a_closed_queue_and_nobody_is_waited_for_longer_than_patience() {
    let queue = Queue::new(Duration::ZERO);
    assert!(matches!(queue.take(CAPS, Some(Duration::from_millis(1))), Taken::Idle));
    queue.put(LIGHT, 1).unwrap();
    queue.close();
    assert_eq!(queue.put(LIGHT, 2), Err(2));
    assert_eq!(batch(&queue), [1]);
    assert!(matches!(queue.take(CAPS, None), Taken::Closed));
}
