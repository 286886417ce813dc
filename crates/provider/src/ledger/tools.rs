//! What a tool call does, told from the tool's name where it is known and from the shape of the
//! arguments everywhere: reads or writes a file, runs a command, keeps a list of what is to do.

use serde_json::Value;

/// What one call does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Deed {
    Read(String),
    Write(String),
    /// Writes to the file that was opened last.
    WriteOpen,
    Run(String),
    /// The whole list, with whether each item is done.
    Todo(Vec<(String, bool)>),
    /// Works in this directory.
    Enter(String),
}

const PATH_KEYS: &[&str] = &[
    "path",
    "file_path",
    "filePath",
    "filename",
    "file_name",
    "file",
    "target_file",
    "absolute_path",
    "relative_workspace_path",
    "notebook_path",
    "target",
    "uri",
    "TargetFile",
    "AbsolutePath",
];
const PATH_LIST_KEYS: &[&str] = &["paths", "files", "file_paths"];
const COMMAND_KEYS: &[&str] = &["command", "cmd", "CommandLine", "script", "commands"];
const DIRECTORY_KEYS: &[&str] = &["cwd", "workdir", "working_directory", "Cwd", "dir_path"];
/// Keys whose presence beside a path says that the call changes the file.
const CONTENT_KEYS: &[&str] = &[
    "content",
    "contents",
    "new_string",
    "newText",
    "new_text",
    "new_str",
    "old_string",
    "oldText",
    "old_text",
    "old_str",
    "edits",
    "patch",
    "diff",
    "code_edit",
    "file_text",
    "insert_text",
    "new_source",
    "replacement",
    "replace",
    "CodeContent",
    "insert_line",
    "changes",
];
const LIST_TEXT_KEYS: &[&str] =
    &["content", "text", "title", "step", "description", "subject", "task"];
const LIST_STATE_KEYS: &[&str] = &["status", "state", "done", "completed"];

const READERS: &[&str] = &[
    "read",
    "readfile",
    "readfiles",
    "readmanyfiles",
    "view",
    "viewfile",
    "viewimage",
    "open",
    "openfile",
    "cat",
    "fsread",
    "gotofile",
];
/// They look for files; what they are given is no file.
const FINDERS: &[&str] = &[
    "grep",
    "grepsearch",
    "glob",
    "ls",
    "list",
    "listdirectory",
    "listdir",
    "listfiles",
    "find",
    "findfile",
    "searchfiles",
    "searchdir",
    "searchfile",
    "codesearch",
    "codebasesearch",
];
const WRITERS: &[&str] = &[
    "write",
    "writefile",
    "writetofile",
    "create",
    "createfile",
    "savefile",
    "edit",
    "editfile",
    "editor",
    "multiedit",
    "strreplace",
    "strreplaceeditor",
    "strreplacebasededittool",
    "replace",
    "replaceinfile",
    "searchreplace",
    "applypatch",
    "applydiff",
    "patch",
    "notebookedit",
    "insert",
    "insertedit",
    "fswrite",
    "delete",
    "deletefile",
    "append",
    "rename",
    "movefile",
    "undoedit",
];
const RUNNERS: &[&str] = &[
    "bash",
    "shell",
    "shellcommand",
    "localshell",
    "runshellcommand",
    "execcommand",
    "execute",
    "executecommand",
    "executebash",
    "runcommand",
    "runterminalcmd",
    "runinterminal",
    "terminal",
    "containerexec",
    "exec",
    "python",
    "runtests",
];
/// Longer texts are no paths.
const PATH_BYTES: usize = 1_024;
/// Editors that take a verb: these only look.
const LOOKING_VERBS: &[&str] = &["view", "read", "open", "undo_edit"];

