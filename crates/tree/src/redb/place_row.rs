//! A place as the store keeps it: other entries by how far above they are, which for most is a byte where their
//! numbers would be four.

use serde::{Deserialize, Serialize};

use crate::counted::Counter;
use crate::encode;
use crate::entry::Kind;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::place::{Cut, Number, OpenCall, Place};

/// How far above an entry is: 0 is none, 1 the entry itself, 2 the one before it.
type Above = u64;

#[derive(Serialize, Deserialize)]
struct Row {
    /// The lower bytes of the number: what recovery finds among raw bytes is asked for them.
    number: [u8; 2],
    id: Id,
    parent: Above,
    session: u64,
    previous_in_session: Above,
    alias: Option<[u8; 8]>,
    kind: Kind,
    depth: u64,
    /// Entries above it that are none of its run.
    above_run: u64,
    jump: Above,
    turn: u64,
    tokens: u32,
    tokens_through: u64,
    counter: Counter,
    counted_from: u64,
    compaction: Above,
    pins: Above,
    open: Vec<([u8; 8], Above)>,
    cut: Option<Cut>,
}

fn lower(number: Number) -> [u8; 2] {
    let [first, second, ..] = number.to_le_bytes();
    [first, second]
}

/// Encodes the row of a place in place of what is there.
pub(super) fn pack_into(row: &mut Vec<u8>, place: &Place) -> Result<()> {
    let above = |number: Number| place.number.saturating_sub(number) + 1;
    let maybe = |number: Option<Number>| number.map_or(0, above);
    let packed = Row {
        number: lower(place.number),
        id: place.id,
        parent: maybe(place.parent),
        session: place.session,
        previous_in_session: maybe(place.previous_in_session),
        alias: place.alias.map(u64::to_le_bytes),
        kind: place.kind,
        depth: place.depth,
        above_run: place.depth.saturating_sub(place.run),
        jump: above(place.jump),
        turn: place.turn,
        tokens: place.tokens,
        tokens_through: place.tokens_through,
        counter: place.counter,
        counted_from: place.counted_from,
        compaction: maybe(place.compaction),
        pins: maybe(place.pins),
        open: place.open.iter().map(|open| (open.call.to_le_bytes(), above(open.by))).collect(),
        cut: place.cut.clone(),
    };
    encode::pack_into(row, &packed)
}

/// The row of a place.
#[cfg(test)]
pub(super) fn pack(place: &Place) -> Result<Vec<u8>> {
    let mut row = Vec::new();
    pack_into(&mut row, place)?;
    Ok(row)
}

/// The place in a row.
pub(super) fn unpack(number: Number, bytes: &[u8]) -> Result<Place> {
    let row: Row = encode::unpack("place", bytes)?;
    if row.number != lower(number) {
        return Err(Error::corrupt("place", format!("{number} holds another")));
    }
    // Walks follow these pointers: damage must not send one in circles.
    let maybe = |above: Above| {
        let beyond = || Error::corrupt("place", format!("{number} points beyond the first"));
        above.checked_sub(1).map(|up| number.checked_sub(up).ok_or_else(beyond)).transpose()
    };
    let below = |what| Error::corrupt("place", format!("{number} has no {what} above it"));
    let parent = maybe(row.parent)?;
    if parent == Some(number) {
        return Err(below("parent"));
    }
    let open = |(call, above)| {
        let by = maybe(above)?.ok_or_else(|| below("call"))?;
        Ok(OpenCall { call: u64::from_le_bytes(call), by })
    };
    Ok(Place {
        number,
        id: row.id,
        parent,
        session: row.session,
        previous_in_session: maybe(row.previous_in_session)?,
        alias: row.alias.map(u64::from_le_bytes),
        kind: row.kind,
        depth: row.depth,
        run: row.depth.checked_sub(row.above_run).ok_or_else(|| below("run"))?,
        jump: maybe(row.jump)?.ok_or_else(|| below("jump"))?,
        turn: row.turn,
        tokens: row.tokens,
        tokens_through: row.tokens_through,
        counter: row.counter,
        counted_from: row.counted_from,
        compaction: maybe(row.compaction)?,
        pins: maybe(row.pins)?,
        open: row.open.into_iter().map(open).collect::<Result<_>>()?,
        cut: row.cut,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::place::Active;

    prop_compose! {
        fn places()(
            number in 1_u64..1 << 40,
            ups in prop::array::uniform6(prop_oneof![0_u64..3, 0_u64..1 << 40]),
            there in prop::array::uniform5(any::<bool>()),
            depth in 0_u64..1 << 30,
            numbers in prop::array::uniform4(any::<u32>()),
            id: [u8; 32],
            alias: Option<u64>,
            calls in prop::collection::vec((any::<u64>(), 0_u64..9), 0..4),
        ) -> Place {
            let at = |nth: usize| number.saturating_sub(ups[nth]);
            let maybe = |nth: usize| there[nth].then(|| at(nth));
            let cut = Cut {
                first_kept: at(5),
                first_kept_depth: depth,
                covered_tokens: number,
                covered_turns: 3,
                active: vec![Active { entry: at(0), slot: alias }],
                lifted: vec![at(1)],
                lifted_tokens: 7,
            };
            Place {
                number,
                id: Id::from_bytes(id),
                parent: maybe(0).filter(|parent| *parent < number),
                session: u64::from(numbers[0]),
                previous_in_session: maybe(1),
                alias,
                kind: Kind::User,
                depth,
                run: depth / 2,
                jump: at(2),
                turn: u64::from(numbers[1]),
                tokens: numbers[2],
                tokens_through: number,
                counter: Counter::UNNAMED,
                counted_from: u64::from(numbers[3]),
                compaction: maybe(3),
                pins: maybe(4),
                open: calls
                    .into_iter()
                    .map(|(call, up)| OpenCall { call, by: number.saturating_sub(up) })
                    .collect(),
                cut: there[0].then_some(cut),
            }
        }
    }

    proptest! {
        #[test]
        fn a_place_is_what_was_packed_and_no_other_ones(place in places()) {
            let row = pack(&place).unwrap();
            prop_assert_eq!(&unpack(place.number, &row).unwrap(), &place);
            prop_assert!(unpack(place.number + 1, &row).is_err());
        }

        #[test]
        fn no_bytes_lead_down_or_in_circles(
            number in 0_u64..300,
            mut bytes in prop::collection::vec(0_u8..4, 60..90),
        ) {
            bytes[..2].copy_from_slice(&lower(number));
            if let Ok(place) = unpack(number, &bytes) {
                prop_assert!(place.parent.is_none_or(|parent| parent < number));
                prop_assert!(place.jump <= number && place.run <= place.depth);
                prop_assert!(place.compaction.max(place.pins) <= Some(number));
            }
        }
    }
}
