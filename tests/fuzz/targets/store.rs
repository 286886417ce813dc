//! Any patches of a store's file.
#![no_main]

libfuzzer_sys::fuzz_target!(|patches: &[u8]| {
    tests::decoders::opens(tests::decoders::patched(patches));
});
