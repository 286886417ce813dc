//! `config`: every setting, its value, and who made it. Opens no store and shows no key.

use serde::Serialize;

use crate::app::App;
use crate::config::{Flags, RULES, SUMMARY};
use crate::failure::Result;
use crate::output::style;
use crate::output::table::{Column, Table};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    rules: Flags<RULES>,
    #[command(flatten)]
    summary: Flags<SUMMARY>,
}

#[derive(Serialize)]
struct Row {
    key: &'static str,
    /// Null where nobody set it and there is no default.
    value: Option<String>,
    source: &'static str,
    /// The variable, or the line of the file.
    place: Option<String>,
    /// The variable that sets it.
    variable: String,
}

pub(crate) fn run(app: &mut App, args: &Args) -> Result<()> {
    let config = app.config.under(&args.rules).under(&args.summary);
    let row = |(key, value, source): (crate::config::Key, _, crate::config::Source)| Row {
        key: key.name(),
        value,
        source: source.name(),
        place: source.place(),
        variable: key.variable(),
    };
    let rows: Vec<Row> = config.all().map(row).collect();
    if app.out.json() {
        return Ok(rows.iter().try_for_each(|row| app.out.object(row))?);
    }
    let cells = |row: &Row| {
        let source = match &row.place {
            Some(place) => format!("{} {place}", row.source),
            None => row.source.to_owned(),
        };
        [row.key.to_owned(), row.value.clone().unwrap_or_default(), source]
    };
    let mut table = Table::new([
        Column::left("setting", style::BOLD),
        Column::left("value", style::PLAIN),
        Column::left("from", style::DIM),
    ]);
    Ok(table.print(&mut app.out, &rows.iter().map(cells).collect::<Vec<_>>())?)
}