/// What the call does, in order.
pub(super) fn deeds(name: &str, arguments: &Value) -> Vec<Deed> {
    let parsed;
    let arguments = match arguments {
        // Some runtimes keep the arguments as the text the model wrote.
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(value @ Value::Object(_)) => {
                parsed = value;
                &parsed
            }
            _ => return free_text(name, text),
        },
        value => value,
    };
    let Value::Object(fields) = arguments else {
        return Vec::new();
    };
    let known = bare(name);
    let is_in = |names: &[&str]| names.contains(&known.as_str());
    if is_in(FINDERS) {
        return Vec::new();
    }
    let mut deeds = Vec::new();
    let text = |keys: &[&str]| keys.iter().find_map(|key| fields.get(*key)).and_then(words);
    if let Some(directory) = text(DIRECTORY_KEYS) {
        deeds.push(Deed::Enter(directory));
    }
    if let Some(items) = fields.values().find_map(todo_list) {
        deeds.push(Deed::Todo(items));
        return deeds;
    }
    let patched = patched_files(fields.values());
    if !patched.is_empty() {
        deeds.extend(patched.into_iter().map(Deed::Write));
        return deeds;
    }
    let verb = fields.get("command").and_then(Value::as_str);
    let looks = is_in(READERS) || verb.is_some_and(|verb| LOOKING_VERBS.contains(&verb));
    let writes =
        !looks && (is_in(WRITERS) || CONTENT_KEYS.iter().any(|key| fields.contains_key(*key)));
    let mut paths: Vec<String> = text(PATH_KEYS).into_iter().collect();
    for list in PATH_LIST_KEYS.iter().filter_map(|key| fields.get(*key)?.as_array()) {
        paths.extend(list.iter().filter_map(listed_path));
    }
    if is_in(RUNNERS) || paths.is_empty() {
        deeds.extend(text(COMMAND_KEYS).map(Deed::Run));
    }
    if paths.is_empty() && is_in(WRITERS) {
        deeds.push(Deed::WriteOpen);
    }
    if !is_in(RUNNERS) {
        let deed = if writes { Deed::Write } else { Deed::Read };
        deeds.extend(paths.into_iter().filter(|path| is_path(path)).map(deed));
    }
    deeds
}

/// The name without case, separators and the server it comes from.
fn bare(name: &str) -> String {
    let own = name.rsplit("__").next().unwrap_or(name);
    let own = own.strip_prefix("functions.").unwrap_or(own);
    let letters = own.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

fn free_text(name: &str, text: &str) -> Vec<Deed> {
    let patched = patched_files([&Value::String(text.to_owned())].into_iter());
    if !patched.is_empty() {
        patched.into_iter().map(Deed::Write).collect()
    } else if RUNNERS.contains(&bare(name).as_str()) {
        vec![Deed::Run(text.to_owned())]
    } else {
        Vec::new()
    }
}

/// A text, or the words of a list: `["bash", "-lc", "make"]` is `make`.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        Value::Array(list) => {
            let list: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            match list[..] {
                [] => None,
                [shell, flag, command] if shell.ends_with("sh") && flag.starts_with('-') => {
                    Some(command.to_owned())
                }
                _ => Some(list.join(" ")),
            }
        }
        _ => None,
    }
}

fn listed_path(value: &Value) -> Option<String> {
    match value {
        Value::String(path) => Some(path.clone()),
        Value::Object(fields) => {
            PATH_KEYS.iter().find_map(|key| fields.get(*key)?.as_str()).map(str::to_owned)
        }
        _ => None,
    }
}

fn is_path(text: &str) -> bool {
    let odd = |c: char| c.is_control() || matches!(c, '*' | '?' | '"');
    !text.is_empty() && text.len() <= PATH_BYTES && !text.contains(odd) && !text.contains("://")
}

/// The items of a value that is a list of things to do.
fn todo_list(value: &Value) -> Option<Vec<(String, bool)>> {
    let items = value.as_array().filter(|items| !items.is_empty())?;
    items.iter().map(todo).collect()
}

fn todo(item: &Value) -> Option<(String, bool)> {
    let fields = item.as_object()?;
    let text = LIST_TEXT_KEYS.iter().find_map(|key| fields.get(*key)?.as_str())?;
    let state = LIST_STATE_KEYS.iter().find_map(|key| fields.get(*key))?;
    let done = match state {
        Value::Bool(done) => *done,
        Value::String(state) => {
            matches!(state.as_str(), "completed" | "complete" | "done" | "cancelled" | "skipped")
        }
        _ => return None,
    };
    Some((text.to_owned(), done))
}

