//! Any patches of a store's file.
#![no_main]

use std::sync::Once;

libfuzzer_sys::fuzz_target!(|patches: &[u8]| {
    // redb panics over damage, and the store catches it: only what nobody catches is a find.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    tests::patched::opens(tests::patched::patched(patches));
});
