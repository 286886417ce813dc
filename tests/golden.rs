//! The ids of `docs/format.md`, recomputed by a script in another language that was written against the
//! document alone and shares no line with the engine.

use std::path::Path;
use std::process::Command;

use tests::command::ROOT;

/// Runs the script on a document; `None` where there is no Python.
fn recomputed(document: &Path) -> Option<(bool, String)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/golden.py");
    match Command::new("python3").arg(script).arg(document).output() {
        Ok(output) => {
            let told = [output.stdout, output.stderr].concat();
            Some((output.status.success(), String::from_utf8(told).unwrap()))
        }
        Err(error) => {
            println!("skipped: python3 does not run: {error}");
            None
        }
    }
}

#[test]
fn invariant_2_another_language_computes_the_same_ids() {
    let document = Path::new(ROOT).join("docs/format.md");
    let Some((right, told)) = recomputed(&document) else { return };
    assert!(right, "{told}");
    assert_eq!(told, "7 ids are right\n");

    // It does look: another time is another id.
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("format.md");
    let text = std::fs::read_to_string(document).unwrap();
    std::fs::write(&other, text.replace("\"at_ms\": 5,", "\"at_ms\": 6,")).unwrap();
    let (right, told) = recomputed(&other).unwrap();
    assert!(!right && told.contains("expected af48c277"), "{told}");
}
