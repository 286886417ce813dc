//! The conformance suite: what every [`Store`] must do, as functions over a factory of empty stores. An
//! implementation's test calls [`all`]; each check panics with what it expected and found.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a suite of tests speaks by panicking")]

use std::future::Future;
use std::sync::Arc;

use crate::context::{Form, Source};
use crate::entry::{Body, Draft, Kind, Mask};
use crate::error::{Error, ErrorKind};
use crate::id::Id;
use crate::limits;
use crate::message::{Message, Role, Tombstone};
use crate::session::Session;
use crate::sources::Sources;
use crate::store::{
    Change, Erasure, Expect, MAIN, Memo, MemoWrite, Move, Presence, Reason, Seek, Store, To,
};

/// Runs every check, each on a store of its own.
///
/// # Panics
/// Where the store breaks the contract.
pub async fn all<F, S>(empty: F)
where
    F: Fn() -> S,
    S: Future<Output = Arc<dyn Store>>,
{
    a_session_comes_to_be_with_its_first_entry(empty().await).await;
    append_moves_the_head_and_replay_walks_it(empty().await).await;
    a_change_is_all_or_nothing(empty().await).await;
    of_equal_expectations_one_wins(empty().await).await;
    a_retry_is_a_no_op_also_after_the_branch_moved_on(empty().await).await;
    an_alias_names_one_content(empty().await).await;
    rewind_fork_switch_and_undo(empty().await).await;
    what_breaks_a_rule_is_refused_and_writes_nothing(empty().await).await;
    limits_hold_at_the_limit_and_one_past_it(empty().await).await;
    ancestors_are_found(empty().await).await;
    a_compaction_replaces_what_it_covers(empty().await).await;
    a_compaction_masks_what_it_keeps(empty().await).await;
    who_lands_behind_a_head_may_come_late(empty().await).await;
    listings_page(empty().await).await;
    a_memo_guards_a_change(empty().await).await;
    an_erased_body_is_gone_and_its_id_stays(empty().await).await;
    an_erasure_is_all_or_nothing(empty().await).await;
    erasing_lists_what_may_still_tell(empty().await).await;
    a_nonce_follows_from_what_it_is_for(&*empty().await);
}

fn session(store: &Arc<dyn Store>, name: &str) -> Session {
    // Nonces of their own: equal entries of two sessions would be one.
    let seed = name.bytes().fold(7, |seed, byte| seed * 31 + u64::from(byte));
    Session::new(Arc::clone(store), name, Sources::fixed(seed))
}

fn said(session: &Session, kind: Kind, text: &str) -> Draft {
    let role = if kind == Kind::Assistant { Role::Assistant } else { Role::User };
    session.draft(kind, Message::text(role, text).body()).tokens(10)
}

async fn append(session: &Session, draft: Draft) -> Id {
    session.append(draft, Expect::Any).await.unwrap().ids[0]
}

async fn talk(session: &Session, turns: usize) -> Vec<Id> {
    let mut ids = Vec::new();
    for turn in 0..turns {
        ids.push(append(session, said(session, Kind::User, &format!("ask {turn}"))).await);
        ids.push(append(session, said(session, Kind::Assistant, &format!("answer {turn}"))).await);
    }
    ids
}

async fn clean(store: &Arc<dyn Store>) {
    let report = store.verify().await.unwrap();
    assert!(report.problems.is_empty(), "verify found {:?}", report.problems);
}

async fn replayed(session: &Session) -> Vec<Id> {
    let path = session.replay().await.unwrap().collect().await.unwrap();
    path.iter().map(|stored| stored.entry.id()).collect()
}

