//! Questions about ancestors in O(log n), by Myers' skew-binary jump pointers ("An applicative
//! random-access stack", 1983): each entry knows its parent and one ancestor further up, chosen so that
//! any depth is reached in at most about 2 log2(depth) steps.

use crate::error::{Error, Result};
use crate::id::Id;
use crate::place::{Number, Place};
use crate::store::Seek;

/// Where places are looked up.
pub(crate) trait Places {
    /// The place of an entry that must be there.
    fn place(&self, number: Number) -> Result<Place>;
}

/// The jump pointer of a child of `parent`.
pub(crate) fn jump_under(places: &impl Places, parent: &Place) -> Result<Number> {
    let near = jump_of(places, parent)?;
    let far = jump_of(places, &near)?;
    Ok(if parent.depth - near.depth == near.depth - far.depth {
        far.number
    } else {
        parent.number
    })
}

fn jump_of(places: &impl Places, place: &Place) -> Result<Place> {
    if place.jump == place.number {
        return Ok(place.clone());
    }
    let jump = places.place(place.jump)?;
    // A damaged pointer must not send the walk in circles.
    if jump.depth >= place.depth {
        return Err(Error::corrupt(
            "place",
            format!("jump of entry {} leads down", place.number),
        ));
    }
    Ok(jump)
}

/// The oldest ancestor-or-self of `from` of which `holds`, which must be false, then true, on the way
/// down from the root. `None` where it does not even hold of `from`.
fn oldest(
    places: &impl Places,
    from: &Place,
    holds: impl Fn(&Place) -> bool,
) -> Result<Option<Place>> {
    if !holds(from) {
        return Ok(None);
    }
    let mut at = from.clone();
    while let Some(parent) = at.parent {
        let jump = jump_of(places, &at)?;
        if jump.number != at.number && holds(&jump) {
            at = jump;
            continue;
        }
        let parent = places.place(parent)?;
        if parent.depth >= at.depth {
            return Err(Error::corrupt(
                "place",
                format!("parent of entry {} leads down", at.number),
            ));
        }
        if !holds(&parent) {
            break;
        }
        at = parent;
    }
    Ok(Some(at))
}

/// The ancestor-or-self of `from` at `depth`.
pub(crate) fn at_depth(places: &impl Places, from: &Place, depth: u64) -> Result<Option<Place>> {
    oldest(places, from, |place| place.depth >= depth)
        .map(|found| found.filter(|place| place.depth == depth))
}

/// Whether `ancestor` is an ancestor-or-self of `of`.
pub(crate) fn is_ancestor(places: &impl Places, ancestor: &Place, of: &Place) -> Result<bool> {
    let there = at_depth(places, of, ancestor.depth)?;
    Ok(there.is_some_and(|place| place.number == ancestor.number))
}

/// The deepest common ancestor-or-self.
fn common(places: &impl Places, one: &Place, other: &Place) -> Result<Option<Place>> {
    let depth = one.depth.min(other.depth);
    let (Some(mut one), Some(mut other)) = (
        at_depth(places, one, depth)?,
        at_depth(places, other, depth)?,
    ) else {
        return Ok(None);
    };
    while one.number != other.number {
        let (Some(one_up), Some(other_up)) = (one.parent, other.parent) else {
            return Ok(None);
        };
        let (one_jump, other_jump) = (jump_of(places, &one)?, jump_of(places, &other)?);
        // Equal depths have equal jump depths, so both leap or both step.
        if one_jump.number == other_jump.number || one_jump.depth == one.depth {
            (one, other) = (places.place(one_up)?, places.place(other_up)?);
        } else {
            (one, other) = (one_jump, other_jump);
        }
    }
    Ok(Some(one))
}

/// Answers one question about the ancestors of `of`.
pub(crate) fn seek(
    places: &impl Places,
    of: &Place,
    question: &Seek,
    resolve: impl Fn(&Id) -> Result<Place>,
) -> Result<Option<Place>> {
    match question {
        Seek::Depth(depth) => at_depth(places, of, *depth),
        Seek::Turn(0) => Ok(None),
        Seek::Turn(turn) => oldest(places, of, |place| place.turn >= *turn),
        Seek::TokensAtMost(tokens) => oldest(places, of, |place| {
            of.tokens_through - place.tokens_before() <= *tokens
        }),
        Seek::Entry(id) => {
            let entry = resolve(id)?;
            Ok(is_ancestor(places, &entry, of)?.then_some(entry))
        }
        Seek::Common(id) => common(places, of, &resolve(id)?),
    }
}
