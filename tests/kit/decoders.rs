//! What is true of the bytes that are not foreign files: bundles, entries as they are stored, settings.
//! One function per property; tests and fuzz targets call the same ones.

use treering_interchange::{BundleOptions, export_bundle, import_bundle};
use treering_policy::{Breaker, Outcome as Landed, Policy, Preset, Reading, should_compact};
use treering_tree::{ErrorKind, Store};

use super::hostile::{block_on, ensure, store};

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
