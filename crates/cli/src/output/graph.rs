//! Draws folded runs as a graph, newest at the top, two lines each at most.

use std::io;

use renderdag::{Ancestor, BoxDrawingRenderer, GraphRowRenderer, Renderer};
use treering_tree::Kind;

use super::text::{count, counted};
use super::{Out, style};
use crate::fold::{Run, drawing_order};

/// Columns kept for text however wide the graph gets.
const MIN_TEXT: usize = 24;
const HEAD: &str = "@";
const ENTRY: &str = "\u{25cb}";
const COMPACTION: &str = "\u{25c6}";

/// What is written beside a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caption {
    /// Whether the active head is its last entry.
    pub(crate) is_active: bool,
    /// Branches bound to its last entry.
    pub(crate) branches: Vec<String>,
    /// Labels of its last entry.
    pub(crate) labels: Vec<String>,
    /// Text of the entry it is about.
    pub(crate) text: String,
}

/// Draws the topmost `most` of `runs`, one caption each.
pub(crate) fn draw(
    out: &mut Out,
    runs: &[Run],
    captions: &[Caption],
    most: usize,
) -> io::Result<()> {
    let active = captions.iter().position(|caption| caption.is_active);
    let mut is_leaf = vec![true; runs.len()];
    for parent in runs.iter().filter_map(|run| run.parent) {
        is_leaf[parent] = false;
    }
    let mut renderer: BoxDrawingRenderer<usize, _> =
        GraphRowRenderer::new().output().with_min_row_height(1).build_box_drawing();
    for at in drawing_order(runs, active).into_iter().take(most) {
        let (run, caption) = (&runs[at], &captions[at]);
        let parents = || run.parent.map(Ancestor::Parent).into_iter().collect::<Vec<_>>();
        let graph = renderer.width(Some(&at), Some(&parents()));
        let graph = usize::try_from(graph).unwrap_or(usize::MAX);
        let columns = out.width().saturating_sub(graph.saturating_add(1)).max(MIN_TEXT);
        let (glyph, style) = match run.last.kind {
            _ if caption.is_active => (HEAD, style::BRANCH),
            Kind::Compaction => (COMPACTION, style::SUMMARY),
            _ => (ENTRY, style::PLAIN),
        };
        let left = is_leaf[at] && caption.branches.is_empty();
        let message = message(out, run, caption, left, columns);
        let row = renderer.next_row(at, parents(), out.paint(glyph, style), message);
        out.line(row.trim_end_matches('\n'))?;
    }
    Ok(())
}

/// `left`: no branch holds the end of the run, as after a rewind.
fn message(out: &Out, run: &Run, caption: &Caption, left: bool, columns: usize) -> String {
    let id = out.paint(&run.last.id.short(), style::ID);
    let names =
        caption.branches.iter().map(|name| out.paint(&out.clipped(name, columns), style::BRANCH));
    let labels = caption
        .labels
        .iter()
        .map(|name| out.paint(&format!("\"{}\"", out.clipped(name, columns)), style::LABEL));
    let left = if left { "  (left)" } else { "" };
    let facts = out.paint(&format!("{}{left}", facts(run)), style::DIM);
    let first = std::iter::once(id).chain(names).chain(labels).chain([facts]);
    let first = first.collect::<Vec<_>>().join("  ");
    let speaker = format!("{}: ", run.about.kind);
    let text = out.clipped(&caption.text, columns.saturating_sub(speaker.len()));
    if text.is_empty() {
        first
    } else {
        format!("{first}\n{}{text}", out.paint(&speaker, style::DIM))
    }
}

fn facts(run: &Run) -> String {
    if let Some((entries, turns)) = run.last.covers {
        let entries = counted(entries, "entry", "entries");
        let turns = counted(turns, "turn", "turns");
        return format!(
            "covers {entries}, {turns}; summary of {} tokens",
            count(u64::from(run.last.tokens))
        );
    }
    let entries = counted(run.entries, "entry", "entries");
    let tokens = counted(run.tokens, "token", "tokens");
    match (run.first.turn.max(1), run.last.turn) {
        (_, 0) => format!("{entries}  {tokens}"),
        (first, last) if first >= last => format!("{entries}  turn {last}  {tokens}"),
        (first, last) => format!("{entries}  turns {first}-{last}  {tokens}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::{Node, runs, tests::node};

    #[test]
    fn forks_join_their_parent_and_names_stand_beside_their_entry() {
        let mut compaction = node(3, Some(2), Kind::Compaction);
        compaction.covers = Some((2, 1));
        let nodes = [
            node(0, None, Kind::SystemPrompt),
            node(1, Some(0), Kind::User),
            node(2, Some(1), Kind::Assistant),
            compaction,
            node(4, Some(3), Kind::User),
            node(5, Some(1), Kind::Assistant),
        ];
        let runs = runs(&nodes, |node| node.number == 4);
        let caption = |at: usize| Caption {
            is_active: runs[at].last.number == 4,
            branches: if runs[at].last.number == 4 { vec!["main".into()] } else { vec![] },
            labels: if at == 0 { vec!["start \u{1b}".into()] } else { vec![] },
            text: format!("text {at}"),
        };
        let captions: Vec<Caption> = (0..runs.len()).map(caption).collect();
        let drawn = Out::written(60, |out| draw(out, &runs, &captions, usize::MAX));
        let expected = "\
@  040404040404  main  1 entry  turn 1  10 tokens
\u{2502}  user: text 3
\u{25c6}  030303030303  covers 2 entries, 1 turn; summary of 10 tokens
\u{2502}  compaction: text 2
\u{25cb}  020202020202  1 entry  turn 1  10 tokens
\u{2502}  assistant: text 1
\u{2502} \u{25cb}  050505050505  1 entry  turn 1  10 tokens  (left)
\u{251c}\u{2500}\u{256f}  assistant: text 4
\u{25cb}  010101010101  \"start \\u{1b}\"  2 entries  turn 1  20 tokens
   user: text 0
";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn however_wide_the_graph_every_line_keeps_room_for_text() {
        let mut nodes: Vec<Node> = vec![node(0, None, Kind::User)];
        nodes.extend((1..120).map(|number| node(number, Some(number / 2), Kind::User)));
        let runs = runs(&nodes, |_| false);
        let captions =
            vec![Caption { text: "word ".repeat(100), ..Caption::default() }; runs.len()];
        let drawn = Out::written(80, |out| draw(out, &runs, &captions, usize::MAX));
        assert_eq!(drawn.matches("user: word").count(), runs.len());
    }
}
