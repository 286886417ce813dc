//! An encrypted store at the command line: which key opens it, what rotation and forgetting do.

use std::path::PathBuf;

use tests::command::Cli;

const SECRET: &str = "the canary sings in the coal mine at noon";

fn key_file(cli: &Cli, name: &str, digits: &str) -> String {
    let path: PathBuf = cli.file(name);
    std::fs::write(&path, digits.repeat(32)).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    path.to_str().unwrap().to_owned()
}

/// Whether the store's file holds the bytes.
fn store_holds(cli: &Cli, needle: &[u8]) -> bool {
    let bytes = std::fs::read(cli.store()).unwrap();
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn bodies_are_sealed_until_the_key_is_given_and_gone_when_it_is_forgotten() {
    let cli = Cli::new();
    let (first, second) = (key_file(&cli, "first", "1a"), key_file(&cli, "second", "2b"));
    let with = |key: &str, args: &[&str]| cli.run(&[&["--key-file", key], args].concat());
    let kept = with(&first, &["append", "kept", "--kind", "user", "--text", SECRET]);
    assert_eq!(kept.code, Some(0), "{}", kept.err);
    with(&first, &["append", "gone", "--kind", "user", "--text", SECRET]);
    assert!(!store_holds(&cli, SECRET.as_bytes()));

    assert!(with(&first, &["--json", "log", "kept"]).text().contains(SECRET));
    for refused in [cli.run(&["log", "kept"]), with(&second, &["log", "kept"])] {
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.err.contains("master key"), "{}", refused.err);
    }
    let mut in_environment = cli.command(["--json", "log", "kept"]);
    let output = in_environment.env("TREERING_KEY", "1a".repeat(32)).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains(SECRET));

    let rotated = with(&first, &["compact-store", "--new-key-file", &second]);
    assert_eq!(rotated.code, Some(0), "{}", rotated.err);
    assert_eq!(with(&first, &["log", "kept"]).code, Some(2));
    let forgotten = with(&second, &["erase", "gone", "--forget-key", "--reason", "asked to"]);
    assert_eq!(forgotten.code, Some(0), "{}", forgotten.err);
    assert!(with(&second, &["log", "gone"]).text().contains("[erased]"));
    assert!(with(&second, &["--json", "log", "kept"]).text().contains(SECRET));
    assert_eq!(with(&second, &["verify"]).code, Some(0));
}
