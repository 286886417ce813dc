//! What is true of the bytes that are not foreign files: bundles, entries as they are stored, a
//! store's file, settings. One function per property; tests and fuzz targets call the same ones.

use std::sync::OnceLock;

use treering_interchange::{BundleOptions, export_bundle, import_bundle};
use treering_policy::{Breaker, Outcome as Landed, Policy, Preset, Reading, should_compact};
use treering_tree::{
    Body, ErrorKind, Expect, Kind, Options, RedbStore, Replay, Session, Sources, Store,
};

use super::hostile::{block_on, ensure, store};
use super::sim_disk::{Faults, SimDisk};

/// Any bytes are a bundle that comes out of the store as what went in, or are refused.
///
/// # Errors
/// What does not hold.
pub fn bundles(bytes: &[u8]) -> Result<bool, String> {
    block_on(bundle_comes_back(bytes))
}

/// The same, inside a runtime.
///
/// # Errors
/// What does not hold.
pub(crate) async fn bundle_comes_back(bytes: &[u8]) -> Result<bool, String> {
    let first = store();
    let options = BundleOptions::default();
    let report = match import_bundle(&*first, &mut &bytes[..], options).await {
        Ok(report) => report,
        Err(why) if matches!(why.kind(), ErrorKind::Storage | ErrorKind::Corrupt) => {
            return Err(format!("refused as {:?}: {why}", why.kind()));
        }
        Err(_) => return Ok(false),
    };
    let problems = first.verify().await.map_err(|why| why.to_string())?.problems;
    ensure(problems.is_empty(), || format!("verify: {problems:?}"))?;
    let again = import_bundle(&*first, &mut &bytes[..], options).await;
    let again = again.map_err(|why| format!("the second time: {why}"))?;
    ensure((again.added, again.moved.len()) == (0, 0), || format!("again {again:?}"))?;
    if report.entries + report.heads == 0 {
        return Ok(true);
    }
    let mut out = Vec::new();
    let written = export_bundle(&*first, &report.session, &mut out).await;
    written.map_err(|why| format!("written: {why}"))?;
    let (second, mut copy) = (store(), Vec::new());
    let taken = import_bundle(&*second, &mut &out[..], options).await;
    taken.map_err(|why| format!("read back: {why}"))?;
    let written = export_bundle(&*second, &report.session, &mut copy).await;
    written.map_err(|why| format!("written again: {why}"))?;
    ensure(copy == out, || "a bundle that was read differs from what was written".to_owned())?;
    Ok(true)
}

/// A store's file with a session in it, the same for every run.
pub fn image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let disk = SimDisk::new(Vec::new(), Faults::default());
        block_on(async {
            let store = std::sync::Arc::new(open(&disk).unwrap());
            let session = Session::new(store, "one", Sources::fixed(2));
            for nth in 0..40 {
                let body = Body::new("text", vec![b'x'; 1 << (nth % 12)]);
                let draft = session.draft(Kind::User, body).alias(format!("a{nth}"));
                session.append(draft, Expect::Any).await.unwrap();
            }
        });
        disk.live().to_vec()
    })
}

fn open(disk: &SimDisk) -> treering_tree::Result<RedbStore> {
    let options = Options::new(Sources::fixed(1)).idle_checkpoint(None);
    RedbStore::with_backend(disk.factory(), options)
}

/// Any bytes in the place of a store's file open or are refused, and every read of them answers or
/// errs: nothing panics, nothing hangs.
pub fn opens(bytes: Vec<u8>) -> bool {
    let disk = SimDisk::new(bytes, Faults::default());
    let Ok(store) = open(&disk) else { return false };
    let store = std::sync::Arc::new(store);
    block_on(async {
        drop((store.verify().await, store.scan(None, 0, 1_000).await, store.stats().await));
        let sessions = store.sessions(None, 100).await.unwrap_or_default();
        for session in sessions {
            drop(store.branches(&session.name, None, 100).await);
            let path = std::sync::Arc::clone(&store) as std::sync::Arc<dyn Store>;
            drop(Replay::new(path, session.head).collect().await);
        }
    });
    // So that closing commits nothing over the damage: where it is redb's own table of freed pages, redb panics as
    // it commits, and again as it cleans up, which ends the process. A scrub commits too, and is not asked for.
    disk.kill();
    true
}

/// Patches of the sound file: three bytes where, one byte what, over and over.
pub fn patched(patches: &[u8]) -> Vec<u8> {
    let mut bytes = image().to_vec();
    for patch in patches.chunks_exact(4) {
        let at = u32::from_le_bytes([patch[0], patch[1], patch[2], 0]) as usize % bytes.len();
        bytes[at] ^= patch[3];
    }
    bytes
}

/// Any numbers make a policy whose arithmetic holds: nothing overflows, what is kept and what is
/// held back fit into the window.
///
/// # Errors
/// What does not hold.
pub fn configures(bytes: &[u8]) -> Result<(), String> {
    let mut numbers = bytes.chunks(8).map(|chunk| {
        let mut number = [0; 8];
        number[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(number)
    });
    let mut next = || numbers.next().unwrap_or_default();
    let (choice, window, tokens) = (next(), next(), next());
    let presets: Vec<Preset> = Preset::all().collect();
    let preset = presets[usize::try_from(choice % presets.len() as u64).unwrap()];
    let mut optional = || (next() % 2 == 1).then(&mut next);
    let plain = preset.policy(window);
    let policy = Policy {
        reserve: optional().or(plain.reserve),
        input_limit: optional().or(plain.input_limit),
        output_limit: optional().or(plain.output_limit),
        keep_recent_turns: optional().or(plain.keep_recent_turns),
        keep_recent_messages: optional().or(plain.keep_recent_messages),
        ..plain
    };
    let budget = policy.budget();
    ensure(budget.threshold <= window, || format!("threshold over the window: {budget:?}"))?;
    ensure(budget.summary() >= budget.prose, || format!("a summary overflows: {budget:?}"))?;
    let over = should_compact(tokens, &policy);
    let less = over || !should_compact(tokens.saturating_sub(1), &policy);
    ensure(less, || format!("{tokens} is not too much, one less is: {budget:?}"))?;
    let mut breaker: Breaker = serde_json::from_slice(bytes).unwrap_or_default();
    let reading = Reading { tokens, through: next(), overhead: next(), window };
    drop(breaker.fire(reading));
    breaker.settle(Landed::Failed, &policy);
    Ok(())
}
