//! `chatapi completions`.

use clap::CommandFactory as _;
use clap_complete::generate;

use super::args::{Cli, CompletionsArgs, Shell};
use super::context::Context;
use super::exit::Exit;

pub(super) fn run(context: &Context, args: &CompletionsArgs) -> Exit {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Power => clap_complete::Shell::PowerShell,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "chatapi", &mut script);
    // Every byte of it is ours, and a shell reads it: nothing in it may be written otherwise.
    context.console.verbatim(String::from_utf8_lossy(&script).trim_end());
    Exit::Done
}
