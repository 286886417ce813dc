//! What a batch holds, and who is waited for. Apart from `queue`, whose file is compiled elsewhere too.

use std::time::Duration;

use super::queue::{Caps, Queue, Taken, Weight};

const CAPS: Caps = Caps { entries: 10, bytes: 10 };
const LIGHT: Weight = Weight { entries: 1, bytes: 1 };
/// From so many callers on groups are halves of them.
const MANY: usize = 6;

fn batch(queue: &Queue<u32>) -> Vec<u32> {
    let Taken::Batch(batch) = queue.take(CAPS, None) else { panic!("a batch") };
    batch
}

/// A queue that expects three callers: two were answered, and one waits.
fn expecting_three(gather: Duration) -> Queue<u32> {
    let queue = Queue::new(gather, MANY);
    queue.put(LIGHT, 1).unwrap();
    queue.put(LIGHT, 2).unwrap();
    assert_eq!(batch(&queue), [1, 2]);
    queue.put(LIGHT, 3).unwrap();
    queue.answering(2);
    queue
}

#[test]
fn those_just_answered_are_waited_for() {
    let queue = expecting_three(Duration::from_secs(600));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for item in [4, 5] {
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
    queue.answering(1);
    queue.put(LIGHT, 4).unwrap();
    assert_eq!(batch(&queue), [4]);
    let patient = Queue::new(Duration::from_secs(600), MANY);
    for alone in 0..3 {
        patient.put(LIGHT, alone).unwrap();
        assert_eq!(batch(&patient), [alone]);
        patient.answering(1);
    }
}

#[test]
fn halves_of_many_callers_are_taken_by_turns() {
    let queue = Queue::new(Duration::from_secs(600), MANY);
    let put = |items: std::ops::Range<u32>| items.for_each(|item| queue.put(LIGHT, item).unwrap());
    put(0..5);
    assert_eq!(batch(&queue).len(), 5, "five are not many");
    assert!(!queue.overlaps());
    queue.answering(5);
    put(0..7);
    for half in [vec![0, 1, 2, 3], vec![4, 5, 6]] {
        assert_eq!(batch(&queue), half);
        assert!(queue.overlaps());
    }
    // The first half comes back while the other is made durable, and makes a group again.
    queue.answering(4);
    put(7..11);
    assert_eq!(batch(&queue), [7, 8, 9, 10]);
    let just_many = Queue::new(Duration::ZERO, MANY);
    (0..6).for_each(|item| just_many.put(LIGHT, item).unwrap());
    assert_eq!(batch(&just_many), [0, 1, 2]);
    assert!(just_many.overlaps());
    // One stays away, which ends a wait; so it does not count.
    let impatient = Queue::new(Duration::ZERO, MANY);
    (0..7).for_each(|item| impatient.put(LIGHT, item).unwrap());
    assert_eq!(batch(&impatient).len() + batch(&impatient).len(), 7);
    impatient.answering(7);
    (0..3).for_each(|item| impatient.put(LIGHT, item).unwrap());
    assert_eq!(batch(&impatient), [0, 1, 2]);
    assert!(!{
        impatient.put(LIGHT, 3).unwrap();
        batch(&impatient);
        impatient.overlaps()
    });
}

#[test]
fn who_stays_away_does_not_make_others_many() {
    let queue = Queue::new(Duration::ZERO, MANY);
    (0..5).for_each(|item| queue.put(LIGHT, item).unwrap());
    assert_eq!(batch(&queue).len(), 5);
    queue.answering(5);
    (0..4).for_each(|item| queue.put(LIGHT, item).unwrap());
    assert_eq!(batch(&queue).len(), 4, "the fifth is waited for no longer");
    queue.put(Weight { entries: 0, bytes: 0 }, 5).unwrap();
    assert_eq!(batch(&queue), [5]);
    assert!(!queue.overlaps(), "the fifth is counted");
}

#[test]
fn who_wants_to_read_is_not_expected_to_come_back() {
    let reader = Weight { entries: 0, bytes: 0 };
    let queue = Queue::new(Duration::from_secs(600), MANY);
    queue.put(reader, 0).unwrap();
    queue.put(LIGHT, 1).unwrap();
    assert_eq!(batch(&queue), [0, 1]);
    queue.answering(1);
    queue.put(LIGHT, 2).unwrap();
    assert_eq!(batch(&queue), [2]);
    // Nor does it make callers many, once it was told.
    for _ in 0..MANY {
        queue.put(reader, 3).unwrap();
        assert_eq!(batch(&queue), [3]);
    }
    queue.put(LIGHT, 4).unwrap();
    assert_eq!(batch(&queue), [4]);
    assert!(!queue.overlaps());
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
        let queue = Queue::new(Duration::ZERO, MANY);
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
    let queue = Queue::new(Duration::ZERO, MANY);
    assert!(matches!(queue.take(CAPS, Some(Duration::from_millis(1))), Taken::Idle));
    queue.put(LIGHT, 1).unwrap();
    queue.close();
    assert_eq!(queue.put(LIGHT, 2), Err(2));
    assert_eq!(batch(&queue), [1]);
    assert!(matches!(queue.take(CAPS, None), Taken::Closed));
}

#[test]
fn a_writer_that_is_wanted_is_idle_once_and_nothing_is_lost() {
    let queue = Queue::new(Duration::from_secs(600), MANY);
    queue.put(LIGHT, 1).unwrap();
    queue.want();
    assert!(matches!(queue.take(CAPS, None), Taken::Idle));
    assert_eq!(batch(&queue), [1]);
}
