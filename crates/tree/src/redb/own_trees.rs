//! Whether redb's own trees are whole: its list of tables, and the tables that it keeps for itself, as which pages
//! are to be freed and which are free. redb reads them unchecked whenever it commits, also as it closes. Where one is
//! damaged it panics while it cleans up after another panic, which ends the process, or takes pages for free that are in
//! use; so they are checked against their checksums before anything is written.
//!
//! Alone knows the bytes of redb's file, version 3 (`docs/design.md` of redb). Costs two small trees and the bitmap of
//! free pages, which redb reads to open; never reads the tables of the store, whose damage shows where they are read.

use std::io;

use redb::StorageBackend;
use twox_hash::XxHash3_128;

/// Of the file's header.
const HEADER_BYTES: usize = 320;
const FLAGS_AT: usize = 9;
const PAGE_BYTES_AT: usize = 12;
const REGION_HEADER_PAGES_AT: usize = 16;
const REGION_PAGES_AT: usize = 20;
const SLOTS_AT: [usize; 2] = [64, 192];
/// The second slot is the newer one.
const SECOND: u8 = 1;
/// The newer slot is not durable yet.
const UNFLUSHED: u8 = 8;

/// Of a slot, that is, of one state of the database: which roots there are, the roots, and a hash of it all.
const HAS_TABLES_AT: usize = 1;
const HAS_OWN_AT: usize = 2;
const TABLES_AT: usize = 8;
const OWN_AT: usize = 40;
const SLOT_HASH_AT: usize = 112;

/// Of a table's definition: whether it has a root, the root, and the widths of keys and values.
const HAS_ROOT_AT: usize = 9;
const ROOT_AT: usize = 10;
const KEY_AT: usize = 42;
const VALUE_AT: usize = 47;

/// Kinds of pages.
const LEAF: u8 = 1;
const BRANCH: u8 = 2;
/// The largest page is 4 KiB times two to this.
const MOST_ORDER: u64 = 20;
/// Times it is looked again where another process commits meanwhile.
const LOOKS: usize = 8;

/// A page, and what it must hash to.
#[derive(Clone, Copy)]
struct Root {
    page: u64,
    hash: u128,
}

/// Widths of the keys and values of a tree; none where they vary.
#[derive(Clone, Copy)]
struct Widths {
    key: Option<usize>,
    value: Option<usize>,
}

/// Of both lists of tables: names and definitions.
const VARY: Widths = Widths { key: None, value: None };

/// What is damaged of redb's own trees in the file behind `backend`, which redb has opened.
///
/// # Errors
/// The backend's.
pub(super) fn damage(backend: &dyn StorageBackend) -> io::Result<Option<String>> {
    let mut header = header(backend)?;
    for _ in 0..LOOKS {
        let file = File { backend, header, len: backend.len()? };
        let found = file.check()?;
        header = self::header(backend)?;
        if found.is_none() || header == file.header {
            return Ok(found);
        }
    }
    // Others commit all the time; what they walk is what would be looked at.
    Ok(None)
}

fn header(backend: &dyn StorageBackend) -> io::Result<[u8; HEADER_BYTES]> {
    let mut header = [0; HEADER_BYTES];
    backend.read(0, &mut header)?;
    Ok(header)
}

struct File<'b> {
    backend: &'b dyn StorageBackend,
    header: [u8; HEADER_BYTES],
    len: u64,
}

impl File<'_> {
    fn check(&self) -> io::Result<Option<String>> {
        let Some((tables, own)) = self.roots() else {
            return Ok(Some("the header of redb".to_owned()));
        };
        if !self.is_whole(tables, VARY, &mut |_| ())? {
            return Ok(Some("redb's list of tables".to_owned()));
        }
        let mut trees = Vec::new();
        let listed = self.is_whole(own, VARY, &mut |leaf| trees.extend(definitions(leaf)))?;
        if !listed {
            return Ok(Some("redb's list of its own tables".to_owned()));
        }
        for (name, root, widths) in trees {
            if !self.is_whole(root, widths, &mut |_| ())? {
                return Ok(Some(format!("redb's own table `{name}`")));
            }
        }
        Ok(None)
    }

    /// Roots of the list of tables and of that of redb's own; none where the slot is damaged.
    fn roots(&self) -> Option<(Option<Root>, Option<Root>)> {
        let flags = self.header[FLAGS_AT];
        let second = (flags & SECOND != 0) != (flags & UNFLUSHED != 0);
        let slot = &self.header[SLOTS_AT[usize::from(second)]..];
        if XxHash3_128::oneshot(slot.get(..SLOT_HASH_AT)?).to_le_bytes()
            != *slot.get(SLOT_HASH_AT..)?.first_chunk::<16>()?
        {
            return None;
        }
        Some((root(slot, HAS_TABLES_AT, TABLES_AT), root(slot, HAS_OWN_AT, OWN_AT)))
    }

    /// Whether all pages of a tree hash to what the page above says. Shows the leaves.
    fn is_whole(
        &self,
        root: Option<Root>,
        widths: Widths,
        leaf: &mut dyn FnMut(&[u8]),
    ) -> io::Result<bool> {
        let mut left: Vec<Root> = root.into_iter().collect();
        // No file has more pages, whatever damaged ones say.
        let mut pages = self.len / u64::from(self.number(PAGE_BYTES_AT).max(1));
        while let Some(root) = left.pop() {
            let Some(page) = self.page(root.page)? else { return Ok(false) };
            let end = match page.first() {
                Some(&LEAF) => leaf_ends(&page, widths).map(|ends| ends.1),
                Some(&BRANCH) => branch_end(&page, widths),
                _ => None,
            };
            let Some(used) = end.and_then(|end| page.get(..end)) else { return Ok(false) };
            if XxHash3_128::oneshot(used) != root.hash || pages == 0 {
                return Ok(false);
            }
            pages -= 1;
            if page.first() == Some(&LEAF) {
                leaf(&page);
            } else {
                left.extend(children(&page));
            }
        }
        Ok(true)
    }

    /// A page by its number; none where that is nowhere in the file.
    fn page(&self, number: u64) -> io::Result<Option<Vec<u8>>> {
        let order = number >> 59;
        let region = number >> 20 & 0xF_FFFF;
        let page = u64::from(self.number(PAGE_BYTES_AT));
        let header = u64::from(self.number(REGION_HEADER_PAGES_AT)) * page;
        let region_bytes = header + u64::from(self.number(REGION_PAGES_AT)) * page;
        if order > MOST_ORDER {
            return Ok(None);
        }
        let index = number & 0xF_FFFF >> order;
        let (bytes, before) = (page << order, page.checked_add(header));
        let start = region.checked_mul(region_bytes).zip(before).and_then(|(start, before)| {
            start.checked_add(before)?.checked_add(index.checked_mul(bytes)?)
        });
        let Some(start) = start.filter(|start| start.saturating_add(bytes) <= self.len) else {
            return Ok(None);
        };
        let mut out = vec![0; usize::try_from(bytes).unwrap_or(0)];
        self.backend.read(start, &mut out)?;
        Ok(Some(out))
    }

    fn number(&self, at: usize) -> u32 {
        u32_at(&self.header, at).unwrap_or(0)
    }
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..)?.first_chunk().copied()
}

