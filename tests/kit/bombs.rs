//! Files made to break readers: as deep, as wide, as long and as tangled as bytes can be. Each is made
//! by code from a count, so that tests take a small one and long runs the full one.

use treering_interchange::Input;

/// One bomb.
#[derive(Clone, Copy, Debug)]
pub struct Bomb {
    /// What it is.
    pub name: &'static str,
    /// The format that it is forced on.
    pub format: &'static str,
    make: fn(usize) -> String,
    /// What comes behind that is no text.
    tail: &'static [u8],
    /// Whether each line may be a file of one session.
    may_be_files: bool,
}

impl Bomb {
    /// What is imported with so many: one file, or as many as there may be.
    pub fn inputs(&self, count: usize) -> Vec<Input> {
        let bytes = self.bytes(count);
        if !self.may_be_files {
            return vec![Input::Bytes { name: "bomb".to_owned(), bytes }];
        }
        let file = |(at, line): (usize, &[u8])| {
            let name = format!("agent-{at:08x}.jsonl");
            Input::Bytes { name, bytes: line.to_vec() }
        };
        bytes.split_inclusive(|byte| *byte == b'\n').enumerate().map(file).collect()
    }

    /// The file with so many of whatever it is made of.
    pub fn bytes(&self, count: usize) -> Vec<u8> {
        let mut bytes = (self.make)(count).into_bytes();
        bytes.extend(self.tail.repeat(if self.tail.is_empty() { 0 } else { count }));
        bytes
    }
}

const fn bomb(name: &'static str, format: &'static str, make: fn(usize) -> String) -> Bomb {
    Bomb { name, format, make, tail: b"", may_be_files: false }
}