/// Files a patch names, in any argument that is one.
fn patched_files<'v>(values: impl Iterator<Item = &'v Value>) -> Vec<String> {
    let mut files = Vec::new();
    for text in values.filter_map(Value::as_str) {
        let codex = text.contains("*** Begin Patch");
        let unified = text.contains("\n+++ ") && text.contains("--- ");
        if !codex && !unified {
            continue;
        }
        for line in text.lines() {
            let named = if codex {
                ["*** Update File: ", "*** Add File: ", "*** Delete File: ", "*** Move to: "]
                    .iter()
                    .find_map(|head| line.strip_prefix(head))
            } else {
                line.strip_prefix("+++ b/")
                    .or_else(|| line.strip_prefix("+++ "))
                    .filter(|path| *path != "/dev/null")
            };
            files.extend(named.map(str::trim).filter(|path| is_path(path)).map(str::to_owned));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(path: &str) -> Vec<Deed> {
        vec![Deed::Read(path.into())]
    }

    fn write(path: &str) -> Vec<Deed> {
        vec![Deed::Write(path.into())]
    }

    #[test]
    fn tools_of_known_runtimes_are_told_apart() {
        let run = |command: &str| vec![Deed::Run(command.into())];
        let cases = [
            ("Read", json!({"file_path": "/a/b.rs"}), read("/a/b.rs")),
            ("edit", json!({"path": "b.ts", "oldText": "x", "newText": "y"}), write("b.ts")),
            ("MultiEdit", json!({"file_path": "b.ts", "edits": []}), write("b.ts")),
            ("bash", json!({"command": "make", "timeout": 3}), run("make")),
            ("shell", json!({"command": ["bash", "-lc", "make"]}), run("make")),
            ("run_shell_command", json!({"command": "ls src"}), run("ls src")),
            ("exec_command", json!({"cmd": "ls"}), run("ls")),
            ("create", json!({"filename": "r.py"}), write("r.py")),
            ("insert", json!({"text": "x = 1"}), vec![Deed::WriteOpen]),
            ("open", json!({"path": "setup.py"}), read("setup.py")),
            ("read_files", json!({"files": [{"path": "a.tsx", "start_line": 1}]}), read("a.tsx")),
            ("str_replace_editor", json!({"command": "view", "path": "/a.py"}), read("/a.py")),
            (
                "str_replace_editor",
                json!({"command": "create", "path": "/a.py", "file_text": ""}),
                write("/a.py"),
            ),
            ("Glob", json!({"pattern": "**/*.rs"}), vec![]),
        ];
        for (name, arguments, expected) in cases {
            assert_eq!(deeds(name, &arguments), expected, "{name} {arguments}");
        }
    }

    #[test]
    fn patches_name_their_files() {
        let patch = "*** Begin Patch\n*** Update File: src/a.rs\n@@\n-x\n+y\n*** Add File: b.rs\n+z\n*** End Patch";
        let both = vec![Deed::Write("src/a.rs".into()), Deed::Write("b.rs".into())];
        assert_eq!(deeds("apply_patch", &json!({ "input": patch })), both);
        assert_eq!(deeds("apply_patch", &json!(patch)), both);
        let unified = "--- a/src/a.rs\n+++ b/src/a.rs\n@@ -1 +1 @@\n-x\n+y\n";
        assert_eq!(deeds("anything", &json!({ "diff": unified })), write("src/a.rs"));
    }

    #[test]
    fn unknown_tools_are_told_by_the_shape_of_their_arguments() {
        assert_eq!(deeds("mcp__fs__stat", &json!({"path": "a/b.rs"})), read("a/b.rs"));
        assert_eq!(deeds("zap", &json!({"path": "a.rs", "content": "x"})), write("a.rs"));
        assert_eq!(deeds("zap", &json!({"cmd": "make"})), vec![Deed::Run("make".into())]);
        assert_eq!(deeds("zap", &json!(3)), vec![]);
    }

    #[test]
    fn lists_of_things_to_do_are_read_whole() {
        let list = vec![("a".to_owned(), true), ("b".to_owned(), false)];
        for (name, arguments) in [
            (
                "TodoWrite",
                json!({"todos": [{"content": "a", "status": "completed"}, {"content": "b", "status": "pending"}]}),
            ),
            (
                "update_plan",
                json!({"plan": [{"step": "a", "status": "completed"}, {"step": "b", "status": "in_progress"}]}),
            ),
        ] {
            assert_eq!(deeds(name, &arguments), vec![Deed::Todo(list.clone())], "{name}");
        }
    }
}
