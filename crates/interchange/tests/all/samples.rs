//! Every sample, against what is written down about it and what its tool would show.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::Value;
use treering_interchange::{RepairKind, SessionReport};

use crate::kit::{alias, block_on, loaded, path, samples};

/// What is written down about a sample.
struct Known {
    file: &'static str,
    session: &'static str,
    lines: u64,
    nodes: u64,
    roots: u64,
    forks: u64,
    leaves: u64,
    compactions: u64,
    dangling: usize,
    duplicates: usize,
    unanswered: usize,
    /// Kinds of repairs beside those, and how many.
    others: &'static [(RepairKind, usize)],
}

/// Folders of samples, each called by its format.
const FOLDERS: [&str; 11] = [
    "pi",
    "claude-code",
    "codex",
    "qwen-code",
    "gemini",
    "copilot-cli",
    "openhands",
    "kimi",
    "cline",
    "swe-agent",
    "atif",
];

#[rustfmt::skip]
const KNOWN: [Known; 37] = {
    use RepairKind::{MissingId, MovedCut, NotARecord, OrphanResult, SelfParent, UnusableCompaction, UnusableId};
    const fn row(file: &'static str, session: &'static str, counts: [u64; 6], faults: [usize; 3], others: &'static [(RepairKind, usize)]) -> Known {
        let [lines, nodes, roots, forks, leaves, compactions] = counts;
        let [dangling, duplicates, unanswered] = faults;
        Known { file, session, lines, nodes, roots, forks, leaves, compactions, dangling, duplicates, unanswered, others }
    }
    [
        row("pi/agent-sessions-small.jsonl", "019e19b4-eb48-746a-aa6b-8dfcfa37954b", [9, 8, 1, 0, 1, 1], [0, 0, 0], &[(UnusableCompaction, 1)]),
        row("pi/large-session.jsonl", "d703a1a9-1b7b-4fb1-b512-c9738b1fe617", [1019, 1018, 0, 0, 1, 0], [0, 0, 18], &[]),
        row("pi/openclaw-large.jsonl", "openclaw-stage0-large", [11, 10, 0, 2, 5, 0], [4, 0, 0], &[]),
        row("claude-code/agent-sessions-large.jsonl", "ses_stage0_large", [10, 10, 1, 0, 1, 0], [0, 0, 0], &[(UnusableId, 2)]),
        row("claude-code/agent-sessions-small.jsonl", "ses_stage0_small", [89, 27, 6, 5, 62, 1], [0, 44, 1], &[(SelfParent, 43), (UnusableId, 3)]),
        row("claude-code/ccl-edge_cases.jsonl", "edge_cases", [19, 12, 13, 0, 14, 0], [1, 2, 2], &[(NotARecord, 4)]),
        row("claude-code/ccl-representative_messages.jsonl", "test_session", [12, 11, 11, 0, 11, 0], [0, 0, 0], &[]),
        row("claude-code/ccl-session_b.jsonl", "session_b", [3, 3, 3, 0, 3, 0], [0, 0, 0], &[]),
        row("claude-code/episodic-long.jsonl", "9a9eadc8-c1f1-493e-a0f1-884aa996b05b", [295, 262, 1, 0, 1, 0], [0, 0, 0], &[]),
        row("claude-code/episodic-medium.jsonl", "episodic-medium", [23, 0, 0, 0, 0, 0], [0, 0, 0], &[]),
        row("claude-code/episodic-short.jsonl", "982581eb-41b9-46da-86c1-ac34168117a8", [3, 2, 1, 0, 1, 0], [0, 0, 0], &[]),
        row("claude-code/kimuson-1af7fc5e.jsonl", "1af7fc5e-8455-4414-9ccd-011d40f70b2a", [29, 29, 1, 0, 1, 0], [0, 0, 0], &[]),
        row("claude-code/kimuson-5c0375b4.jsonl", "5c0375b4-57a5-4f26-b12d-d022ee4e51b7", [53, 53, 3, 0, 3, 0], [0, 0, 0], &[]),
        row("claude-code/polylogue-normalization-main.jsonl", "claude-normalization-main", [13, 10, 4, 0, 4, 0], [0, 1, 1], &[(MissingId, 2)]),
        row("claude-code/simonw-sample_session.jsonl", "test-session-id", [8, 7, 7, 0, 7, 0], [0, 0, 0], &[]),
        row("codex/agent-sessions-large.jsonl", "019b2ea4-aaaa-bbbb-cccc-58208e1f0000", [20, 20, 0, 0, 1, 0], [0, 0, 0], &[(UnusableId, 2)]),
        row("codex/agent-sessions-small.jsonl", "019fc8be-3658-7ca3-9e29-000000000000", [118, 118, 0, 0, 1, 2], [0, 0, 0], &[(OrphanResult, 1), (MovedCut, 1), (UnusableCompaction, 4)]),
        row("codex/agentsview-function_calls.jsonl", "fc-1", [4, 4, 0, 0, 1, 0], [0, 0, 1], &[]),
        row("codex/codex_050_legacy.jsonl", "test-legacy-session", [5, 5, 0, 0, 1, 0], [0, 0, 0], &[]),
        row("qwen-code/qwen-0004.jsonl", "019f0000-0000-7000-8000-000000000004", [9, 8, 1, 1, 2, 0], [0, 1, 1], &[]),
        row("gemini/agentsview-standard_session.json", "sess-uuid-1", [6, 4, 0, 0, 1, 0], [0, 0, 0], &[]),
        row("gemini/agentsview-tool_calls.json", "sess-uuid-2", [4, 2, 0, 0, 1, 0], [0, 0, 0], &[(UnusableId, 1)]),
        row("gemini/jsonl_v040.jsonl", "gemini_stage0_jsonl", [5, 3, 0, 0, 1, 0], [0, 0, 0], &[]),
        row("gemini/large.json", "session-2025-12-16T23-47-b4f17607", [9, 7, 0, 0, 1, 0], [0, 0, 0], &[]),
        row("copilot-cli/agent-sessions-small.jsonl", "copilot_stage0_small", [32, 17, 1, 0, 17, 0], [0, 15, 1], &[(SelfParent, 16), (OrphanResult, 1)]),
        row("openhands/chat-completions-llm-log.json", "chat-completions-llm-log", [14, 12, 0, 0, 1, 0], [0, 0, 0], &[]),
        row("openhands/goal-events.jsonl", "goal-events", [10, 10, 0, 0, 1, 0], [0, 0, 0], &[(OrphanResult, 1)]),
        row("openhands/v1_11_5-base_state.json", "11111111-2222-3333-4444-555555555555", [1, 0, 0, 0, 0, 0], [0, 0, 0], &[]),
        row("kimi/kimi-code-large-100msgs-wire.jsonl", "kimi-code-large-100msgs-wire", [130, 129, 0, 0, 1, 0], [0, 0, 0], &[]),
        row("kimi/kimi-code-with-subagent-collapsed-wire.jsonl", "kimi-code-with-subagent-collapsed-wire", [10, 9, 0, 0, 1, 0], [0, 0, 2], &[]),
        row("cline/agentic.compaction.json", "1784094124598_rruoq", [5, 3, 1, 0, 1, 1], [0, 0, 0], &[]),
        row("cline/basic.compaction.json", "1784094124598_rruoq", [12, 10, 1, 0, 1, 1], [0, 0, 0], &[]),
        row("cline/session.json", "1784094124598_rruoq", [1, 0, 0, 0, 0, 0], [0, 0, 0], &[]),
        row("cline/session.messages.json", "1784094124598_rruoq", [34, 32, 1, 0, 1, 0], [0, 0, 0], &[]),
        row("swe-agent/marshmallow-1867-fc.traj", "marshmallow-1867-fc", [30, 28, 0, 0, 1, 0], [0, 0, 0], &[]),
        row("atif/nat-exmp04_atif.json", "agent-004", [5, 3, 0, 0, 1, 0], [0, 0, 0], &[]),
        row("atif/nat-exmp05_atif.json", "agent-005", [5, 3, 0, 0, 1, 0], [0, 0, 0], &[]),
    ]
};

