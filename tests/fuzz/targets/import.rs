//! Any bytes as a file of another tool: the format that the content tells, else one by its length.
#![no_main]

use std::sync::OnceLock;

use tests::hostile::{Outcome, imports, reads};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static FORMATS: OnceLock<Vec<String>> = OnceLock::new();
    let formats = FORMATS.get_or_init(tests::corpus::formats);
    if imports(None, "fuzzed", bytes).unwrap() == Outcome::Refused {
        let format = &formats[bytes.len() % formats.len()];
        imports(Some(format), "fuzzed", bytes).unwrap();
        reads(format, "fuzzed", bytes).unwrap();
    }
});
