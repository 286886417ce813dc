//! What can be told of a JSON document by how it begins: its own fields, and of its lists the first
//! element. It never needs the end of the document.

use serde_json::{Map, Value};

use crate::lines::is_blank;

/// The fields of the document that `bytes` begin with, lists with their first element alone; a
/// document that is a list is the field with the empty name. `None` where it is none, or where more
/// than one document follows the other.
pub(crate) fn outline(bytes: &[u8]) -> Option<Value> {
    let begin = bytes.iter().position(|byte| !is_blank(*byte))?;
    let bytes = &bytes[begin..];
    let mut fields = Map::new();
    if bytes.first() == Some(&b'[') {
        fields.insert(String::new(), value(bytes)?);
        return Some(Value::Object(fields));
    }
    let mut walk = Walk { bytes, at: 0 };
    walk.pass(b'{')?;
    while let Some(key) = walk.string() {
        let Some(()) = walk.pass(b':') else { break };
        walk.blanks();
        fields.insert(key, value(&bytes[walk.at..]).unwrap_or_default());
        walk.value();
        let Some(()) = walk.pass(b',') else { break };
    }
    let ends = walk.pass(b'}').is_some();
    walk.blanks();
    (!ends || walk.at == bytes.len()).then_some(Value::Object(fields))
}

/// The value that bytes begin with; of a list its first element.
fn value(bytes: &[u8]) -> Option<Value> {
    let first = |bytes| serde_json::Deserializer::from_slice(bytes).into_iter().next()?.ok();
    match bytes.strip_prefix(b"[") {
        Some(list) => Some(Value::Array(first(list).into_iter().collect())),
        None => first(bytes),
    }
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    fn blanks(&mut self) {
        self.at += self.bytes[self.at..].iter().take_while(|byte| is_blank(**byte)).count();
    }

    fn pass(&mut self, byte: u8) -> Option<()> {
        self.blanks();
        (self.bytes.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    fn string(&mut self) -> Option<String> {
        self.blanks();
        let begin = self.at;
        (self.bytes.get(begin) == Some(&b'"')).then(|| self.value())?;
        serde_json::from_slice(&self.bytes[begin..self.at]).ok()
    }

    /// Goes past a value, to the end where it does not end.
    fn value(&mut self) {
        let (mut depth, mut in_string, mut escaped) = (0_u64, false, false);
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' | b',' | b':' if depth == 0 => return,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            let ends_here = matches!(byte, b'"' | b'}' | b']');
            if depth == 0 && !in_string && ends_here {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::outline;

    #[test]
    fn a_documents_fields_are_known_before_it_ends() {
        let table = [
            (
                "{\"a\":1,\"l\":[{\"x\":1},{\"y\":2}],\"s\":\"]}\"}\n",
                Some(json!({"a":1,"l":[{"x":1}],"s":"]}"})),
            ),
            (
                " {\"a\": {\"b\": [2]}, \"l\": [{\"x\": 1}, {\"y",
                Some(json!({"a":{"b":[2]},"l":[{"x":1}]})),
            ),
            ("[{\"x\":1},2]", Some(json!({"":[{"x":1}]}))),
            ("{\"a\":1}\n{\"a\":2}\n", None),
            ("{", Some(json!({}))),
            ("{\"a\":tru", Some(json!({"a":null}))),
            ("x", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(outline(text.as_bytes()), expected, "{text}");
        }
    }
}
