//! `windlass plugin new`

use std::path::PathBuf;

use serde::Serialize;
use windlass_model::name::PluginName;

use crate::author::{Language, scaffold};
use crate::commands::Context;

#[derive(Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// The plugin's name, as workflows write it
    name: PluginName,
    /// The language
    #[arg(long, value_enum)]
    lang: Language,
    /// The folder; one of the plugin's name here unless given
    #[arg(long = "in", value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

#[derive(Serialize)]
struct View {
    folder: PathBuf,
    language: Language,
    files: Vec<PathBuf>,
}

pub(crate) fn new(args: &NewArgs, context: &Context<'_>) -> anyhow::Result<()> {
    let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from(args.name.as_str()));
    let files = scaffold::new(args.lang, &args.name, &folder)?;
    let view = View { folder, language: args.lang, files };
    context.output.data(&view, |it| {
        let files: String = it.files.iter().map(|it| format!("  {}\n", it.display())).collect();
        let tools = if it.language == Language::Rust { "" } else { " --install-tools" };
        format!(
            "a plugin in {} in {}:\n{files}and its SDK in {}. To go on:\n  cd {}\n  windlass plugin test .{tools}\n  windlass plugin build .{tools}\n",
            it.language.name(),
            it.folder.display(),
            it.folder.join("windlass-sdk").display(),
            it.folder.display()
        )
    });
    Ok(())
}
