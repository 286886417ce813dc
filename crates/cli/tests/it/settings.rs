//! Who makes a setting, as a process meets them.

use serde_json::{Value, json};

use crate::place::Place;

/// Value and source of a setting.
fn found(place: &Place, args: &[&str], key: &str) -> (Value, Value) {
    let rows = place.json(&[&["config"], args].concat());
    let row = rows.iter().find(|row| row["key"] == key).unwrap();
    (row["value"].clone(), row["source"].clone())
}

#[test]
fn the_order_is_flag_environment_project_user_default() {
    let place = Place::new();
    let is = |value: &str, source: &str| (json!(value), json!(source));
    assert_eq!(found(&place, &[], "timeout"), is("5m", "default"));
    place.write("settings/treering/config.toml", "timeout = \"4m\"\nwindow = 1_000\n");
    assert_eq!(found(&place, &[], "timeout"), is("4m", "user file"));
    place.write(".treering.toml", "timeout = \"3m\"\n");
    assert_eq!(found(&place, &[], "timeout"), is("3m", "project file"));
    // Also from a folder below.
    std::fs::create_dir(place.path("below")).unwrap();
    let mut below = place.command(&["--json", "config"]);
    let below = below.current_dir(place.path("below")).env("TREERING_TIMEOUT", "2m");
    let out = String::from_utf8(below.output().unwrap().stdout).unwrap();
    let rows = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let rows: Vec<Value> = rows.collect();
    let row = |key: &str| rows.iter().find(|row| row["key"] == key).unwrap();
    assert_eq!(row("timeout")["value"], "2m");
    assert_eq!(row("timeout")["place"], "TREERING_TIMEOUT");
    assert_eq!(row("window")["source"], "user file");
    let line = row("window")["place"].as_str().unwrap();
    assert!(line.ends_with("treering/config.toml:2"), "{line}");
    assert_eq!(found(&place, &["--timeout", "1m"], "timeout"), is("1m", "flag"));
    assert_eq!(found(&place, &[], "base_url"), (Value::Null, json!("default")));
}

#[test]
fn settings_count_where_they_are_needed() {
    let place = Place::new();
    place.write(".treering.toml", "window = 100_000\npreset = \"pi\"\ncolor = \"always\"\n");
    assert_eq!(place.object(&["policy"])["threshold"], 100_000 - 16_384);
    assert_eq!(place.object(&["policy", "--reserve", "1000"])["threshold"], 99_000);
    let colored = String::from_utf8(place.run(&["policy"]).stdout).unwrap();
    assert!(colored.contains('\u{1b}'), "{colored}");
    let plain = String::from_utf8(place.run(&["policy", "--color", "never"]).stdout).unwrap();
    assert!(!plain.contains('\u{1b}'), "{plain}");
    // A store beside the file that names it, not beside the caller.
    place.write(".treering.toml", "store = \"mine.redb\"\n");
    std::fs::create_dir(place.path("below")).unwrap();
    let mut append = place.command(&["append", "s", "--kind", "user", "--text", "hello"]);
    let append = append.env_remove("TREERING_STORE").current_dir(place.path("below"));
    assert!(append.status().unwrap().success());
    assert!(place.path("mine.redb").is_file());
}

#[test]
fn what_is_wrong_is_an_error_that_names_file_line_and_key() {
    let place = Place::new();
    place.write(".treering.toml", "# mine\nwindow = 9\nmodle = \"x\"\n");
    let (code, error) = place.failure(&["sessions"]);
    assert_eq!((code, &error["kind"]), (2, &json!("invalid")));
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains(".treering.toml:3: unknown key \"modle\"; known are store"),
        "{message}"
    );
    place.write(".treering.toml", "base_url = \"https://example.com\"\n");
    let (code, error) = place.failure(&["config"]);
    assert_eq!(code, 2);
    assert!(error["message"].as_str().unwrap().contains("a project file may only"), "{error}");
    std::fs::remove_file(place.path(".treering.toml")).unwrap();
    let (code, error) = place.failure(&["policy", "--window", "big"]);
    assert_eq!((code, &error["kind"]), (2, &json!("usage")));
}

#[test]
fn a_model_is_named_and_has_a_key_before_anything_is_sent() {
    let place = Place::new();
    place.object(&["append", "s", "--kind", "user", "--text", "hello"]);
    let compact = |args: &[&str]| place.failure(&[&["compact", "s", "--force"], args].concat());
    let (code, error) = compact(&["--summarizer", "openai"]);
    assert_eq!(code, 2);
    assert_eq!(error["message"], "summarizer openai: no model is named");
    let (code, error) = compact(&["--summarizer", "anthropic", "--model", "m"]);
    assert_eq!((code, &error["message"]), (2, &json!("no key for https://api.anthropic.com")));
    assert!(error["hint"].as_str().unwrap().contains("ANTHROPIC_API_KEY"), "{error}");
    let (code, error) = place.failure(&["doctor", "--providers"]);
    assert_eq!((code, &error["kind"]), (2, &json!("usage")));
}