async fn a_session_comes_to_be_with_its_first_entry(store: Arc<dyn Store>) {
    let fresh = session(&store, "fresh");
    assert_eq!(fresh.head().await.unwrap(), None);
    assert_eq!(fresh.info().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(replayed(&fresh).await.is_empty());
    let id = append(&fresh, said(&fresh, Kind::User, "hello")).await;
    let info = fresh.info().await.unwrap();
    assert_eq!((info.head, info.entries, info.branches), (Some(id), 1, 1));
    clean(&store).await;
}

async fn append_moves_the_head_and_replay_walks_it(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let ids = talk(&one, 300).await;
    assert_eq!(one.head().await.unwrap(), ids.last().copied());
    assert_eq!(replayed(&one).await, ids);
    let stored = store.entries(&ids[..2]).await.unwrap();
    let (first, second) = (stored[0].clone().unwrap(), stored[1].clone().unwrap());
    assert_eq!(first.entry.envelope().parent, None);
    assert_eq!(second.entry.envelope().parent, Some(ids[0]));
    let body = first.entry.body().unwrap();
    assert_eq!(Message::from_body(body).unwrap(), Message::text(Role::User, "ask 0"));
    clean(&store).await;
}

async fn a_change_is_all_or_nothing(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let good = said(&one, Kind::User, "good");
    let orphan = said(&one, Kind::User, "orphan").under(Some(Id::from_bytes([9; 32])));
    let error = one.append_all(vec![good.clone(), orphan], Expect::Any).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(one.info().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.stats().await.unwrap().entries, 0);
    let next = said(&one, Kind::Assistant, "next");
    let committed = one.append_all(vec![good, next], Expect::Empty).await.unwrap();
    assert_eq!(replayed(&one).await, committed.ids);
    clean(&store).await;
}

async fn of_equal_expectations_one_wins(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let head = append(&one, said(&one, Kind::User, "start")).await;
    let rivals: Vec<Draft> =
        (0..16).map(|n| said(&one, Kind::Assistant, &format!("rival {n}"))).collect();
    let mut winners = 0;
    for rival in rivals {
        match one.append(rival, Expect::Head(head)).await {
            Ok(_) => winners += 1,
            Err(Error::HeadMoved { actual, .. }) => assert_eq!(actual, one.head().await.unwrap()),
            Err(other) => panic!("expected a moved head, found {other}"),
        }
    }
    assert_eq!((winners, store.stats().await.unwrap().entries), (1, 2));
    clean(&store).await;
}

async fn a_retry_is_a_no_op_also_after_the_branch_moved_on(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let root = append(&one, said(&one, Kind::User, "start")).await;
    let draft = said(&one, Kind::Assistant, "once").under(Some(root));
    let aliased = said(&one, Kind::User, "with an alias").alias("mine");
    let first = one.append(draft.clone(), Expect::Head(root)).await.unwrap();
    let second = one.append(aliased.clone(), Expect::Any).await.unwrap();
    let head = append(&one, said(&one, Kind::User, "on")).await;
    for (retried, before) in [(draft, first), (aliased, second)] {
        let again = one.append(retried, Expect::Head(root)).await.unwrap();
        assert_eq!((again.ids, again.added, again.journal), (before.ids, 0, None));
        assert_eq!((again.head, one.head().await.unwrap()), (Some(head), Some(head)));
    }
    assert_eq!(store.stats().await.unwrap().entries, 4);
    clean(&store).await;
}

async fn an_alias_names_one_content(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let draft = said(&one, Kind::User, "one").alias("a").under(None);
    let id = append(&one, draft.clone()).await;
    assert_eq!(store.with_alias("one", "a").await.unwrap(), Some(id));
    assert_eq!(store.with_alias("one", "b").await.unwrap(), None);
    let error =
        one.append(said(&one, Kind::User, "two").alias("a"), Expect::Any).await.unwrap_err();
    assert!(matches!(error, Error::AliasTaken { existing, .. } if existing == id), "{error}");
    let other = session(&store, "other");
    let elsewhere = append(&other, said(&other, Kind::User, "two").alias("a")).await;
    assert_eq!(store.with_alias("other", "a").await.unwrap(), Some(elsewhere));
    // The very entry is itself, also where its alias names another.
    let again = other.append(draft, Expect::Any).await.unwrap();
    assert_eq!((again.ids, again.added, again.head), (vec![id], 0, Some(id)));
    assert_eq!(store.with_alias("other", "a").await.unwrap(), Some(elsewhere));
    clean(&store).await;
}

async fn rewind_fork_switch_and_undo(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let ids = talk(&one, 3).await;
    one.rewind(Some(ids[1]), Expect::Head(ids[5])).await.unwrap();
    assert_eq!(replayed(&one).await, ids[..2]);
    let other = append(&one, said(&one, Kind::User, "another way")).await;
    assert_eq!(replayed(&one).await, [&ids[..2], &[other]].concat());
    one.fork_branch("old", ids[5]).await.unwrap();
    assert_eq!(replayed(&one).await, ids);
    for name in ["old", "main"] {
        let taken = one.fork_branch(name, ids[0]).await.unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::Conflict);
    }
    let switched = one.switch("main").await.unwrap();
    assert_eq!((switched.branch.as_str(), switched.head), ("main", Some(other)));
    assert_eq!(one.head().await.unwrap(), Some(other));
    let fork = one.fork_session("two", ids[3]).await.unwrap();
    assert_eq!(replayed(&fork).await, ids[..4]);
    append(&fork, said(&fork, Kind::User, "apart")).await;
    assert_eq!(one.head().await.unwrap(), Some(other));
    // Back through: switch, fork, append, rewind.
    let heads = [Some(ids[5]), Some(other), Some(ids[1]), Some(ids[5])];
    for head in heads {
        one.undo().await.unwrap();
        assert_eq!(one.head().await.unwrap(), head);
    }
    assert_eq!(store.branches("one", None, 10).await.unwrap().len(), 1);
    for _ in 0..6 {
        one.undo().await.unwrap();
    }
    assert_eq!((one.head().await.unwrap(), replayed(&fork).await.len()), (None, 5));
    assert_eq!(one.undo().await.unwrap_err().kind(), ErrorKind::NotFound);
    clean(&store).await;
}

