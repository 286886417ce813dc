//! A disk that takes no more writes: nothing is acknowledged that is not durable, everything that was is
//! still read, and writing goes on once the disk lets it.

use std::sync::Arc;

use tests::sim_disk::{Faults, SimDisk};
use treering_tree::{
    Context, ErrorKind, Expect, Id, Kind, Message, Options, RedbStore, Role, Session, Sources,
    Store,
};

async fn say(session: &Session, text: &str) -> Result<Id, ErrorKind> {
    let draft = session.draft(Kind::User, Message::text(Role::User, text).body()).tokens(3);
    let done = session.append(draft, Expect::Any).await;
    done.map(|done| done.ids[0]).map_err(|error| error.kind())
}

/// What the store says of a session in which these were said, in every way there is to ask.
async fn reads(store: &Arc<RedbStore>, said: &[Id]) {
    let head = *said.last().unwrap();
    assert_eq!(store.session("s").await.unwrap().head, Some(head));
    let context = Context::at(&**store, head).await.unwrap();
    let shown: Vec<Id> = context.items.iter().map(|item| item.stored.place.id).collect();
    assert_eq!(shown, said);
    let found = store.entries(said).await.unwrap();
    assert!(found.iter().all(Option::is_some));
    assert_eq!(store.scan(Some("s"), 0, 100).await.unwrap().len(), said.len());
    assert_eq!(store.stats().await.unwrap().entries, said.len() as u64);
    assert_eq!(store.verify().await.unwrap().problems, []);
}

#[tokio::test]
async fn reads_go_on_while_a_full_disk_takes_no_writes() {
    let disk = SimDisk::new(Vec::new(), Faults::default());
    let options = Options::new(Sources::fixed(1)).idle_checkpoint(None).cache_bytes(1 << 20);
    let store = Arc::new(RedbStore::with_backend(disk.factory(), options).unwrap());
    let session = Session::new(Arc::clone(&store) as Arc<dyn Store>, "s", Sources::fixed(2));
    let mut said = Vec::new();
    for turn in 0..40 {
        said.push(
            say(&session, &format!("question {turn} {}", "word ".repeat(200))).await.unwrap(),
        );
    }
    disk.set_faults(Faults { full: 0..u64::MAX, ..Faults::default() });
    let before = disk.live();
    for turn in 0..3 {
        let refused = say(&session, &format!("too much {turn}")).await;
        assert_eq!(refused, Err(ErrorKind::Storage), "{turn}");
        reads(&store, &said).await;
    }
    assert!(disk.live() == before, "something was written to the disk that is full");
    disk.set_faults(Faults::default());
    said.push(say(&session, "there is room again").await.unwrap());
    reads(&store, &said).await;
    drop((session, store));
    let options = Options::new(Sources::fixed(1));
    let store = Arc::new(RedbStore::with_backend(disk.factory(), options).unwrap());
    reads(&store, &said).await;
}
