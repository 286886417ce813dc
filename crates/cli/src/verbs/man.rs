//! `man`: the manual, from the parser.

use std::path::PathBuf;

use clap::CommandFactory;

use crate::app::App;
use crate::failure::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write the page of every verb into this folder instead
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(app: &mut App, args: &Args) -> Result<()> {
    let command = crate::args::Args::command();
    if let Some(dir) = &args.dir {
        return Ok(clap_mangen::generate_to(command, app.at(dir))?);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(app.out.verbatim().write_all(&page)?)
}
