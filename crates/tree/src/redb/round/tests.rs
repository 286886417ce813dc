//! What a round keeps of its groups: all of it, in order, up to its bytes.

use super::*;

#[test]
fn records_come_back_in_their_order_until_all_are_let_go() {
    let mut unread = Unread::default();
    assert!(unread.is_empty());
    let records = [vec![1; 3], vec![], vec![2; 5]];
    for record in &records {
        unread.push(record);
        assert!(!unread.is_empty());
    }
    assert!(unread.records().eq(&records));
    unread.clear();
    assert!(unread.is_empty());
    assert_eq!(unread.records().count(), 0);
    unread.push(&[3]);
    assert!(unread.records().eq([[3]]));
}

#[test]
fn a_round_is_full_at_its_bytes_and_no_byte_before() {
    let mut unread = Unread::default();
    unread.push(&vec![0; ROUND_BYTES - 1]);
    assert!(!unread.is_full());
    unread.push(&[0]);
    assert!(unread.is_full());
    unread.clear();
    assert!(!unread.is_full());
}