async fn what_breaks_a_rule_is_refused_and_writes_nothing(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let ids = talk(&one, 1).await;
    let stray = append(&session(&store, "two"), said(&one, Kind::User, "stray")).await;
    let unknown = Id::from_bytes([3; 32]);
    let note = || one.draft(Kind::Note, Body::new("text", "x"));
    let bad = [
        (said(&one, Kind::User, "x").under(Some(unknown)), ErrorKind::NotFound),
        (one.draft(Kind::SystemPrompt, Body::new("text", "x")), ErrorKind::Invalid),
        (note().slot("s"), ErrorKind::Invalid),
        (note().calls(["c"]), ErrorKind::Invalid),
        (note().answers(["c"]), ErrorKind::Invalid),
        (note().alias(""), ErrorKind::Invalid),
        (one.draft(Kind::Pin, Body::new("text", "")), ErrorKind::Invalid),
        (one.draft(Kind::Pin, Body::new("text", "")).target(unknown), ErrorKind::NotFound),
        (one.draft(Kind::Pin, Body::new("text", "")).target(stray), ErrorKind::Invalid),
        (one.draft(Kind::Compaction, Body::new("text", "")).target(stray), ErrorKind::Invalid),
    ];
    for (draft, kind) in bad {
        let error = one.append(draft, Expect::Any).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    for name in ["", "a\nb"] {
        let nameless = session(&store, name);
        let error =
            nameless.append(said(&nameless, Kind::User, "x"), Expect::Any).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    assert_eq!(
        one.rewind(Some(unknown), Expect::Any).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(one.switch("no").await.unwrap_err().kind(), ErrorKind::NotFound);
    for (moved, twice) in
        [([Some("a"), None, Some("a")], "a"), ([None, Some("a"), Some(MAIN)], MAIN)]
    {
        let to_root = |branch: Option<&str>| Move {
            branch: branch.map(ToOwned::to_owned),
            expect: Expect::Any,
            to: To::Entry(ids[0]),
        };
        let moves = moved.map(to_root).to_vec();
        let change = Change { moves, ..Change::new("one", Reason::Rewind, 0) };
        let error = store.commit(change).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(&format!("{twice:?}")), "{error}");
    }
    assert_eq!(
        (one.head().await.unwrap(), store.stats().await.unwrap().entries),
        (Some(ids[1]), 3)
    );
    clean(&store).await;
}

async fn limits_hold_at_the_limit_and_one_past_it(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let name = |len: u64| "n".repeat(usize::try_from(len).unwrap());
    let many = |len: u64| (0..len).map(|n| n.to_string()).collect::<Vec<_>>();
    for (past, fits) in [(0, true), (1, false)] {
        let drafts = [
            said(&one, Kind::User, "x").alias(name(limits::NAME_BYTES + past)),
            said(&one, Kind::Assistant, "x").calls(many(limits::CALLS_PER_ENTRY + past)),
            one.draft(Kind::Note, Body::new(name(limits::NAME_BYTES + past), "x")),
            one.draft(
                Kind::Note,
                Body::new("zeros", vec![0; usize::try_from(limits::BODY_BYTES + past).unwrap()]),
            ),
        ];
        for draft in drafts {
            let outcome = one.append(draft, Expect::Any).await;
            match outcome {
                Ok(_) => assert!(fits, "accepted over the limit"),
                Err(error) => assert!(!fits && matches!(error, Error::TooLarge { .. }), "{error}"),
            }
        }
    }
    clean(&store).await;
}

async fn ancestors_are_found(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let ids = talk(&one, 40).await;
    one.rewind(Some(ids[30]), Expect::Any).await.unwrap();
    let other = talk(&one, 20).await;
    let head = other[39];
    let path = [&ids[..=30], &other[..]].concat();
    let mut questions: Vec<Seek> = (0..path.len() as u64).map(Seek::Depth).collect();
    questions.extend((1..=16).map(Seek::Turn));
    questions.extend((0..20).map(|n| Seek::TokensAtMost(n * 10)));
    questions.extend([
        Seek::Depth(71),
        Seek::Entry(ids[30]),
        Seek::Entry(ids[31]),
        Seek::Common(ids[79]),
    ]);
    let found = store.seek(head, &questions).await.unwrap();
    let found: Vec<Option<Id>> =
        found.into_iter().map(|place| place.map(|place| place.id)).collect();
    let mut expected: Vec<Option<Id>> = path.iter().copied().map(Some).collect();
    expected.extend((0..16).map(|turn| Some(ids[2 * turn])));
    expected.extend((0..20_usize).map(|n| n.checked_sub(1).map(|n| path[path.len() - 1 - n])));
    expected.extend([None, Some(ids[30]), None, Some(ids[30])]);
    assert_eq!(found, expected);
    let middle = store.path(head, 25..45).await.unwrap();
    let middle: Vec<Id> = middle.iter().map(|stored| stored.entry.id()).collect();
    assert_eq!(middle, path[25..45]);
    clean(&store).await;
}

async fn a_compaction_replaces_what_it_covers(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let prompt = append(&one, said(&one, Kind::SystemPrompt, "be brief").slot("main")).await;
    let ids = talk(&one, 5).await;
    let compaction =
        |kept: Id| one.draft(Kind::Compaction, Body::new("text", "sum")).tokens(3).target(kept);
    let foreseen = store.preview(ids[9], Some(ids[6])).await.unwrap();
    let summary = append(&one, compaction(ids[6])).await;
    let landed = store.measure(summary).await.unwrap().compaction.unwrap();
    assert_eq!(landed.cut, Some(foreseen));
    let later = append(&one, said(&one, Kind::User, "and now")).await;
    let context = one.context().await.unwrap();
    let shown: Vec<(Id, Source)> =
        context.items.iter().map(|item| (item.stored.entry.id(), item.source)).collect();
    let kept = ids[6..].iter().map(|id| (*id, Source::Kept));
    let expected: Vec<(Id, Source)> = [(prompt, Source::Pin), (summary, Source::Summary)]
        .into_iter()
        .chain(kept)
        .chain([(later, Source::Later)])
        .collect();
    assert_eq!(shown, expected);
    assert_eq!(context.tokens, 10 + 3 + 4 * 10 + 10);
    let parts = (store.measure(later).await.unwrap(), store.tail(later).await.unwrap());
    assert_eq!(context, crate::Context::of(&parts.0, parts.1));
    let again = one.append(compaction(ids[6]), Expect::Any).await.unwrap_err();
    let foreseen = store.preview(later, Some(ids[6])).await.unwrap_err();
    for refusal in [again, foreseen] {
        assert!(matches!(refusal, Error::Superseded { by } if by == summary), "{refusal}");
    }
    append(&one, compaction(ids[8])).await;
    // Rewinding across a compaction undoes it.
    one.rewind(Some(ids[9]), Expect::Any).await.unwrap();
    assert_eq!(one.context().await.unwrap().items.len(), 11);
    clean(&store).await;
}

async fn a_compaction_masks_what_it_keeps(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let ids = talk(&one, 2).await;
    let call = append(&one, said(&one, Kind::Assistant, "look").calls(["c"])).await;
    let result = append(&one, said(&one, Kind::ToolResult, "much").answers(["c"])).await;
    let late = append(&one, said(&one, Kind::ToolResult, "late").answers(["c"])).await;
    let compaction = |masks: &[(Id, u32)]| {
        let mask = |&(entry, saved_tokens): &(Id, u32)| Mask { entry, saved_tokens };
        let draft = one.draft(Kind::Compaction, Body::new("text", "sum")).tokens(3);
        draft.target(ids[2]).masks(masks.iter().map(mask).collect())
    };
    for masks in [&[(ids[0], 1)][..], &[(ids[3], 1)], &[(late, 1)], &[(call, 1), (call, 1)]] {
        let refused = one.append(compaction(masks), Expect::Any).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    }
    let note = said(&one, Kind::Note, "no").masks(vec![Mask { entry: call, saved_tokens: 1 }]);
    assert_eq!(one.append(note, Expect::Any).await.unwrap_err().kind(), ErrorKind::Invalid);
    let landed = append(&one, compaction(&[(result, 7), (call, 90)])).await;
    let context = one.context().await.unwrap();
    let form = |id: Id| {
        let item = context.items.iter().find(|item| item.stored.entry.id() == id).unwrap();
        let callers: Vec<Id> = item.callers.iter().map(|caller| caller.id()).collect();
        (item.form.clone(), callers)
    };
    assert_eq!(form(call), (Form::Masked { saved_tokens: 90 }, vec![]));
    assert_eq!(form(result), (Form::Masked { saved_tokens: 7 }, vec![call]));
    assert_eq!((form(late).0, form(ids[2]).0), (Form::LateResult, Form::Verbatim));
    // Nothing saves more than there is.
    assert_eq!(context.tokens, 3 + 5 * 10 - 7 - 10);
    let stored = store.entries(&[result, landed]).await.unwrap().remove(0).unwrap();
    assert_eq!(stored.entry.body(), said(&one, Kind::Note, "much").body().into());
    // A pin is stronger; the next compaction says anew what is masked.
    append(&one, one.draft(Kind::Pin, Body::new("text", "")).target(result)).await;
    let pinned = compaction(&[(result, 1)]).target(ids[3]);
    let refused = one.append(pinned, Expect::Any).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    append(&one, compaction(&[]).target(ids[3])).await;
    assert!(one.context().await.unwrap().items.iter().all(|item| !item.is_masked()));
    clean(&store).await;
}

async fn who_lands_behind_a_head_may_come_late(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let ids = talk(&one, 3).await;
    let behind = |id: Id| Expect::Behind(id);
    append(&one, said(&one, Kind::Note, "meanwhile")).await;
    let landing = || one.draft(Kind::Compaction, Body::new("text", "sum")).target(ids[2]);
    one.append(landing(), behind(ids[5])).await.unwrap();
    let above = one.replay().await.unwrap().collect().await.unwrap();
    assert_eq!(above.len(), 8, "behind what came meanwhile");
    // What changes what a compaction does is in between by now, or the head is elsewhere.
    for moved in [Some(ids[5]), Some(ids[4]), None] {
        if moved != Some(ids[5]) {
            one.rewind(moved, Expect::Any).await.unwrap();
        }
        let lost = one.append(landing(), behind(ids[5])).await.unwrap_err();
        assert!(matches!(lost, Error::HeadMoved { .. }), "{lost}");
    }
    for between in [
        one.draft(Kind::Pin, Body::new("text", "")).target(ids[0]),
        said(&one, Kind::SystemPrompt, "be brief").slot("main"),
    ] {
        one.rewind(Some(ids[5]), Expect::Any).await.unwrap();
        append(&one, between).await;
        let lost = one.append(landing(), behind(ids[5])).await.unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::Conflict, "{lost}");
    }
    clean(&store).await;
}

async fn listings_page(store: Arc<dyn Store>) {
    for name in ["a", "b", "c"] {
        let session = session(&store, name);
        talk(&session, 1).await;
    }
    let after = store.sessions(Some("a"), 1).await.unwrap();
    assert_eq!(after.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["b"]);
    let scanned = store.scan(Some("b"), 0, 10).await.unwrap();
    assert!(scanned.iter().all(|stored| stored.place.session == after[0].number));
    assert_eq!((scanned.len(), store.scan(None, 4, 10).await.unwrap().len()), (2, 2));
    let rows = store.journal(2, 3).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.number).collect::<Vec<_>>(), [2, 3, 4]);
    let id = scanned[0].entry.id();
    let prefix = id.to_string()[..10].parse().unwrap();
    assert_eq!(store.with_prefix(prefix, 5).await.unwrap(), [id]);
    let away = Change {
        presence: Presence::Existing,
        moves: vec![Move { branch: None, expect: Expect::Any, to: To::Removed }],
        ..Change::new("b", Reason::Rewind, 0)
    };
    assert_eq!(store.commit(away).await.unwrap_err().kind(), ErrorKind::Invalid);
}

