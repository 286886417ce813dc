//! Any arguments, settings, variables and standard input.
#![no_main]

use std::sync::Once;

use tests::arguments::{Case, holds};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // redb panics over what is no store, and the store catches it: only what nobody catches is a find.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    holds(&Case::of(bytes)).unwrap();
});
