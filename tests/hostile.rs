//! Hostile input: mutated files of every format, and bombs. Long runs of the first are
//! `cargo run -p tests --release -- mutate --count N`.

use tests::barrage::barrage;
use tests::bombs::BOMBS;
use tests::corpus::{files, folder, formats};
use tests::{decoders, hostile, patched};

/// Mutated files of each format that run with every change.
const MUTATED: u64 = 250;

#[test]
fn mutated_files_lose_no_byte() {
    let formats = formats();
    assert!(formats.len() >= 14, "{formats:?}");
    for format in formats {
        let tally = barrage(&format, 0..MUTATED).unwrap_or_else(|why| panic!("{why}"));
        println!("{format}: seeds 0..{MUTATED}, {tally:?}");
        assert!(tally.imported > MUTATED / 2, "{format}: {tally:?}");
    }
}

/// How many of whatever a bomb is made of; a million each are `tests bombs --count 1000000`.
const BOMBED: usize = 20_000;

#[test]
fn bombs_lose_no_byte() {
    for bomb in BOMBS {
        let bytes = bomb.bytes(BOMBED);
        let outcome = hostile::imports(Some(bomb.format), "bomb", &bytes);
        assert_eq!(outcome, Ok(hostile::Outcome::Imported), "{}", bomb.name);
        assert_eq!(hostile::reads(bomb.format, "bomb", &bytes), Ok(()), "{}", bomb.name);
    }
}

/// What fuzzers begin with and what they once broke.
#[test]
fn seeds_of_the_fuzz_targets_hold() {
    let all = |target: &str| {
        let read = |path: std::path::PathBuf| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
        };
        files(&folder(target)).into_iter().map(read).collect::<Vec<_>>()
    };
    for (name, bytes) in all("import") {
        let format = formats().into_iter().find(|format| name.starts_with(&format!("{format}-")));
        for forced in [None, format.as_deref()] {
            let outcome = hostile::imports(forced, &name, &bytes);
            assert_eq!(outcome, Ok(hostile::Outcome::Imported), "{name} as {forced:?}");
        }
    }
    for (name, bytes) in all("bundle") {
        let taken = name.starts_with("taken-");
        assert_eq!(decoders::bundles(&bytes), Ok(taken), "{name}");
    }
    // Whether one opens is redb's to say, which looks at more in a debug build.
    for (_, bytes) in all("store") {
        patched::opens(patched::patched(&bytes));
    }
    for (name, bytes) in all("settings") {
        assert_eq!(decoders::configures(&bytes), Ok(()), "{name}");
    }
}
