//! Compares a store with the model: sessions, branches, entries, journal, replay, contexts.

use treering_tree::{Context, Replay, Session, Sources, Store, Stored};

use super::model::Model;
use super::model_context::Shown;

/// How a store differs from what it should hold; `None` where it does not.
pub type Difference = Option<String>;

/// The first thing in which two values differ, named.
fn unlike<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Difference {
    (found != expected).then(|| format!("{what}: expected {expected:?}, found {found:?}"))
}

/// Compares everything that is stored: sessions, branches, entries in order, journal.
///
/// # Errors
/// Those of the store.
pub async fn stored(store: &dyn Store, model: &Model) -> treering_tree::Result<Difference> {
    let limit = treering_tree::limits::PAGE;
    let (mut names, mut found) = (Vec::new(), Vec::new());
    for info in store.sessions(None, limit).await? {
        for branch in store.branches(&info.name, None, limit).await? {
            found.push((info.name.clone(), branch.name, branch.head, branch.active));
        }
        names.push((info.number, info.name));
    }
    let branches = model.lines.iter().flat_map(|(name, line)| {
        line.branches.iter().map(|(branch, head)| {
            let active = *branch == line.active;
            (name.clone(), branch.clone(), *head, active)
        })
    });
    let expected: Vec<_> = branches.collect();
    if let Some(unlike) = unlike("branches", &found, &expected) {
        return Ok(Some(unlike));
    }
    let entries = store.scan(None, 0, limit).await?;
    let found: Vec<_> = entries.iter().map(|stored| stored.entry.id()).collect();
    let expected: Vec<_> = model.nodes.iter().map(|node| node.entry.id()).collect();
    if let Some(unlike) = unlike("entries", &found, &expected) {
        return Ok(Some(unlike));
    }
    let same = |(stored, node): (&Stored, &std::sync::Arc<super::model::Node>)| {
        if model.erased.contains(&node.entry.id()) {
            let (found, expected) = (stored.entry.envelope(), node.entry.envelope());
            return stored.entry.body().is_none() && found == expected;
        }
        *stored.entry == node.entry
    };
    if !entries.iter().zip(&model.nodes).all(same) {
        return Ok(Some("an entry reads otherwise than it was written".to_owned()));
    }
    let rows = store.journal(0, limit).await?;
    let found = rows.into_iter().map(|row| {
        let session = names.iter().find(|(number, _)| *number == row.session);
        let session = session.map(|(_, name)| name.clone()).unwrap_or_default();
        super::model::Row {
            session,
            reason: row.reason,
            added: row.entries,
            moves: row.moves,
            activated: row.activated,
        }
    });
    let found: Vec<_> = found.collect();
    let expected: Vec<_> = model.journal.iter().map(|row| (**row).clone()).collect();
    Ok(unlike("journal", &found, &expected))
}

/// The items of a context, as the model has them.
pub fn shown(context: &Context) -> Vec<Shown> {
    let items = context.items.iter();
    items.map(|item| (item.stored.entry.id(), item.source, item.form.clone())).collect()
}

/// Compares replay, context and head of every session.
///
/// # Errors
/// Those of the store.
pub async fn heads(
    store: &std::sync::Arc<dyn Store>,
    model: &Model,
) -> treering_tree::Result<Difference> {
    for name in model.lines.keys() {
        let session = Session::new(std::sync::Arc::clone(store), name, Sources::fixed(0));
        let head = session.head().await?;
        if let Some(unlike) = unlike("head", &head, &model.head(name)) {
            return Ok(Some(unlike));
        }
        let replay = Replay::new(std::sync::Arc::clone(store), head).collect().await?;
        let replay: Vec<_> = replay.iter().map(|stored| stored.entry.id()).collect();
        let path: Vec<_> = model.path(head).iter().map(|node| node.entry.id()).collect();
        if let Some(unlike) = unlike("replay", &replay, &path) {
            return Ok(Some(unlike));
        }
        let context = session.context().await?;
        let (expected, tokens) = model.context(head);
        let unlike = unlike("context", &shown(&context), &expected)
            .or_else(|| unlike("tokens", &context.tokens, &tokens));
        if let Some(unlike) = unlike {
            return Ok(Some(format!("{unlike}\n{}", drawn(model, head))));
        }
    }
    Ok(None)
}

/// The path to a head, one line per entry, for people who read a failure.
fn drawn(model: &Model, head: Option<treering_tree::Id>) -> String {
    let path = model.path(head);
    let line = |(at, node): (usize, &std::sync::Arc<super::model::Node>)| {
        let envelope = node.entry.envelope();
        let about = path
            .iter()
            .position(|node| Some(node.entry.id()) == envelope.target)
            .map_or(String::new(), |at| format!(" about {at}"));
        let (id, kind) = (node.entry.id().short(), envelope.kind);
        let (calls, answers, slot) = (&envelope.calls, &envelope.answers, &envelope.slot);
        format!("  {at} {id} {kind} calls {calls:?} answers {answers:?} slot {slot:?}{about}\n")
    };
    path.iter().enumerate().map(line).collect()
}
