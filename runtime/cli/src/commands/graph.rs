//! `windlass graph`

use std::path::PathBuf;

use windlass_model::parse::parse;
use windlass_model::problem::{Color, render};

use super::{Context, read_source};

/// Draw a workflow
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  windlass graph workflows/payments-release.yaml\n  windlass graph --format svg workflows/payments-release.yaml > release.svg"
)]
pub(crate) struct GraphArgs {
    /// The workflow file
    file: PathBuf,

    /// How to draw it
    #[arg(long, value_enum, default_value = "mermaid")]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// A Mermaid flowchart
    Mermaid,
    /// A picture
    Svg,
}

pub(crate) fn graph(args: &GraphArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let source = read_source(&args.file)?;
    let (parsed, problems) = parse(&source);
    let Some(parsed) = parsed else {
        let color = if context.output.has_color() { Color::Ansi } else { Color::None };
        context.output.problems(&render(&source, &problems, color));
        return Ok(1);
    };
    let text = match args.format {
        Format::Mermaid => windlass_model::draw::mermaid(parsed.workflow()),
        Format::Svg => windlass_model::draw::svg(parsed.workflow()),
    };
    if context.output.is_json() {
        context.output.data(&serde_json::json!({ "graph": text }), |_| String::new());
    } else {
        context.output.text(&text);
    }
    Ok(0)
}