fn u32_at(from: &[u8], at: usize) -> Option<u32> {
    bytes(from, at).map(u32::from_le_bytes)
}

fn usize_at(from: &[u8], at: usize) -> Option<usize> {
    u32_at(from, at).and_then(|number| usize::try_from(number).ok())
}

/// Pairs of a leaf, or keys of a branch.
fn count(page: &[u8]) -> Option<usize> {
    bytes(page, 2).map(|count| usize::from(u16::from_le_bytes(count))).filter(|count| *count > 0)
}

/// The root that stands there, where a byte elsewhere says that there is one.
fn root(from: &[u8], has_at: usize, at: usize) -> Option<Root> {
    from.get(has_at).filter(|has| **has != 0)?;
    let page = u64::from_le_bytes(bytes(from, at)?);
    let hash = u128::from_le_bytes(bytes(from, at + 8)?);
    Some(Root { page, hash })
}

/// Where the keys of a leaf end, and where its values do.
fn leaf_ends(page: &[u8], widths: Widths) -> Option<(usize, usize)> {
    let pairs = count(page)?;
    let key_ends = if widths.key.is_none() { 4 * pairs } else { 0 };
    let value_ends = if widths.value.is_none() { 4 * pairs } else { 0 };
    let keys = match widths.key {
        Some(width) => (4 + value_ends).checked_add(width.checked_mul(pairs)?)?,
        None => usize_at(page, key_ends)?,
    };
    let values = match widths.value {
        Some(width) => keys.checked_add(width.checked_mul(pairs)?)?,
        None => usize_at(page, key_ends + value_ends)?,
    };
    Some((keys, values))
}

/// Where the keys of a branch end, which are its last bytes.
fn branch_end(page: &[u8], widths: Widths) -> Option<usize> {
    let keys = count(page)?;
    let children = 8 + 24 * (keys + 1);
    match widths.key {
        Some(width) => children.checked_add(width.checked_mul(keys)?),
        None => usize_at(page, children + 4 * (keys - 1)),
    }
}

/// The pages below a branch.
fn children(page: &[u8]) -> impl Iterator<Item = Root> {
    let count = count(page).map_or(0, |keys| keys + 1);
    (0..count).filter_map(move |nth| {
        let hash = u128::from_le_bytes(bytes(page, 8 + 16 * nth)?);
        let page = u64::from_le_bytes(bytes(page, 8 + 16 * count + 8 * nth)?);
        Some(Root { page, hash })
    })
}

/// Name, root and widths of each table that a leaf of a list of them holds.
fn definitions(leaf: &[u8]) -> Vec<(String, Option<Root>, Widths)> {
    let Some((pairs, (keys_end, _))) = count(leaf).zip(leaf_ends(leaf, VARY)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let (mut key_at, mut value_at) = (4 + 8 * pairs, keys_end);
    for nth in 0..pairs {
        let ends = usize_at(leaf, 4 + 4 * nth).zip(usize_at(leaf, 4 + 4 * (pairs + nth)));
        let Some((key_end, value_end)) = ends else { break };
        let parts = leaf.get(key_at..key_end).zip(leaf.get(value_at..value_end));
        let Some((name, definition)) = parts else { break };
        let width = |at| {
            Some(*definition.get(at)? != 0).map(|is| usize_at(definition, at + 1).filter(|_| is))
        };
        let Some((key, value)) = width(KEY_AT).zip(width(VALUE_AT)) else { break };
        let root = root(definition, HAS_ROOT_AT, ROOT_AT);
        found.push((String::from_utf8_lossy(name).into_owned(), root, Widths { key, value }));
        (key_at, value_at) = (key_end, value_end);
    }
    found
}
