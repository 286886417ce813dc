//! The store's file in a real folder: two processes, files that are no stores, folders and disks that
//! refuse, and a limit on the size of files.

use std::path::Path;
use std::process::{Command, Stdio};

use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::json;
use tests::command::{Cli, Ran, binary, text};
use tests::tamper::tamper;
use treering_tree::{Error, Options, RedbStore, Sharing, Sources, Store};

fn options() -> Options {
    Options::new(Sources::fixed(1)).idle_checkpoint(None)
}

fn open(path: &Path) -> Result<RedbStore, Error> {
    RedbStore::open(path, options())
}

#[test]
fn a_second_process_is_told_who_holds_the_store() {
    let cli = Cli::new();
    cli.append("s", "user", "mine");
    let store = open(&cli.store()).unwrap();
    let (code, error) = cli.failure(&["sessions"]);
    assert_eq!((code, text(&error, "kind")), (5, "locked"));
    let pid = format!("by process {}", std::process::id());
    assert!(text(&error, "message").contains(&pid), "{error}");
    assert!(matches!(open(&cli.store()), Err(Error::Locked { .. })), "two handles of one process");
    store.close();
    assert_eq!(cli.json(&["sessions"]).len(), 1);
}

#[tokio::test]
async fn a_second_process_joins_those_who_share_the_store() {
    let cli = Cli::new();
    let store = RedbStore::open(cli.store(), options().sharing(Sharing::Writers)).unwrap();
    let id = cli.append("s", "user", "theirs").parse().unwrap();
    assert!(store.entries(&[id]).await.unwrap()[0].is_some());
    assert_eq!(cli.json(&["sessions"]).len(), 1);
}

#[test]
fn paths_that_are_no_regular_files_are_refused() {
    let cli = Cli::new();
    cli.append("s", "user", "mine");
    std::fs::create_dir(cli.file("folder")).unwrap();
    let mut paths = vec![cli.file("folder")];
    #[cfg(unix)]
    for (name, target) in [("link", cli.store()), ("loose", cli.file("nothing"))] {
        std::os::unix::fs::symlink(target, cli.file(name)).unwrap();
        paths.push(cli.file(name));
    }
    for path in paths {
        assert!(matches!(open(&path), Err(Error::Invalid { .. })), "{}", path.display());
    }
    assert!(!cli.file("nothing").exists(), "a link was followed");
}

#[test]
fn invariant_11_a_file_that_is_no_store_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let contents = [vec![], b"Dear all,\n".to_vec(), vec![0; 9_000], vec![0xff; 200_000]];
    for (nth, content) in contents.iter().enumerate() {
        let path = folder.path().join(nth.to_string());
        std::fs::write(&path, content).unwrap();
        let found = open(&path).err();
        assert!(matches!(found, Some(Error::Corrupt { .. })), "{nth}: {found:?}");
        assert_eq!(&std::fs::read(&path).unwrap(), content, "{nth}");
    }
}

#[test]
fn a_file_of_another_format_is_refused_with_both_versions() {
    const META: TableDefinition<&[u8], &[u8]> = TableDefinition::new("meta");
    let cli = Cli::new();
    cli.append("s", "user", "mine");
    tamper(&cli.store(), |database| {
        let read = database.begin_read().unwrap().open_table(META).unwrap();
        let mut identity = read.get(&b"store"[..]).unwrap().unwrap().value().to_vec();
        identity[0] += 1;
        let write = database.begin_write().unwrap();
        write.open_table(META).unwrap().insert(&b"store"[..], identity.as_slice()).unwrap();
        write.commit().unwrap();
    });
    let (code, error) = cli.failure(&["sessions"]);
    assert_eq!((code, text(&error, "kind")), (7, "format"));
    let told = text(&error, "message");
    assert!(told.contains("format 5") && told.contains("reads 4"), "{told}");
}