#[test]
fn every_sample_has_what_is_written_down_about_it() {
    println!("| sample | entries | nodes | roots | forks | leaves | compactions | repairs |");
    println!("|---|---|---|---|---|---|---|---|");
    for folder in FOLDERS {
        for sample in samples(folder).into_iter().filter(|path| !is_trace(path)) {
            let name = format!("{folder}/{}", sample.file_name().unwrap().to_str().unwrap());
            let bytes = std::fs::read(&sample).unwrap();
            let (_, report) = block_on(loaded(sample.to_str().unwrap(), &bytes));
            println!("{}", row(&name, &report));
            let known = KNOWN.iter().find(|known| known.file == name).unwrap();
            let is_log = name == "openhands/chat-completions-llm-log.json";
            check(known, if is_log { "openai-chat" } else { folder }, &report);
        }
    }
}

/// Traces of the events that a trajectory was made of; they are no sessions.
fn is_trace(path: &Path) -> bool {
    path.to_str().unwrap().ends_with("_atof.jsonl")
}

fn check(known: &Known, format: &str, report: &SessionReport) {
    let name = known.file;
    assert_eq!(
        (report.session.as_str(), report.format.as_str()),
        (known.session, format),
        "{name}"
    );
    let counts = [report.entries, report.nodes, report.roots, report.forks, report.leaves];
    assert_eq!(
        counts,
        [known.lines, known.nodes, known.roots, known.forks, known.leaves],
        "{name}"
    );
    assert_eq!(report.compactions, known.compactions, "{name}");
    let mut expected = vec![
        (RepairKind::DanglingParent, known.dangling),
        (RepairKind::DuplicateId, known.duplicates),
        (RepairKind::UnansweredCall, known.unanswered),
    ];
    expected.extend(known.others);
    for (kind, count) in &expected {
        assert_eq!(report.repairs_of(*kind), *count, "{name}: {kind:?}");
    }
    let all: usize = expected.iter().map(|(_, count)| count).sum();
    assert_eq!(report.repairs.len(), all, "{name}: {:?}", report.repairs);
}

