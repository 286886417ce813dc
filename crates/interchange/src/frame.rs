//! Where the pieces of a file begin and end: at line ends, or around the elements of lists inside
//! one JSON document. It sees brackets, strings and the names of a document's own fields, holds a few
//! bytes of state however deep and long the document is, and never decides what a piece means.

use std::sync::Arc;

/// How the pieces of a file are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A record per line.
    Lines,
    /// One JSON document; the elements of the lists with these names are its records. The empty name
    /// is the document itself, where that is a list.
    Document(&'static [&'static str]),
    /// Many files one after the other; the sizes of their records.
    Folder(Arc<[u64]>),
    /// The whole file is one record, which its tool writes anew each time.
    State,
}

/// Where in files of known sizes the next byte is.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    all: Arc<[u64]>,
    at: usize,
    left: u64,
}

impl Sizes {
    pub(crate) fn new(all: Arc<[u64]>) -> Self {
        let mut sizes = Self { left: all.first().copied().unwrap_or(u64::MAX), all, at: 0 };
        sizes.pass(0);
        sizes
    }

    /// Bytes to the end of the record.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Number of the record, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.at as u64 + 1
    }

    /// Goes past bytes, also of more than one record.
    pub(crate) fn pass(&mut self, mut bytes: u64) {
        while self.left <= bytes {
            bytes -= self.left;
            self.at += 1;
            // What comes behind the last of them is one more.
            self.left = self.all.get(self.at).copied().unwrap_or(u64::MAX);
        }
        self.left -= bytes;
    }
}

/// What a piece is, as far as its frame tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A line.
    Line,
    /// An element of a list, with the comma before it.
    Element,
    /// What stands around the elements.
    Rest,
    /// The same, but the document stops in the middle.
    Torn,
}

/// Where in a string a scanner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

/// Bytes of a field's name that are looked at; none that is looked for is longer.
const KEY_BYTES: usize = 64;

/// Reads a document byte by byte.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    names: &'static [&'static str],
    depth: u64,
    text: Text,
    /// Whether the document is an object, and what is known of its field.
    is_object: bool,
    key: Vec<u8>,
    wants_key: bool,
    in_key: bool,
    /// Depth inside the list whose elements are records.
    list: Option<u64>,
}

impl Scanner {
    pub(crate) fn new(names: &'static [&'static str]) -> Self {
        Self {
            names,
            depth: 0,
            text: Text::Outside,
            is_object: false,
            key: Vec::new(),
            wants_key: false,
            in_key: false,
            list: None,
        }
    }

    /// Reads one byte; answers what ends behind it, if something does.
    pub(crate) fn read(&mut self, byte: u8) -> Option<Role> {
        if self.text != Text::Outside {
            return self.read_string(byte);
        }
        match byte {
            b'"' => {
                self.text = Text::Inside;
                self.in_key = self.wants_key && self.depth == 1;
                if self.in_key {
                    self.key.clear();
                    self.wants_key = false;
                }
                None
            }
            b'{' | b'[' => self.open(byte),
            b'}' | b']' => {
                if self.list == Some(self.depth) {
                    self.list = None;
                }
                self.depth = self.depth.saturating_sub(1);
                self.element_end()
            }
            b',' => {
                self.wants_key = self.depth == 1 && self.is_object;
                None
            }
            _ => None,
        }
    }

    /// What the bytes after the last end are, at the end of the file.
    pub(crate) fn rest(&self) -> Role {
        if self.depth > 0 || self.text != Text::Outside { Role::Torn } else { Role::Rest }
    }

    fn read_string(&mut self, byte: u8) -> Option<Role> {
        match byte {
            _ if self.text == Text::Escaped => self.text = Text::Inside,
            b'\\' => self.text = Text::Escaped,
            b'"' => {
                self.text = Text::Outside;
                self.in_key = false;
                return self.element_end();
            }
            _ if self.in_key && self.key.len() < KEY_BYTES => self.key.push(byte),
            _ => {}
        }
        None
    }

    fn open(&mut self, byte: u8) -> Option<Role> {
        let name = match self.depth {
            0 => Some(&b""[..]),
            1 if self.is_object => Some(&self.key[..]),
            _ => None,
        };
        let is_named =
            name.is_some_and(|name| self.names.iter().any(|known| known.as_bytes() == name));
        self.depth = self.depth.saturating_add(1);
        if self.depth == 1 {
            self.is_object = byte == b'{';
            self.wants_key = self.is_object;
        }
        if byte == b'[' && is_named && self.list.is_none() {
            self.list = Some(self.depth);
            return Some(Role::Rest);
        }
        None
    }

    fn element_end(&self) -> Option<Role> {
        (self.list == Some(self.depth)).then_some(Role::Element)
    }
}