async fn a_memo_guards_a_change(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let write = |expect: Option<Memo>, value: Memo| Change {
        memos: vec![MemoWrite { name: "lease".to_owned(), expect, value }],
        ..Change::new("one", Reason::Append, 0)
    };
    let (free, mine, yours): (Memo, Memo, Memo) = (None, Some(vec![1]), Some(vec![2]));
    let early = store.commit(write(None, mine.clone())).await.unwrap_err();
    assert_eq!(early.kind(), ErrorKind::NotFound);
    let head = append(&one, said(&one, Kind::User, "start")).await;
    store.commit(write(Some(free.clone()), mine.clone())).await.unwrap();
    assert_eq!(store.memo("one", "lease").await.unwrap(), mine);
    // A change that expects the wrong memo appends nothing either.
    let fenced = Change {
        entries: vec![said(&one, Kind::Assistant, "late")],
        moves: vec![Move { branch: None, expect: Expect::Head(head), to: To::Last }],
        ..write(Some(yours), free.clone())
    };
    assert!(matches!(store.commit(fenced).await, Err(Error::MemoChanged { .. })));
    assert_eq!(one.head().await.unwrap(), Some(head));
    assert_eq!(store.branches("one", None, 10).await.unwrap().len(), 1);
    let rows = store.journal(0, 10).await.unwrap().len();
    store.commit(write(Some(mine), free.clone())).await.unwrap();
    assert_eq!((store.memo("one", "lease").await.unwrap(), rows), (free, 1));
    clean(&store).await;
}

