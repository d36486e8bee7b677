//! `windlass completions`

use clap::CommandFactory;

use super::{Arguments, Context};

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  windlass completions bash > ~/.local/share/bash-completion/completions/windlass")]
pub(crate) struct CompletionsArgs {
    /// For which shell
    shell: clap_complete::Shell,
}

pub(crate) fn completions(args: &CompletionsArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "windlass", &mut script);
    context.output.text(&String::from_utf8_lossy(&script));
    Ok(0)
}
