//! What readers see of what was answered. Apart from `sight`, whose file is compiled elsewhere too.

use super::sight::Sight;

#[test]
fn what_is_answered_is_not_seen_until_it_is_shown_and_that_changes_what_is_seen() {
    let sight = Sight::new();
    assert!(sight.shows_all());
    for groups in [1, 2] {
        let before = sight.seen();
        for _ in 0..groups {
            sight.answers();
            assert!(!sight.shows_all());
            assert_eq!(sight.seen(), before);
        }
        sight.shows(0);
        assert!(sight.shows_all());
        assert_ne!(sight.seen(), before);
    }
}

#[test]
fn what_is_shown_before_it_is_answered_is_seen_all_along() {
    let sight = Sight::new();
    for _ in 0..3 {
        let before = sight.seen();
        sight.shows(1);
        assert_ne!(sight.seen(), before);
        assert!(sight.shows_all());
        sight.answers();
        assert!(sight.shows_all());
    }
    sight.answers();
    assert!(!sight.shows_all());
}
