//! Any bytes as a bundle.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tests::decoders::bundles(bytes).unwrap();
});