#[test]
fn a_check_that_finds_damage_fails_and_names_it() {
    const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
    let cli = Cli::new();
    cli.append("s", "user", "mine");
    let lost = cli.append("s", "user", "lost");
    let kept = cli.append("s", "user", "kept");
    tamper(&cli.store(), |database| {
        let write = database.begin_write().unwrap();
        {
            // All three are in one chunk.
            let mut entries = write.open_table(ENTRIES).unwrap();
            let chunk = entries.first().unwrap().unwrap().1.value().to_vec();
            let field = |nth: usize| {
                usize::from(u16::from_le_bytes(chunk[2 * nth..][..2].try_into().unwrap()))
            };
            assert_eq!(field(0), 3, "no longer one chunk");
            let [from, to] = [field(1), field(2)].map(|end| 8 + end);
            let mut damaged = chunk.clone();
            damaged[from..to].fill(0xee);
            entries.insert(0, damaged.as_slice()).unwrap();
        }
        write.commit().unwrap();
    });
    let ran = cli.run(&["verify", "--json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert_ne!(ran.lines()[0]["problems"], json!([]));
    let (code, error) = cli.failure(&["show", &lost]);
    assert_eq!((code, text(&error, "kind")), (6, "corrupt"));
    assert_eq!(text(&cli.object(&["show", &kept]), "text"), "kept");
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written_is_a_storage_error() {
    use std::os::unix::fs::PermissionsExt;
    let cli = Cli::new();
    let folder = cli.file("sealed");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(folder.join("probe"), "").is_ok() {
        println!("skipped: permissions do not bind this user");
        return;
    }
    assert!(matches!(open(&folder.join("store")), Err(Error::Storage { .. })));
}

/// Runs a script of the shell with the command line as `$1` and a folder as `$2`.
#[cfg(unix)]
fn shell(cli: &Cli, script: &str) -> Ran {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(binary()).arg(cli.file(""));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    Ran { code: output.status.code(), out: output.stdout, err }
}

/// Bytes that do not compress, as text.
#[cfg(unix)]
const NOISE: &str = "head -c 3000000 /dev/urandom | base64";

#[cfg(unix)]
#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_loses_nothing() {
    let cli = Cli::new();
    let kept = cli.append("s", "user", "before");
    // In blocks of 512 or 1,024 bytes, as the shell likes: between one and two megabytes.
    let script = format!(
        "ulimit -f 2000; {NOISE} | \"$1\" --store \"$2/store.redb\" append s --kind user --text -"
    );
    let ran = shell(&cli, &script);
    assert_eq!(ran.code, Some(8), "{}", ran.err);
    assert!(ran.err.contains("storage"), "{}", ran.err);
    assert_eq!(cli.object(&["verify"])["problems"], json!([]));
    let log = cli.json(&["log", "s"]);
    assert_eq!((log.len(), text(&log[0], "id")), (1, kept.as_str()));
    cli.append("s", "user", "after");

    // Not even room for a new store: no half of one is left under its name.
    let script = "ulimit -f 8; \"$1\" --store \"$2/new.redb\" append s --kind user --text x";
    let ran = shell(&cli, script);
    assert_eq!(ran.code, Some(8), "{}", ran.err);
    assert!(!cli.file("new.redb").exists());
}

/// Runs a script of the shell in a small file system of its own: `t` is the command line over a store in it.
/// Answers its lines, or none where nothing may be mounted.
#[cfg(target_os = "linux")]
fn on_a_small_disk(script: &str) -> Option<Vec<String>> {
    let cli = Cli::new();
    let script = format!(
        "mount -t tmpfs -o size=2m none \"$2\" || exit 99
        program=$1; store=$2/store.redb
        t() {{ \"$program\" --json --store \"$store\" \"$@\" 2>&1; }}
        {script}"
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
    let Ok(output) = command.arg(binary()).arg(cli.file("")).output() else {
        println!("skipped: there is no unshare");
        return None;
    };
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    if matches!(output.status.code(), Some(1 | 99)) && out.is_empty() {
        println!("skipped: nothing may be mounted here: {err}");
        return None;
    }
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    Some(out.lines().map(str::to_owned).collect())
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    let script = format!(
        "t append s --kind user --text before || exit 98
        {NOISE} | t append s --kind user --text -; echo \"code $?\"
        t verify && t log s && t append s --kind user --text after"
    );
    let Some(lines) = on_a_small_disk(&script) else { return };
    assert_eq!(lines[2], "code 8", "{lines:?}");
    assert!(lines[3].ends_with("\"problems\":[]}"), "{lines:?}");
    assert!(lines[4].contains("before") && lines.len() == 6, "{lines:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_takes_no_writes_is_read() {
    let script = "t append s --kind user --text before || exit 98
        mount -o remount,ro \"$2\" || exit 97
        t append s --kind user --text after; echo \"code $?\"
        t verify && t log s
        store=$2/other; t append s --kind user --text new; echo \"code $?\"";
    let Some(lines) = on_a_small_disk(script) else { return };
    assert!(lines[1].contains("degraded") && lines[1].contains("Read-only"), "{lines:?}");
    assert!(!lines[1].contains("unknown"), "{lines:?}");
    assert_eq!(lines[2], "code 8", "{lines:?}");
    assert!(lines[3].ends_with("\"problems\":[]}"), "{lines:?}");
    assert!(lines[4].contains("before"), "{lines:?}");
    assert!(lines[5].contains("creating") && lines[5].contains("Read-only"), "{lines:?}");
    assert_eq!((lines[6].as_str(), lines.len()), ("code 8", 7), "{lines:?}");
}
