//! Numbers, names and envelopes as briefly as that goes, each in one form alone.

use crate::entry::{Envelope, Kind, Mask};
use crate::id::Id;

/// What an envelope has.
const HAS_PARENT: u8 = 1;
const HAS_TARGET: u8 = 2;
const HAS_ALIAS: u8 = 4;
const HAS_SLOT: u8 = 8;
const HAS_CALLS: u8 = 16;
const HAS_ANSWERS: u8 = 32;
const HAS_MASKS: u8 = 64;

/// An envelope alone.
#[cfg(feature = "conformance")]
pub(crate) fn packed_envelope(envelope: &Envelope) -> Vec<u8> {
    let mut out = Vec::new();
    put_envelope(&mut out, envelope, false);
    out
}

/// Without its parent where it follows that.
pub(super) fn put_envelope(out: &mut Vec<u8>, envelope: &Envelope, follows: bool) {
    let Envelope { kind, parent, at_ms, alias, calls, answers, slot, target, masks } = envelope;
    let parent = parent.as_ref().filter(|_| !follows);
    let has = [
        (HAS_PARENT, parent.is_some()),
        (HAS_TARGET, target.is_some()),
        (HAS_ALIAS, alias.is_some()),
        (HAS_SLOT, slot.is_some()),
        (HAS_CALLS, !calls.is_empty()),
        (HAS_ANSWERS, !answers.is_empty()),
        (HAS_MASKS, !masks.is_empty()),
    ];
    out.push(has.iter().filter(|(_, has)| *has).fold(0, |all, (bit, _)| all | bit));
    put_number(out, u64::from(kind.code()));
    put_number(out, zigzag(*at_ms));
    for id in [parent, target.as_ref()].into_iter().flatten() {
        out.extend(id.as_bytes());
    }
    for name in [alias, slot].into_iter().flatten() {
        put_name(out, name);
    }
    for calls in [calls, answers].into_iter().filter(|calls| !calls.is_empty()) {
        put_number(out, calls.len() as u64);
        for call in calls {
            put_name(out, call);
        }
    }
    if !masks.is_empty() {
        put_number(out, masks.len() as u64);
        for Mask { entry, saved_tokens } in masks {
            out.extend(entry.as_bytes());
            put_number(out, u64::from(*saved_tokens));
        }
    }
}

/// Seven bits to a byte, the lowest first, the eighth set in all but the last.
pub(super) fn put_number(out: &mut Vec<u8>, number: u64) {
    let mut rest = number;
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

pub(super) fn put_name(out: &mut Vec<u8>, name: &str) {
    put_number(out, name.len() as u64);
    out.extend(name.as_bytes());
}

/// Numbers of either sign as those without: small ones stay small.
fn zigzag(number: i64) -> u64 {
    (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Reads what [`packed_envelope`] made.
#[cfg(feature = "conformance")]
pub(crate) fn unpacked_envelope(bytes: &[u8]) -> Option<Envelope> {
    let mut reader = Reader { rest: bytes };
    read_envelope(&mut reader).filter(|_| reader.rest.is_empty())
}

pub(super) fn read_envelope(reader: &mut Reader<'_>) -> Option<Envelope> {
    let has = reader.u8()?;
    if has > HAS_MASKS | (HAS_MASKS - 1) {
        return None;
    }
    let kind = Kind::from_code(u16::try_from(reader.number()?).ok()?);
    let at_ms = unzigzag(reader.number()?);
    let has = |bit| has & bit != 0;
    // An absent one is `None` in it, a torn one of the whole.
    let id = |reader: &mut Reader<'_>, bit| -> Option<Option<Id>> {
        if has(bit) { reader.array().map(|id| Some(Id::from_bytes(id))) } else { Some(None) }
    };
    let (parent, target) = (id(reader, HAS_PARENT)?, id(reader, HAS_TARGET)?);
    let name = |reader: &mut Reader<'_>, bit| -> Option<Option<String>> {
        if has(bit) { reader.name().map(Some) } else { Some(None) }
    };
    let (alias, slot) = (name(reader, HAS_ALIAS)?, name(reader, HAS_SLOT)?);
    let names = |reader: &mut Reader<'_>, bit| -> Option<Vec<String>> {
        let count = if has(bit) { reader.count()? } else { 0 };
        (0..count).map(|_| reader.name()).collect()
    };
    let (calls, answers) = (names(reader, HAS_CALLS)?, names(reader, HAS_ANSWERS)?);
    let count = if has(HAS_MASKS) { reader.count()? } else { 0 };
    let mask = |_| {
        let entry = reader.array().map(Id::from_bytes)?;
        Some(Mask { entry, saved_tokens: u32::try_from(reader.number()?).ok()? })
    };
    let masks = (0..count).map(mask).collect::<Option<_>>()?;
    Some(Envelope { kind, parent, at_ms, alias, calls, answers, slot, target, masks })
}

/// Takes bytes from the front of others.
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// In its shortest form alone.
    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            number |= bits << shift;
            if number >> shift != bits {
                return None;
            }
            if byte < 0x80 {
                return (byte != 0 || shift == 0).then_some(number);
            }
        }
        None
    }

    pub(super) fn len(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    /// Of what is there: one at least.
    pub(super) fn count(&mut self) -> Option<usize> {
        self.len().filter(|count| *count > 0)
    }

    pub(super) fn len_and_bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.len()?;
        self.bytes(len)
    }

    pub(super) fn name(&mut self) -> Option<String> {
        String::from_utf8(self.len_and_bytes()?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_has_one_form(number: u64, bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut form = Vec::new();
            put_number(&mut form, number);
            let mut reader = Reader { rest: &form };
            prop_assert_eq!((reader.number(), reader.rest), (Some(number), &[][..]));
            let mut reader = Reader { rest: &bytes };
            if let Some(number) = reader.number() {
                let mut form = Vec::new();
                put_number(&mut form, number);
                prop_assert_eq!(form, &bytes[..bytes.len() - reader.rest.len()]);
            }
        }

        #[test]
        fn a_time_before_1970_is_one_too(at_ms: i64) {
            prop_assert_eq!(unzigzag(zigzag(at_ms)), at_ms);
        }
    }
}
