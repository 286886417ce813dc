//! Questions about ancestors in O(log n), by Myers' skew-binary jump pointers ("An applicative
//! random-access stack", 1983): each entry knows its parent and one ancestor further up, chosen so that
//! any depth is reached in at most about 2 log2(depth) steps. As far as a path's numbers follow one another, which
//! is far where one session writes at a time, any depth is one step away.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::id::Id;
use crate::place::{Number, Place};
use crate::store::Seek;

/// Where places are looked up.
pub(crate) trait Places {
    /// The place of an entry that must be there.
    fn place(&self, number: Number) -> Result<Arc<Place>>;
}

/// The jump pointer of a child of `parent`. It looks up one place, or none: how far jumps lead is told by depths.
pub(crate) fn jump_under(places: &impl Places, parent: &Place) -> Result<Number> {
    let near = jump_levels(parent.depth);
    if near == 0 || near != jump_levels(parent.depth - near) {
        return Ok(parent.number);
    }
    Ok(jump_of(places, parent)?.map_or(parent.number, |near| near.jump))
}

/// How far up the jump of an entry at this depth leads: the last term of the depth as a sum of numbers `2^k - 1`,
/// each the largest that is left.
fn jump_levels(depth: u64) -> u64 {
    let (mut left, mut term) = (depth, 0);
    while left > 0 {
        let bits = left.saturating_add(1).ilog2();
        term = (1 << bits) - 1;
        left -= term;
    }
    term
}

/// The jump ancestor; `None` for a root.
fn jump_of(places: &impl Places, place: &Place) -> Result<Option<Arc<Place>>> {
    if place.jump == place.number {
        return Ok(None);
    }
    let jump = places.place(place.jump)?;
    // A damaged pointer must not send the walk in circles.
    if jump.depth >= place.depth {
        return Err(Error::corrupt("place", format!("jump of entry {} leads down", place.number)));
    }
    Ok(Some(jump))
}

/// The parent; `None` for a root.
fn parent_of(places: &impl Places, place: &Place) -> Result<Option<Arc<Place>>> {
    let Some(number) = place.parent else { return Ok(None) };
    let parent = places.place(number)?;
    if parent.depth >= place.depth {
        let detail = format!("parent of entry {} leads down", place.number);
        return Err(Error::corrupt("place", detail));
    }
    Ok(Some(parent))
}

/// The oldest ancestor-or-self of `from` of which `holds`, which must be false, then true, on the way
/// down from the root. `None` where it does not even hold of `from`.
fn oldest(
    places: &impl Places,
    from: &Arc<Place>,
    holds: impl Fn(&Place) -> bool,
) -> Result<Option<Arc<Place>>> {
    if !holds(from) {
        return Ok(None);
    }
    let mut at = Arc::clone(from);
    loop {
        if let Some(jump) = jump_of(places, &at)?
            && holds(&jump)
        {
            at = jump;
            continue;
        }
        match parent_of(places, &at)? {
            Some(parent) if holds(&parent) => at = parent,
            _ => return Ok(Some(at)),
        }
    }
}

/// The ancestor-or-self of `from` at `depth`.
pub(crate) fn at_depth(
    places: &impl Places,
    from: &Arc<Place>,
    depth: u64,
) -> Result<Option<Arc<Place>>> {
    let Some(up) = from.depth.checked_sub(depth) else { return Ok(None) };
    if up <= from.run
        && let Some(number) = from.number.checked_sub(up)
    {
        let there = places.place(number)?;
        if there.depth == depth {
            return Ok(Some(there));
        }
        let detail = format!("the run of entry {} leads elsewhere", from.number);
        return Err(Error::corrupt("place", detail));
    }
    oldest(places, from, |place| place.depth >= depth)
}

/// Whether `ancestor` is an ancestor-or-self of `of`.
pub(crate) fn is_ancestor(places: &impl Places, ancestor: &Place, of: &Arc<Place>) -> Result<bool> {
    let there = at_depth(places, of, ancestor.depth)?;
    Ok(there.is_some_and(|place| place.number == ancestor.number))
}

/// The deepest common ancestor-or-self.
fn common(
    places: &impl Places,
    one: &Arc<Place>,
    other: &Arc<Place>,
) -> Result<Option<Arc<Place>>> {
    let depth = one.depth.min(other.depth);
    let level = (at_depth(places, one, depth)?, at_depth(places, other, depth)?);
    let (Some(mut one), Some(mut other)) = level else { return Ok(None) };
    while one.number != other.number {
        // Equal depths have jumps of equal depth: where these differ, all between differ too.
        let jumps = (jump_of(places, &one)?, jump_of(places, &other)?);
        let up = match jumps {
            (Some(one), Some(other)) if one.number != other.number => (Some(one), Some(other)),
            _ => (parent_of(places, &one)?, parent_of(places, &other)?),
        };
        let (Some(one_up), Some(other_up)) = up else { return Ok(None) };
        (one, other) = (one_up, other_up);
    }
    Ok(Some(one))
}

/// Answers one question about the ancestors of `of`.
pub(crate) fn seek(
    places: &impl Places,
    of: &Arc<Place>,
    question: &Seek,
    resolve: impl Fn(&Id) -> Result<Arc<Place>>,
) -> Result<Option<Arc<Place>>> {
    match question {
        Seek::Depth(depth) => at_depth(places, of, *depth),
        Seek::Turn(0) => Ok(None),
        Seek::Turn(turn) => oldest(places, of, |place| place.turn >= *turn),
        Seek::TokensAtMost(tokens) => {
            oldest(places, of, |place| of.tokens_through - place.tokens_before() <= *tokens)
        }
        Seek::Entry(id) => {
            let entry = resolve(id)?;
            Ok(is_ancestor(places, &entry, of)?.then_some(entry))
        }
        Seek::Common(id) => common(places, of, &resolve(id)?),
    }
}

#[cfg(test)]
mod tests;