pub(crate) fn row(name: &str, report: &SessionReport) -> String {
    let mut kinds: Vec<(String, usize)> = Vec::new();
    for repair in &report.repairs {
        let kind = serde_json::to_value(repair.kind).unwrap();
        let kind = kind.as_str().unwrap().to_owned();
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((kind, 1)),
        }
    }
    let kinds: Vec<String> =
        kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let repairs = if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") };
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} | {repairs} |",
        report.entries, report.nodes, report.roots, report.forks, report.leaves, report.compactions
    )
}

#[test]
fn the_active_path_is_what_claude_code_shows() {
    for sample in samples("claude-code") {
        let bytes = std::fs::read(&sample).unwrap();
        let expected = claude_code_conversation(&bytes);
        let found = block_on(async {
            let (store, report) = loaded(sample.to_str().unwrap(), &bytes).await;
            let path = path(&store, &report.session, "main").await;
            path.into_iter()
                .filter(|stored| is_visible(&body(stored)))
                .map(|stored| alias(&stored))
                .collect::<Vec<_>>()
        });
        assert_eq!(found, expected, "{}", sample.display());
    }
}

#[test]
fn the_active_path_is_what_pi_shows() {
    for sample in samples("pi") {
        let bytes = std::fs::read(&sample).unwrap();
        let expected = pi_path(&bytes);
        let found = block_on(async {
            let (store, report) = loaded(sample.to_str().unwrap(), &bytes).await;
            let path = path(&store, &report.session, "main").await;
            path.iter().map(body).collect::<Vec<_>>()
        });
        assert_eq!(found, expected, "{}", sample.display());
    }
}

