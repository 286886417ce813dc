//! Lines of a file that may hold anything, without ever holding more than one bounded line.
//!
//! A line is what stands between two line ends, *with* its line end and with the blank lines before
//! it: the lines of a file, put one after the other, are the file. Of a file that is one document the
//! pieces that its [`Frame`] tells apart take the place of lines. It never looks at what a line says.

use std::io::{self, Read};

use crate::frame::{Frame, Role, Scanner, Sizes};
use crate::limits;

/// Reads lines.
pub(crate) struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    offset: u64,
    line: u64,
    ended: bool,
    /// Whether the next line is the rest of one that was too long.
    inside: bool,
    /// Where in a document the next byte is.
    scanner: Option<Scanner>,
    /// Where in records of known sizes the next byte is.
    sizes: Option<Sizes>,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
    /// Where it begins in the file.
    pub(crate) offset: u64,
    /// Number of the line its first byte that is not blank stands on, from 1; of its first byte
    /// where all are blank.
    pub(crate) number: u64,
    /// Whether it is part of a line over the limit.
    pub(crate) overlong: bool,
    /// What it is, as far as the frame tells.
    pub(crate) role: Role,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(source: R, frame: Frame) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            line: 1,
            ended: false,
            inside: false,
            scanner: match &frame {
                Frame::Document(names) => Some(Scanner::new(names)),
                _ => None,
            },
            sizes: match frame {
                Frame::Folder(sizes) => Some(Sizes::new(sizes)),
                Frame::State => Some(Sizes::new([].into())),
                _ => None,
            },
        }
    }

    /// Bytes read so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Number of the line that the first of the next bytes that is not blank stands on; that of the
    /// first where all are blank.
    pub(crate) fn line_of(&self, next: &[u8]) -> u64 {
        if let Some(sizes) = &self.sizes {
            return sizes.number();
        }
        let is_comma = |byte: u8| self.scanner.is_some() && byte == b',';
        let blank = next.iter().take_while(|byte| is_blank(**byte) || is_comma(**byte)).count();
        self.line + if blank < next.len() { count_lines(&next[..blank]) } else { 0 }
    }

    /// The next line; `None` at the end of the file.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        if self.scanner.is_some() {
            return self.next_piece();
        }
        if let Some(sizes) = &self.sizes {
            let left = usize::try_from(sizes.left()).unwrap_or(usize::MAX);
            let len = self.peek(left.min(limits::LINE_BYTES))?.len();
            return Ok((len > 0).then(|| self.take(len, len >= limits::LINE_BYTES, Role::Line)));
        }
        let mut seen = 0;
        let mut begun = self.inside;
        let len = loop {
            let fresh = &self.buffer[self.start + seen..];
            let fresh = &fresh[..fresh.len().min(limits::LINE_BYTES - seen)];
            let skipped =
                if begun { 0 } else { fresh.iter().take_while(|b| is_blank(**b)).count() };
            begun |= skipped < fresh.len();
            if let Some(end) = memchr::memchr(b'\n', &fresh[skipped..]) {
                break seen + skipped + end + 1;
            }
            seen += fresh.len();
            if seen >= limits::LINE_BYTES {
                break limits::LINE_BYTES;
            }
            if self.ended {
                break seen;
            }
            self.fill()?;
        };
        if len == 0 {
            return Ok(None);
        }
        let bytes = &self.buffer[self.start..self.start + len];
        let ends = bytes.ends_with(b"\n");
        let overlong = self.inside || (len == limits::LINE_BYTES && !ends);
        self.inside = overlong && !ends;
        Ok(Some(self.take(len, overlong, Role::Line)))
    }

    /// What the next line will be, without reading past it.
    pub(crate) fn peek_line(&mut self) -> io::Result<Option<Line<'_>>> {
        let before = (self.offset, self.line, self.inside);
        let frames = (self.scanner.clone(), self.sizes.clone());
        let Some(Line { bytes, offset, number, overlong, role }) = self.next_line()? else {
            return Ok(None);
        };
        let len = bytes.len();
        self.start -= len;
        (self.offset, self.line, self.inside) = before;
        (self.scanner, self.sizes) = frames;
        let bytes = &self.buffer[self.start..self.start + len];
        Ok(Some(Line { bytes, offset, number, overlong, role }))
    }

    /// The next piece of a document.
    fn next_piece(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut seen = 0;
        let role = loop {
            let Some(scanner) = &mut self.scanner else { return Ok(None) };
            let fresh = &self.buffer[self.start + seen..];
            let fresh = &fresh[..fresh.len().min(limits::LINE_BYTES - seen)];
            let mut ends = fresh.iter().zip(seen + 1..).map(|(byte, at)| (scanner.read(*byte), at));
            if let Some((Some(role), at)) = ends.find(|(role, _)| role.is_some()) {
                seen = at;
                break role;
            }
            seen += fresh.len();
            if self.ended || seen >= limits::LINE_BYTES {
                break scanner.rest();
            }
            self.fill()?;
        };
        Ok((seen > 0).then(|| self.take(seen, seen >= limits::LINE_BYTES, role)))
    }

    fn take(&mut self, len: usize, overlong: bool, role: Role) -> Line<'_> {
        let bytes = &self.buffer[self.start..self.start + len];
        let number = self.line_of(bytes);
        let offset = self.offset;
        self.line += count_lines(bytes);
        if let Some(sizes) = &mut self.sizes {
            sizes.pass(len as u64);
        }
        self.offset += len as u64;
        self.start += len;
        let bytes = &self.buffer[self.start - len..self.start];
        Line { bytes, offset, number, overlong, role }
    }

    /// What the next bytes are, as a piece that was told apart before.
    pub(crate) fn role_of(&self, next: &[u8]) -> Role {
        let Some(mut scanner) = self.scanner.clone() else { return Role::Line };
        let end = next.iter().map(|byte| scanner.read(*byte)).last().flatten();
        end.unwrap_or(scanner.rest())
    }

    /// The next `len` bytes, fewer at the end of the file, without reading past them.
    pub(crate) fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        while self.buffer.len() - self.start < len && !self.ended {
            self.fill()?;
        }
        let end = self.buffer.len().min(self.start + len);
        Ok(&self.buffer[self.start..end])
    }

    /// Reads past bytes that were peeked at.
    pub(crate) fn pass(&mut self, len: usize) {
        let end = self.buffer.len().min(self.start + len);
        let bytes = &self.buffer[self.start..end];
        if let Some(scanner) = &mut self.scanner {
            for byte in bytes {
                scanner.read(*byte);
            }
        }
        if let Some(sizes) = &mut self.sizes {
            sizes.pass(bytes.len() as u64);
        }
        self.line += count_lines(bytes);
        self.offset += bytes.len() as u64;
        self.start = end;
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let filled = self.buffer.len();
        // Growing by what is there keeps a long line linear.
        let more = limits::CHUNK_BYTES.max(filled);
        self.buffer.resize(filled + more, 0);
        let read = loop {
            match self.source.read(&mut self.buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
        self.ended = read? == 0;
        Ok(())
    }
}

pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut reader = Lines::new(bytes, Frame::Lines);
        let mut all = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            all.push((line.number, line.bytes.to_vec()));
        }
        all
    }

    #[test]
    fn a_line_keeps_its_end_and_the_blanks_before_it() {
        type Found<'a> = [(u64, &'a [u8])];
        let table: [(&[u8], &Found<'_>); 6] = [
            (b"", &[]),
            (b"a\nb\n", &[(1, b"a\n"), (2, b"b\n")]),
            (b"a\r\nb", &[(1, b"a\r\n"), (2, b"b")]),
            (b"\n \na\n\n", &[(3, b"\n \na\n"), (4, b"\n")]),
            (b"a\xE2\x80\xA8b\n", &[(1, b"a\xE2\x80\xA8b\n")]),
            (b" \r\n ", &[(1, b" \r\n ")]),
        ];
        for (bytes, expected) in table {
            let expected: Vec<_> =
                expected.iter().map(|(number, line)| (*number, line.to_vec())).collect();
            assert_eq!(lines(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_line_over_the_limit_comes_in_parts() {
        // What stands before it must not move where it is cut.
        let mut bytes = b"{}\n".to_vec();
        bytes.resize(bytes.len() + limits::LINE_BYTES + 10, b'x');
        bytes.extend(b"\n{}\n");
        let mut reader = Lines::new(&bytes[..], Frame::Lines);
        let mut found = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            found.push((line.bytes.len(), line.number, line.overlong));
        }
        let long = [(limits::LINE_BYTES, 2, true), (11, 2, true)];
        assert_eq!(found, [&[(3, 1, false)], &long[..], &[(3, 3, false)]].concat());
    }

    fn pieces(names: &'static [&'static str], text: &str) -> Vec<(Role, String)> {
        let mut reader = Lines::new(text.as_bytes(), Frame::Document(names));
        let mut all = Vec::new();
        while let Some(piece) = reader.next_line().unwrap() {
            all.push((piece.role, String::from_utf8_lossy(piece.bytes).into_owned()));
        }
        all
    }

    #[test]
    fn the_elements_of_a_documents_lists_are_pieces() {
        use Role::{Element, Rest, Torn};
        type Found<'a> = &'a [(Role, &'a str)];
        let table: [(&str, Found<'_>); 6] = [
            (
                "{\"a\":[1],\"m\":[{\"m\":[2]},\n{}]}\n",
                &[
                    (Rest, "{\"a\":[1],\"m\":["),
                    (Element, "{\"m\":[2]}"),
                    (Element, ",\n{}"),
                    (Rest, "]}\n"),
                ],
            ),
            ("[\"x]\",[[]]]", &[(Rest, "["), (Element, "\"x]\""), (Element, ",[[]]"), (Rest, "]")]),
            ("{\"b\":\"m\",\"c\":{\"m\":[{}]}}", &[(Rest, "{\"b\":\"m\",\"c\":{\"m\":[{}]}}")]),
            ("{\"m\":[{\"a\":\"\\\"]\"}", &[(Rest, "{\"m\":["), (Element, "{\"a\":\"\\\"]\"}")]),
            ("{\"m\":[{},{\"a", &[(Rest, "{\"m\":["), (Element, "{}"), (Torn, ",{\"a")]),
            ("]}]{\"m\":[]}", &[(Rest, "]}]{\"m\":["), (Rest, "]}")]),
        ];
        for (text, expected) in table {
            let found = pieces(&["", "m"], text);
            let found: Vec<_> = found.iter().map(|(role, piece)| (*role, &**piece)).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn pieces_one_after_the_other_are_the_document(text in "[\\[\\]{}\"m:,\\\\ \n1]{0,120}") {
            let whole: String = pieces(&["", "m"], &text).into_iter().map(|(_, piece)| piece).collect();
            prop_assert_eq!(whole, text);
        }

        #[test]
        fn lines_one_after_the_other_are_the_file(
            bytes in proptest::collection::vec(proptest::sample::select(b"a \n\r\t\0".to_vec()), 0..200),
        ) {
            let whole: Vec<u8> = lines(&bytes).into_iter().flat_map(|(_, line)| line).collect();
            prop_assert_eq!(whole, bytes);
        }
    }
}
