//! The binary `treering`: the command line in a process of its own.

fn main() -> std::process::ExitCode {
    treering_cli::process()
}
