//! `completions SHELL`, from the parser.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::app::App;
use crate::failure::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    shell: Shell,
}

pub(crate) fn run(app: &mut App, args: &Args) -> Result<()> {
    let mut command = crate::args::Args::command();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "treering", &mut script);
    Ok(app.out.verbatim().write_all(&script)?)
}
