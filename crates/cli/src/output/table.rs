//! Aligned columns. A table prints page by page, so that a long list streams.

use std::io;

use owo_colors::Style;

use super::text;
use super::{Out, style};

const GAP: usize = 2;

/// One column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    style: Style,
    right: bool,
    /// Columns it takes at least, so that pages printed apart line up.
    min: usize,
}

impl Column {
    pub(crate) const fn left(title: &'static str, style: Style) -> Self {
        Self { title, style, right: false, min: title.len() }
    }

    pub(crate) const fn right(title: &'static str, style: Style) -> Self {
        Self { title, style, right: true, min: title.len() }
    }

    pub(crate) const fn at_least(self, min: usize) -> Self {
        let min = if min > self.title.len() { min } else { self.title.len() };
        Self { min, ..self }
    }
}

/// Rows under titles; the last column takes what is left of the width.
pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    titled: bool,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [Column; N]) -> Self {
        Self { columns, titled: false }
    }

    /// Prints rows, the titles before the first ones. Cells hold foreign text as it came.
    pub(crate) fn print(&mut self, out: &mut Out, rows: &[[String; N]]) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        // The last column is cut to the width anyway: only there may a cell be of any length.
        let widths = self.widths(out, rows);
        if !std::mem::replace(&mut self.titled, true) {
            let titles = self.columns.map(|column| column.title.to_owned());
            self.row(out, &widths, &titles, |_| style::DIM)?;
        }
        let styles = self.columns.map(|column| column.style);
        rows.iter().try_for_each(|row| self.row(out, &widths, row, |at| styles[at]))
    }

    fn widths(&self, out: &Out, rows: &[[String; N]]) -> [usize; N] {
        let mut widths = self.columns.map(|column| column.min);
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row).take(N - 1) {
                *width = text::width(&out.clipped(cell, out.width() / 2)).max(*width);
            }
        }
        let before = widths.iter().take(N - 1).map(|width| width + GAP).sum::<usize>();
        let longest = rows.iter().map(|row| text::width(&out.clipped(&row[N - 1], out.width())));
        let longest = longest.max().unwrap_or(0).max(widths[N - 1]);
        widths[N - 1] =
            longest.min(out.width().saturating_sub(before)).max(self.columns[N - 1].min);
        widths
    }

    fn row(
        &self,
        out: &mut Out,
        widths: &[usize; N],
        cells: &[String; N],
        style: impl Fn(usize) -> Style,
    ) -> io::Result<()> {
        let mut line = String::new();
        for (at, cell) in cells.iter().enumerate() {
            let shown = out.clipped(cell, widths[at]);
            let padding = " ".repeat(widths[at].saturating_sub(text::width(&shown)));
            let shown = out.paint(&shown, style(at));
            if at > 0 {
                line.extend(std::iter::repeat_n(' ', GAP));
            }
            if self.columns[at].right {
                line.extend([padding, shown]);
            } else {
                line.extend([shown, padding]);
            }
        }
        out.line(line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_the_last_one_takes_what_is_left() {
        let row = |name: &str, tokens: &str| {
            [name.to_owned(), tokens.to_owned(), format!("{name}\n{}", "word ".repeat(9))]
        };
        let written = Out::written(40, |out| {
            let mut table = Table::new([
                Column::left("name", style::BOLD),
                Column::right("tokens", style::PLAIN),
                Column::left("text", style::PLAIN).at_least(8),
            ]);
            table.print(out, &[row("a", "1"), row("\u{6f22}\u{5b57}x", "1,234,567")])?;
            table.print(out, &[row("later", "5")])
        });
        let expected = "\
name      tokens  text
a              1  a word word word word\u{2026}
\u{6f22}\u{5b57}x  1,234,567  \u{6f22}\u{5b57}x word word word\u{2026}
later       5  later word word word wor\u{2026}
";
        assert_eq!(written, expected);
    }

    #[test]
    fn no_rows_print_no_titles() {
        let mut table = Table::new([Column::left("name", style::BOLD)]);
        assert_eq!(Out::written(40, |out| table.print(out, &[])), "");
    }
}