/// All of them.
pub const BOMBS: [Bomb; 31] = [
    bomb("nested lists", "claude-code", |n| claude(&nested("[", "]", n))),
    bomb("nested objects", "pi", |n| pi("x", None, &nested("{\"a\":", "}", n))),
    bomb("nested blocks", "anthropic", |n| {
        chat(&format!("[{}]", nested("{\"type\":\"tool_result\",\"content\":[", "]}", n)))
    }),
    bomb("a nested document", "openai-chat", |n| nested("[", "]", n)),
    bomb("lists without an end", "gemini", |n| "[".repeat(n)),
    bomb("objects without an end", "swe-agent", |n| "{\"history\":".repeat(n)),
    bomb("nested JSON in strings", "codex", |n| {
        codex(&format!("\"arguments\":{:?}", nested("[", "]", n)))
    }),
    bomb("many keys", "claude-code", |n| {
        claude(&format!("{{{}}}", joined(n, |at| format!("\"{at}\":0"))))
    }),
    bomb("one key over and over", "codex", |n| codex(&joined(n, |_| "\"id\":1".to_owned()))),
    bomb("keys that differ at the end", "pi", |n| {
        let key = "k".repeat(40);
        pi("x", None, &format!("{{{}}}", joined(n / 8, |at| format!("\"{key}{at}\":0"))))
    }),
    bomb("many elements", "openai-chat", |n| format!("[{}]", joined(n / 8, |_| "{}".to_owned()))),
    bomb("elements that are strings", "atif", |n| {
        format!("{{\"steps\":[{}]}}", joined(n / 8, |_| "\"\"".to_owned()))
    }),
    bomb("a number of many digits", "qwen-code", |n| {
        format!("{{\"type\":\"user\",\"uuid\":\"u\",\"timestamp\":{}}}\n", "9".repeat(8 * n))
    }),
    bomb("large exponents", "kimi", |n| format!("{{\"time\":1e{}}}\n", "9".repeat(n))),
    bomb("lone surrogates", "copilot-cli", |n| {
        format!("{{\"type\":\"user.message\",\"id\":\"{}\"}}\n", "\\ud83d".repeat(n))
    }),
    bomb("a NUL run", "openhands", |n| "\0".repeat(8 * n)),
    bomb("NULs between records", "claude-code", |n| "{}\0".repeat(n / 8)),
    Bomb {
        tail: b"\xff\xc3\xed\xa0",
        ..bomb("bytes that are not UTF-8", "cline", |_| {
            "{\"sessionId\":\"s\",\"agent\":\"a\",\"messages\":[\"".to_owned()
        })
    },
    bomb("a chain", "pi", |n| {
        let line = |at: usize| pi(&at.to_string(), at.checked_sub(1), "\"x\"");
        (0..n).map(line).collect()
    }),
    bomb("children", "pi", |n| (0..n).map(|at| pi(&at.to_string(), Some(0), "\"x\"")).collect()),
    bomb("children on one line", "pi", |n| {
        let line = |at: usize| pi(&at.to_string(), Some(0), "1").trim_end().to_owned();
        (0..n / 8).map(line).collect::<String>() + "\n"
    }),
    bomb("one id over and over", "pi", |n| (0..n / 8).map(|_| pi("7", Some(7), "1")).collect()),
    bomb("an id and its numbered copies", "pi", |n| {
        let numbered = (2..n / 16).map(|at| pi(&format!("7~{at}"), None, "1"));
        numbered.chain((0..n / 16).map(|_| pi("7", None, "1"))).collect()
    }),
    bomb("parents that come later", "pi", |n| {
        (0..n / 8).rev().map(|at| pi(&at.to_string(), Some(at + 1_000), "1")).collect()
    }),
    bomb("calls without results", "openai-chat", |n| {
        chat(&joined(n / 8, |at| format!("{{{}}}", called(&at.to_string()))))
    }),
    bomb("results in the order of their calls", "openai-chat", |n| {
        let all = joined(n / 16, |at| match at {
            0..200 => format!("{{{}}}", called(&at.to_string())),
            _ => format!("{{{}}},{{{}}}", answered(at - 200), called(&at.to_string())),
        });
        chat(&all)
    }),
    bomb("records glued together", "claude-code", |n| "{}".repeat(n / 8)),
    bomb("beginnings of records on one line", "claude-code", |n| "{\"".repeat(n)),
    bomb("blank lines", "codex", |n| "\n".repeat(n)),
    bomb("rewinds", "gemini", |n| {
        let said = |at: usize| {
            format!(
                "{{\"id\":\"{at}\",\"type\":\"user\",\"content\":\"x\"}}\n{{\"$rewindTo\":\"{}\"}}\n",
                at / 2
            )
        };
        (0..n / 16).map(said).collect()
    }),
    Bomb {
        may_be_files: true,
        ..bomb("files of one session", "claude-code", |n| {
            (0..n / 16).map(|at| claude_as(&at.to_string(), "\"x\"")).collect()
        })
    },
];

fn nested(open: &str, close: &str, depth: usize) -> String {
    open.repeat(depth) + &close.repeat(depth)
}

fn joined(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

fn pi(id: &str, parent: Option<usize>, content: &str) -> String {
    let parent = parent.map_or("null".to_owned(), |parent| format!("\"{parent}\""));
    format!(
        "{{\"type\":\"message\",\"id\":\"{id}\",\"parentId\":{parent},\"message\":{{\"role\":\"user\",\"content\":{content}}}}}\n"
    )
}

fn claude(content: &str) -> String {
    claude_as("u", content)
}

fn claude_as(id: &str, content: &str) -> String {
    format!(
        "{{\"type\":\"user\",\"uuid\":\"{id}\",\"sessionId\":\"s\",\"message\":{{\"content\":{content}}}}}\n"
    )
}

fn codex(payload: &str) -> String {
    format!(
        "{{\"type\":\"response_item\",\"payload\":{{\"type\":\"function_call\",\"call_id\":\"c\",{payload}}}}}\n"
    )
}

fn chat(messages: &str) -> String {
    format!("{{\"messages\":[{messages}]}}")
}

fn called(id: &str) -> String {
    format!(
        "\"role\":\"assistant\",\"tool_calls\":[{{\"id\":\"{id}\",\"function\":{{\"name\":\"t\",\"arguments\":\"{{}}\"}}}}]"
    )
}

fn answered(id: usize) -> String {
    format!("\"role\":\"tool\",\"tool_call_id\":\"{id}\",\"content\":\"r\"")
}
