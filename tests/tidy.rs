//! Rules of the house that no compiler checks: who may use whom, which file alone knows what, and that
//! what is written down is there.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::command::ROOT;

/// Which crates of the workspace a crate may depend on. Arrows point down only.
const EDGES: [(&str, &[&str]); 7] = [
    ("tree", &[]),
    ("policy", &["tree"]),
    ("provider", &["tree"]),
    ("interchange", &["tree"]),
    ("compactor", &["tree", "policy", "provider", "interchange"]),
    ("cli", &["tree", "policy", "provider", "interchange", "compactor"]),
    ("bench", &["tree", "policy", "provider", "interchange", "compactor"]),
];

/// What only one place in the crates may name.
const ONLY_IN: [(&str, &str); 6] = [
    ("blake3::", "crates/tree/src/encode.rs"),
    ("bincode::", "crates/tree/src/encode.rs"),
    ("TableDefinition", "crates/tree/src/redb/tables.rs"),
    ("reqwest::", "crates/provider/src/"),
    ("rusqlite::", "crates/interchange/src/database.rs"),
    ("ruzstd::", "crates/interchange/src/bundle/squeeze.rs"),
];

/// Crates of the workspace that others build on; everything else is a rim or a measure.
const LIBRARIES: [&str; 5] = ["tree", "policy", "provider", "interchange", "compactor"];

/// Crates that open sockets, serve, or read command lines: none of them comes with a library unless its
/// caller asks for it.
const ASKED_FOR: [&str; 12] = [
    "reqwest",
    "hyper",
    "h2",
    "axum",
    "tonic",
    "mio",
    "socket2",
    "rustls",
    "openssl-sys",
    "curl-sys",
    "rusqlite",
    "clap",
];

/// How a source of ours would open a socket itself.
const SOCKETS: [&str; 5] = ["std::net", "tokio::net", "TcpStream", "UdpSocket", "UnixStream"];

/// What is neither written nor read by us.
const NOT_OURS: [&str; 3] = ["target", ".git", "node_modules"];

/// All files with an ending under a folder of the repository, as paths from its top.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::from(folder)]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(Path::new(ROOT).join(&folder)) else { continue };
        for entry in entries.map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let path = folder.join(&name);
            if entry.file_type().unwrap().is_dir() {
                if !NOT_OURS.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path.to_str().unwrap().trim_start_matches("./").to_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The keys of one section of a manifest.
fn keys(manifest: &str, section: &str) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| *line != section).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let keys = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    keys.map(|(key, _)| key.trim().split('.').next().unwrap().to_owned()).collect()
}

#[test]
fn crates_use_only_those_below_them() {
    let manifests = files("crates", "Cargo.toml");
    assert!(manifests.len() >= EDGES.len(), "{manifests:?}");
    for manifest in manifests {
        let name = manifest.split('/').nth(1).unwrap();
        let edges = EDGES.iter().find(|(from, _)| *from == name);
        let (_, allowed) = edges.unwrap_or_else(|| panic!("say in EDGES what {name} may use"));
        for used in keys(&read(&manifest), "[dependencies]") {
            if let Some(used) = used.strip_prefix("treering-") {
                assert!(allowed.contains(&used), "{name} must not depend on {used}");
            }
        }
    }
}

#[test]
fn one_file_alone_knows_each_outside_thing() {
    let sources = files("crates", ".rs");
    for (name, only) in ONLY_IN {
        for path in
            sources.iter().filter(|path| path.contains("/src/") && !path.contains("/bench/"))
        {
            let source = read(path);
            let mut code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
            let names = code.any(|line| line.contains(name));
            assert!(!names || path.starts_with(only), "{path} names {name}, as only {only} may");
        }
    }
    assert!(read("crates/tree/src/encode.rs").contains("blake3::"), "the rules look at nothing");
}

#[test]
fn no_default_feature_of_a_library_opens_a_socket() {
    for library in LIBRARIES {
        let package = format!("treering-{library}");
        let tree = ["tree", "--edges", "normal", "--prefix", "none", "--format", "{p} {f}"];
        let tree = Command::new(env!("CARGO"))
            .args(tree)
            .args(["--package", &package, "--locked"])
            .current_dir(ROOT)
            .output()
            .unwrap();
        let tree = String::from_utf8(tree.stdout).unwrap();
        assert!(tree.starts_with(&package), "{library}: {tree}");
        for line in tree.lines() {
            let name = line.split(' ').next().unwrap();
            assert!(!ASKED_FOR.contains(&name), "{library} comes with {line}");
            let features = line.rsplit(' ').next().unwrap().split(',');
            let net = features.into_iter().any(|feature| ["net", "full"].contains(&feature));
            assert!(name != "tokio" || !net, "{library} comes with {line}");
        }
        for path in files(&format!("crates/{library}/src"), ".rs") {
            let source = read(&path);
            let code = source.split("#[cfg(test)]").next().unwrap();
            let socket = SOCKETS.iter().find(|socket| code.contains(*socket));
            assert!(socket.is_none() || path.contains("tests"), "{path} names {socket:?}");
        }
    }
}

#[test]
fn every_test_file_is_a_module_of_the_one_binary() {
    let listed = |list: &str, line: String| assert!(read(list).contains(&line), "{list}: {line}");
    for path in files("tests", ".rs") {
        let inside = path.strip_prefix("tests/").unwrap();
        let name = inside.trim_end_matches(".rs");
        match inside.split_once('/') {
            None if ["main", "lib", "soak"].contains(&name) => {}
            None => listed("tests/main.rs", format!("\nmod {name};")),
            Some(("kit", _)) => listed("tests/lib.rs", format!("#[path = \"{inside}\"]")),
            Some(("fuzz", _)) => {}
            Some((folder, "mod.rs")) => listed("tests/main.rs", format!("\nmod {folder};")),
            Some((folder, file)) => {
                let file = file.trim_end_matches(".rs");
                listed(&format!("tests/{folder}/mod.rs"), format!("\nmod {file};"));
            }
        }
    }
}

#[test]
fn every_source_says_what_it_is_in_ascii() {
    for path in [files("crates", ".rs"), files("tests", ".rs")].concat() {
        let source = read(&path);
        assert!(source.starts_with("//! "), "{path} does not begin by saying what it is");
        let line = source.lines().position(|line| !line.is_ascii());
        assert_eq!(line, None, "{path}: a line that is not ASCII");
    }
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut documents = files("docs", ".md");
    documents.extend(files(".", ".md").into_iter().filter(|path| !path.contains('/')));
    assert!(documents.len() > 5, "{documents:?}");
    for document in documents {
        let folder = Path::new(ROOT).join(&document);
        let folder = folder.parent().unwrap();
        for link in read(&document).split("](").skip(1) {
            let target = link.split([')', '#', ' ']).next().unwrap();
            let is_file = !target.is_empty() && !target.contains("://");
            assert!(!is_file || folder.join(target).exists(), "{document} links to {target}");
        }
    }
}

#[test]
fn every_dependency_is_justified() {
    let reasons = read("docs/decisions/dependencies.md");
    let rows: Vec<&str> = reasons
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .flat_map(|cell| cell.split(", "))
        .map(|name| name.split(' ').next().unwrap())
        .collect();
    let dependencies = keys(&read("Cargo.toml"), "[workspace.dependencies]");
    assert!(dependencies.len() > 10, "{dependencies:?}");
    for name in dependencies {
        let ours = name.starts_with("treering-");
        assert!(ours || rows.contains(&name.as_str()), "{name} has no row in dependencies.md");
    }
}