#[test]
fn the_large_pi_session_has_a_context_of_914_messages() {
    for sample in samples("pi").into_iter().filter(|path| is_large(path)) {
        let bytes = std::fs::read(&sample).unwrap();
        let items = block_on(async {
            let (store, report) = loaded(sample.to_str().unwrap(), &bytes).await;
            crate::kit::shown(&*store, &report.session, "main").await
        });
        assert_eq!(items.len(), 914);
    }
}

fn is_large(path: &Path) -> bool {
    path.ends_with("large-session.jsonl")
}

fn body(stored: &treering_tree::Stored) -> Value {
    serde_json::from_slice(&stored.entry.body().unwrap().bytes).unwrap()
}

fn text<'a>(line: &'a Value, key: &str) -> Option<&'a str> {
    line.get(key).and_then(Value::as_str)
}

fn is_true(line: &Value, key: &str) -> bool {
    line.get(key).and_then(Value::as_bool) == Some(true)
}

fn is_said(line: &Value) -> bool {
    matches!(text(line, "type"), Some("user" | "assistant"))
}

fn is_visible(line: &Value) -> bool {
    is_said(line)
        && !is_true(line, "isMeta")
        && !is_true(line, "isSidechain")
        && text(line, "teamName").is_none()
}

/// The uuids that Claude Code's own reader shows, written down from its reading rule.
fn claude_code_conversation(bytes: &[u8]) -> Vec<String> {
    let chained = ["user", "assistant", "progress", "system", "attachment"];
    let lines =
        bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let entries: Vec<Value> = lines
        .filter(|line: &Value| {
            text(line, "uuid").is_some()
                && text(line, "type").is_some_and(|kind| chained.contains(&kind))
        })
        .collect();
    let uuid = |line: &Value| text(line, "uuid").unwrap().to_owned();
    let parent = |line: &Value| text(line, "parentUuid").map(str::to_owned);
    let newest: HashMap<String, usize> =
        entries.iter().enumerate().map(|(at, line)| (uuid(line), at)).collect();
    let parents: HashSet<String> = entries.iter().filter_map(parent).collect();
    let walk = |from: usize| {
        let mut seen = HashSet::new();
        std::iter::successors(Some(from), |at| {
            parent(&entries[*at]).and_then(|parent| newest.get(&parent)).copied()
        })
        .take_while(|at| seen.insert(*at))
        .collect::<Vec<_>>()
    };
    let terminals = (0..entries.len()).filter(|at| !parents.contains(&uuid(&entries[*at])));
    let leaves: Vec<usize> = terminals
        .filter_map(|terminal| walk(terminal).into_iter().find(|at| is_said(&entries[*at])))
        .collect();
    let main = leaves.iter().filter(|leaf| is_visible(&entries[**leaf]));
    let best = |leaves: &mut dyn Iterator<Item = &usize>| {
        leaves.max_by_key(|leaf| newest[&uuid(&entries[**leaf])]).copied()
    };
    let Some(leaf) = best(&mut main.into_iter()).or_else(|| best(&mut leaves.iter())) else {
        return Vec::new();
    };
    let mut chain = walk(leaf);
    chain.reverse();
    chain.into_iter().filter(|at| is_visible(&entries[*at])).map(|at| uuid(&entries[at])).collect()
}

/// The lines on the path that pi opens a session at: all of a version 1, else from the last line up.
fn pi_path(bytes: &[u8]) -> Vec<Value> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut lines: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    let header = lines.remove(0);
    if header.get("version").is_none() {
        return lines;
    }
    let by_id = |id: &str| lines.iter().rposition(|line| text(line, "id") == Some(id));
    let last = lines.len() - 1;
    let walk = std::iter::successors(Some(last), |at| by_id(text(&lines[*at], "parentId")?));
    let mut path: Vec<Value> = walk.map(|at| lines[at].clone()).collect();
    path.reverse();
    path
}
