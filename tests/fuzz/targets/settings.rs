//! Any numbers as a policy, any bytes as what a breaker remembers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tests::decoders::configures(bytes).unwrap();
});