fn erasure(entries: &[Id]) -> Erasure {
    let (session, by) = ("one".to_owned(), "somebody".to_owned());
    Erasure { session, entries: entries.to_vec(), by, reason: "asked for".to_owned(), at_ms: 5 }
}

async fn an_erased_body_is_gone_and_its_id_stays(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let ask = append(&one, said(&one, Kind::User, "ask")).await;
    let call = append(&one, said(&one, Kind::Assistant, "secret").calls(["c"])).await;
    let result = append(&one, said(&one, Kind::ToolResult, "secret too").answers(["c"])).await;
    let (before, measure) = (one.context().await.unwrap(), one.measure().await.unwrap().unwrap());
    let erased = store.erase(erasure(&[call, result, call])).await.unwrap();
    assert_eq!((erased.erased.as_slice(), erased.tombstones.len()), (&[call, result][..], 2));
    let found = store.entries(&[ask, call, result, erased.tombstones[1]]).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|stored| stored.unwrap().entry).collect();
    assert!(found[0].body().is_some() && found[1].body().is_none() && found[2].body().is_none());
    assert_eq!(found[1].envelope(), before.items[1].stored.entry.envelope());
    let tombstone = Tombstone::from_body(found[3].body().unwrap()).unwrap();
    assert_eq!((tombstone.by.as_str(), tombstone.at_ms), ("somebody", 5));
    assert_eq!(found[3].envelope().target, Some(result));
    // The context keeps its shape, its pairs and its size.
    let after = one.context().await.unwrap();
    let shape = |context: &crate::Context| -> Vec<(Id, Source)> {
        context.items.iter().map(|item| (item.stored.entry.id(), item.source)).collect()
    };
    assert_eq!((shape(&after), after.tokens), (shape(&before), measure.tokens));
    // Also at the head whose context was made before.
    let older = store.context(before.head.unwrap()).await.unwrap();
    assert!(older.items[1..].iter().all(|item| item.stored.entry.body().is_none()));
    let stands_for: Vec<Message> = [1, 2].map(|at| Message::erased(found[at].envelope())).into();
    assert_eq!(
        (stands_for[0].calls(), stands_for[1].answers()),
        (vec!["c".into()], vec!["c".into()])
    );
    assert_eq!(replayed(&one).await, [&[ask, call, result], &erased.tombstones[..]].concat());
    let again = store.erase(erasure(&[call])).await.unwrap();
    assert_eq!((again.erased.len(), again.tombstones.len(), again.journal), (0, 0, None));
    assert_eq!(store.stats().await.unwrap().entries, 5);
    let report = store.verify().await.unwrap();
    assert_eq!((report.erased, report.problems), (2, vec![]));
}

