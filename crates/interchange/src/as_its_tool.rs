//! Reads a session as any tool must that keeps it in files and nothing beside them: every record of
//! them parsed, and the path from the last one up to its root. Made to be timed against a store; what is
//! found is thrown away, and so is every record once its ids are known, which tools do not.

use std::collections::HashMap;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::files::SourceFile;
use crate::json::{self, Fields};
use crate::loom::Key;
use crate::sessions::Sessions;

/// What tools call the id of a record, and that of its parent.
const IDS: [&str; 2] = ["uuid", "id"];
const PARENTS: [&str; 3] = ["parentUuid", "parentId", "parent_id"];

impl Sessions {
    /// Reads the file with the conversation of the session at `index`, from 0, as its tool would;
    /// answers how many records the path to its end has. The caller, who has a clock, knows how long
    /// it took.
    ///
    /// # Errors
    /// `Storage` where reading fails.
    pub fn read_as_its_tool(&self, index: usize) -> Result<u64> {
        let file = self.groups.get(index).and_then(|group| group.files.first());
        file.map_or(Ok(0), path_len)
    }
}

fn path_len(file: &SourceFile) -> Result<u64> {
    let mut lines = file.lines()?;
    let mut records = 0;
    let mut parents: HashMap<Key, Option<Key>> = HashMap::new();
    let mut last = None;
    while let Some(line) = lines.next_line().map_err(Error::io(&file.path))? {
        let text = json::text(line.bytes);
        let Ok(record) = serde_json::from_str::<Value>(json::element(&text)) else { continue };
        records += 1;
        let key = |names: &[&str]| names.iter().find_map(|name| record.text(name)).map(Key::of);
        if let Some(id) = key(&IDS) {
            parents.insert(id.clone(), key(&PARENTS));
            last = Some(id);
        }
    }
    if parents.values().all(Option::is_none) {
        // Its records stand in a line.
        return Ok(records);
    }
    let mut len = 0;
    // Taken out, so that a cycle ends.
    while let Some(parent) = last.and_then(|id| parents.remove(&id)) {
        len += 1;
        last = parent;
    }
    Ok(len)
}
