//! Places of small paths, each against the rule it stands for.

use std::collections::HashMap;

use super::*;
use crate::entry::{Entry, Nonce};
use crate::message::{Message, Role};

/// Entries in memory, each under any other.
#[derive(Default)]
struct Wood {
    places: Vec<Arc<Place>>,
    envelopes: Vec<Envelope>,
    numbers: HashMap<Id, Number>,
}

impl Places for Wood {
    fn place(&self, number: Number) -> Result<Arc<Place>> {
        Ok(Arc::clone(&self.places[usize::try_from(number).unwrap()]))
    }
}

impl Above for Wood {
    fn envelope(&self, number: Number) -> Result<Envelope> {
        Ok(self.envelopes[usize::try_from(number).unwrap()].clone())
    }

    fn number_of(&self, id: &Id) -> Result<Number> {
        let found = self.numbers.get(id).copied();
        found.ok_or_else(|| Error::NotFound { what: "entry", name: id.to_string() })
    }
}

/// What an entry is under, and what else it is beside its kind.
type Say<'a> = &'a dyn Fn(&mut Envelope);

impl Wood {
    fn try_put(
        &mut self,
        parent: Option<Number>,
        kind: Kind,
        size: Counted,
        say: Say<'_>,
    ) -> Result<Number> {
        let number = self.places.len() as Number;
        let parent = parent.map(|parent| self.place(parent)).transpose()?;
        let mut envelope = Envelope::new(kind, 0);
        envelope.parent = parent.as_ref().map(|parent| parent.id);
        say(&mut envelope);
        let body = Message::text(Role::User, number.to_string()).body();
        let id = Entry::new(envelope.clone(), Nonce([0; 16]), body).id();
        let target = envelope.target.filter(|_| needs_target(kind));
        let target =
            target.map(|id| self.number_of(&id).and_then(|at| self.place(at))).transpose()?;
        let facts = Facts {
            number,
            id,
            session: 0,
            previous_in_session: None,
            tree: 0,
            envelope: &envelope,
            size,
            target,
        };
        let place = place(self, parent.as_ref(), &facts)?;
        self.places.push(Arc::new(place));
        self.envelopes.push(envelope);
        self.numbers.insert(id, number);
        Ok(number)
    }

    /// An entry of ten tokens under the newest.
    fn put(&mut self, kind: Kind, say: Say<'_>) -> Number {
        let parent = self.places.len().checked_sub(1).map(|at| at as Number);
        self.try_put(parent, kind, 10.into(), say).unwrap()
    }

    fn at(&self, number: Number) -> Arc<Place> {
        self.place(number).unwrap()
    }

    fn id(&self, number: Number) -> Id {
        self.at(number).id
    }

    fn calls(&mut self, calls: &[&str]) -> Number {
        self.put(Kind::Assistant, &|it| it.calls = owned(calls))
    }

    fn answers(&mut self, answers: &[&str]) -> Number {
        self.put(Kind::ToolResult, &|it| it.answers = owned(answers))
    }

    fn about(&mut self, kind: Kind, target: Number) -> Number {
        let target = self.id(target);
        self.put(kind, &|it| it.target = Some(target))
    }

    fn prompt(&mut self, slot: &str) -> Number {
        self.put(Kind::SystemPrompt, &|it| it.slot = Some(slot.to_owned()))
    }

    fn cut(&self, number: Number) -> Cut {
        self.at(number).cut.clone().unwrap()
    }

    fn active(&self, compaction: Number) -> Vec<Number> {
        self.cut(compaction).active.iter().map(|active| active.entry).collect()
    }