async fn an_erasure_is_all_or_nothing(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let ids = talk(&one, 1).await;
    let tombstone = store.erase(erasure(&ids[..1])).await.unwrap().tombstones[0];
    let unknown = Id::from_bytes([3; 32]);
    let nowhere = Erasure { session: "no".to_owned(), ..erasure(&ids) };
    let bad = [
        (erasure(&[ids[1], unknown]), ErrorKind::NotFound),
        (erasure(&[ids[1], tombstone]), ErrorKind::Invalid),
        (erasure(&[]), ErrorKind::Invalid),
        (nowhere, ErrorKind::NotFound),
    ];
    for (erasure, kind) in bad {
        assert_eq!(store.erase(erasure).await.unwrap_err().kind(), kind);
    }
    let found = store.entries(&ids[1..]).await.unwrap();
    assert!(found[0].as_ref().unwrap().entry.body().is_some());
    assert_eq!(one.head().await.unwrap(), Some(tombstone));
    clean(&store).await;
}

async fn erasing_lists_what_may_still_tell(store: Arc<dyn Store>) {
    let one = session(&store, "one");
    let ids = talk(&one, 4).await;
    one.fork_session("with", ids[5]).await.unwrap();
    one.fork_session("without", ids[1]).await.unwrap();
    let body = || Body::new("text", "sum");
    let keeps = append(&one, one.draft(Kind::Compaction, body()).target(ids[2])).await;
    let covers = append(&one, one.draft(Kind::Compaction, body()).target(ids[4])).await;
    let drops = append(&one, one.draft(Kind::Compaction, body())).await;
    let tells = append(&one, one.draft(Kind::BranchSummary, body()).target(ids[7])).await;
    let dependants = store.erase(erasure(&[ids[3]])).await.unwrap().dependants;
    assert!(!dependants.summaries.contains(&keeps));
    assert_eq!(dependants.summaries, [covers, drops, tells]);
    let branches = [("one", "main"), ("with", "main")];
    let branches = branches.map(|(session, branch)| (session.to_owned(), branch.to_owned()));
    assert_eq!(dependants.branches, branches);
    clean(&store).await;
}

fn a_nonce_follows_from_what_it_is_for(store: &dyn Store) {
    let nonce = |identity: &[&str]| {
        let parts: Vec<&[u8]> = identity.iter().map(|part| part.as_bytes()).collect();
        store.nonce_for(&parts)
    };
    assert_eq!(nonce(&["a file", "line 1"]), nonce(&["a file", "line 1"]));
    let others = [nonce(&["a file", "line 2"]), nonce(&["a file", "lin", "e 1"])];
    assert!(!others.contains(&nonce(&["a file", "line 1"])));
    assert_ne!(others[0], others[1]);
}
