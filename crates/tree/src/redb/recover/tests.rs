//! What is decided about what was salvaged, before anything is written.

use super::*;
use crate::entry::{Body, Draft, Kind, Nonce};
use crate::redb::salvage::Found;

fn id(text: &str) -> Id {
    Draft::new(Kind::User, 5, Nonce([7; 16]), Body::new("text", text)).id_under(None)
}

fn found(number: Number) -> Found {
    Found { offset: 0, len: 0, number: Some(number), parent: None, target: None, erased: false }
}

#[test]
fn an_entry_whose_place_is_gone_goes_where_the_journal_appended_it() {
    let mut salvage = Salvage { runs: [(10, (3, 4)), (20, (2, 5))].into(), ..Salvage::default() };
    let expected = [(9, None), (10, Some(4)), (12, Some(4)), (13, None), (21, Some(5)), (22, None)];
    let entries = expected.map(|(number, _)| (id(&number.to_string()), found(number)));
    salvage.entries.extend(entries);
    let plan = Plan::of(&salvage);
    let session = |(number, _): (u64, _)| plan.nodes[&id(&number.to_string())].session;
    assert_eq!(expected.map(|it| (it.0, session(it))), expected);
    let names: Vec<&str> = plan.names.values().map(String::as_str).collect();
    assert_eq!(names, ["recovered-session-4", "recovered-session-5"]);
}

#[test]
fn so_many_of_the_lost_are_listed_and_all_are_counted() {
    let raw = Raw::new(tempfile::tempfile().unwrap()).unwrap();
    let (salvage, plan) = (Salvage::default(), Plan::default());
    let mut recovery = Recovery { raw, salvage, plan, report: RecoverReport::default() };
    for _ in 0..=LOST_LISTED {
        recovery.lost(id("lost"));
    }
    let report = recovery.report;
    assert_eq!((report.lost, report.lost_ids.len()), (LOST_LISTED as u64 + 1, LOST_LISTED));
}