    /// What a compaction that keeps from there and masks these says of it.
    fn mask(&mut self, first_kept: Number, masks: &[(Number, u32)]) -> Result<Cut> {
        let parent = self.places.len() as Number - 1;
        let target = self.id(first_kept);
        let masks: Vec<Mask> = masks
            .iter()
            .map(|(at, saved_tokens)| Mask { entry: self.id(*at), saved_tokens: *saved_tokens })
            .collect();
        let number = self.try_put(Some(parent), Kind::Compaction, 10.into(), &|it| {
            (it.target, it.masks) = (Some(target), masks.clone());
        })?;
        let cut = self.cut(number);
        self.places.pop();
        self.envelopes.pop();
        Ok(cut)
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_newest_counter_named_holds_from_the_depth_where_another_ended() {
    let [a, b] = ["a", "b"].map(Counter::named);
    let mut wood = Wood::default();
    let steps = [
        (Counter::UNNAMED, (Counter::UNNAMED, 0)),
        (a, (a, 0)),
        (Counter::UNNAMED, (a, 0)),
        (a, (a, 0)),
        (b, (b, 4)),
        (Counter::UNNAMED, (b, 4)),
        (b, (b, 4)),
        (a, (a, 7)),
    ];
    for (depth, (counter, expected)) in steps.into_iter().enumerate() {
        let parent = depth.checked_sub(1).map(|above| above as Number);
        let size = Counted { tokens: 3, counter };
        let number = wood.try_put(parent, Kind::Note, size, &|_| ()).unwrap();
        let place = wood.at(number);
        assert_eq!((place.counter, place.counted_from), expected, "depth {depth}");
        assert_eq!(place.tokens_through, 3 * (place.depth + 1));
    }
}

#[test]
fn a_result_closes_the_calls_it_names_and_a_user_all_of_them() {
    let mut wood = Wood::default();
    wood.put(Kind::User, &|_| ());
    let caller = wood.calls(&["one", "two", "three"]);
    let open = |wood: &Wood, at: Number| {
        wood.at(at).open.iter().map(|open| (open.call, open.by)).collect::<Vec<_>>()
    };
    let of = |calls: &[&str]| calls.iter().map(|it| (call_hash(it), caller)).collect::<Vec<_>>();
    assert_eq!(open(&wood, caller), of(&["one", "two", "three"]));
    let at = wood.answers(&["two", "unheard of"]);
    assert_eq!(open(&wood, at), of(&["one", "three"]));
    let again = wood.calls(&["one"]);
    // Of two calls of one name the newest is answered first.
    let at = wood.answers(&["one"]);
    assert_eq!(open(&wood, at), of(&["one", "three"]));
    assert_ne!(again, caller);
    let at = wood.put(Kind::User, &|_| ());
    assert_eq!(open(&wood, at), []);
}

#[test]
fn what_is_masked_is_kept_has_something_to_mask_and_is_not_pinned() {
    let mut wood = Wood::default();
    wood.put(Kind::User, &|_| ());
    let covered = wood.calls(&["a"]);
    wood.answers(&["a"]);
    let first = wood.put(Kind::User, &|_| ());
    let caller = wood.calls(&["b", "c"]);
    let result = wood.answers(&["b"]);
    let pinned = wood.answers(&["c"]);
    let late = wood.answers(&["c"]);
    let said = wood.put(Kind::Assistant, &|_| ());
    let elsewhere = wood
        .try_put(Some(first), Kind::Assistant, 10.into(), &|it| it.calls = owned(&["d"]))
        .unwrap();
    let head = wood
        .try_put(Some(said), Kind::Pin, 10.into(), &{
            let target = wood.id(pinned);
            move |it: &mut Envelope| it.target = Some(target)
        })
        .unwrap();
    assert_eq!(head, wood.places.len() as Number - 1);
    let plain = wood.mask(first, &[]).unwrap();
    assert_eq!((plain.covered_tokens, plain.covered_turns, plain.first_kept_depth), (30, 1, 3));
    let masked = wood.mask(first, &[(caller, 4), (result, 11)]).unwrap();
    assert_eq!(masked.covered_tokens, 30 + 4 + 10, "no mask saves more than there is");
    for (at, why) in [
        (covered, "is not kept"),
        (elsewhere, "is not kept"),
        (first, "has no tool call"),
        (late, "has no tool call"),
        (said, "has no tool call"),
        (pinned, "is pinned"),
    ] {
        let error = wood.mask(first, &[(at, 1)]).unwrap_err().to_string();
        assert!(error.contains(why), "{at}: {error}");
    }
    let twice = wood.mask(first, &[(result, 1), (result, 1)]).unwrap_err().to_string();
    assert!(twice.contains("masked twice"), "{twice}");
}

#[test]
fn pins_and_prompts_are_carried_over_compactions_and_change_where_they_are_changed() {
    let mut wood = Wood::default();
    let (rules, tools) = (wood.prompt("rules"), wood.prompt("tools"));
    let ask = wood.put(Kind::User, &|_| ());
    let note = wood.put(Kind::Note, &|_| ());
    wood.about(Kind::Pin, ask);
    wood.about(Kind::Pin, note);
    wood.about(Kind::Pin, note);
    let next = wood.put(Kind::User, &|_| ());
    let first = wood.about(Kind::Compaction, next);
    assert_eq!(wood.active(first), [rules, tools, ask, note]);
    // A pin right before a compaction is not taken twice, one right behind it is not lost.
    wood.about(Kind::Unpin, ask);
    let newer = wood.prompt("rules");
    let last = wood.put(Kind::User, &|_| ());
    let second = wood.about(Kind::Compaction, last);
    assert_eq!(wood.active(second), [tools, note, newer]);
    let third = {
        wood.about(Kind::Unpin, note);
        let end = wood.put(Kind::User, &|_| ());
        wood.about(Kind::Compaction, end)
    };
    assert_eq!(wood.active(third), [tools, newer]);
    let cut = wood.cut(third);
    assert_eq!((cut.lifted, cut.lifted_tokens), (vec![tools, newer], 20));
}

#[test]
fn what_is_lifted_comes_with_the_rest_of_its_call_group() {
    let mut wood = Wood::default();
    wood.put(Kind::User, &|_| ());
    let one = wood.calls(&["a", "b"]);
    let two = wood.calls(&["c"]);
    let a = wood.answers(&["a"]);
    let alone = wood.put(Kind::Note, &|_| ());
    let both = wood.answers(&["b", "c"]);
    let record = wood.put(Kind::Record, &|_| ());
    let other = wood.calls(&["d"]);
    let _ = wood.answers(&["d"]);
    wood.about(Kind::Pin, a);
    wood.about(Kind::Pin, record);
    let kept = wood.put(Kind::User, &|_| ());
    wood.about(Kind::Pin, kept);
    let cut = wood.about(Kind::Compaction, kept);
    assert_eq!(wood.active(cut), [a, record, kept]);
    let cut = wood.cut(cut);
    assert_eq!(cut.lifted, [one, two, a, both], "not {alone}, {record}, {other}");
    assert_eq!(cut.lifted_tokens, 40);
}

#[test]
fn a_pin_of_a_result_lifts_the_call_it_answers_and_no_other_open_one() {
    let mut wood = Wood::default();
    wood.put(Kind::User, &|_| ());
    let open = wood.calls(&["a"]);
    let caller = wood.calls(&["b"]);
    let result = wood.answers(&["b"]);
    wood.answers(&["a"]);
    wood.about(Kind::Pin, result);
    let kept = wood.put(Kind::User, &|_| ());
    let cut = wood.about(Kind::Compaction, kept);
    assert_eq!(wood.cut(cut).lifted, [caller, result], "not {open}");
}

#[test]
fn who_interrupts_a_call_is_no_part_of_its_group() {
    let mut wood = Wood::default();
    wood.put(Kind::User, &|_| ());
    let caller = wood.calls(&["a"]);
    let user = wood.put(Kind::User, &|_| ());
    for (pinned, other) in [(user, caller), (caller, user)] {
        wood.about(Kind::Pin, pinned);
        let kept = wood.put(Kind::User, &|_| ());
        let cut = wood.about(Kind::Compaction, kept);
        assert_eq!(wood.cut(cut).lifted, [pinned], "without {other}");
        wood.about(Kind::Unpin, pinned);
    }
}

#[test]
fn a_mask_of_what_went_with_the_lost_part_of_a_path_is_passed_over() {
    let gone = Mask { entry: Id::from_bytes([9; 32]), saved_tokens: 7 };
    for (root, saved) in [(Kind::Lost, Some(4)), (Kind::User, None)] {
        let mut wood = Wood::default();
        wood.put(root, &|_| ());
        let first = wood.put(Kind::User, &|_| ());
        let caller = wood.calls(&["a"]);
        let result = wood.answers(&["a"]);
        let target = Some(wood.id(first));
        let masks = vec![gone, Mask { entry: wood.id(caller), saved_tokens: 4 }];
        let landed = wood.try_put(Some(result), Kind::Compaction, 10.into(), &|it| {
            (it.target, it.masks) = (target, masks.clone());
        });
        assert_eq!(landed.ok().map(|at| wood.cut(at).covered_tokens), saved, "under {root}");
    }
}

#[test]
fn a_cut_goes_on_and_parts_no_call_from_its_result() {
    let mut wood = Wood::default();
    let first = wood.put(Kind::User, &|_| ());
    let second = wood.put(Kind::User, &|_| ());
    wood.calls(&["a", "b"]);
    let result = wood.answers(&["a"]);
    let parted = wood.mask(result, &[]).unwrap_err().to_string();
    assert!(parted.contains("part a tool call"), "{parted}");
    let parent = wood.at(result);
    let none = cut(&wood, Some(&parent), 9, None).unwrap_err().to_string();
    assert!(none.contains("while a tool call is open"), "{none}");
    wood.answers(&["b"]);
    let landed = wood.about(Kind::Compaction, second);
    for at in [first, second] {
        assert!(
            matches!(wood.mask(at, &[]), Err(Error::Superseded { by }) if by == wood.id(landed))
        );
    }
    let end = cut(&wood, Some(&wood.at(landed)), 9, None).unwrap();
    let covers = (end.first_kept, end.first_kept_depth, end.covered_tokens, end.covered_turns);
    assert_eq!(covers, (9, 6, 50, 2), "nothing is kept");
}

#[test]
fn an_alias_is_found_in_its_own_tree() {
    assert_eq!(alias_hash(1, "x"), alias_hash(1, "x"));
    assert_ne!(alias_hash(1, "x"), alias_hash(2, "x"));
    assert_ne!(alias_hash(1, "x"), alias_hash(1, "y"));
}
