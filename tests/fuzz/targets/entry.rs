//! Any bytes as a stored entry.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    treering_tree::frames::check(bytes);
});
