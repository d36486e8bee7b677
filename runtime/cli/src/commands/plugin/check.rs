//! `windlass plugin check`

use std::path::{Path, PathBuf};

use windlass_model::review::Severity;

use super::kib;
use crate::author;
use crate::author::check::{self, Checked};
use crate::commands::Context;
use crate::output::{BAD, GOOD, STRONG, WAIT, styled};

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// Component files, or folders of plugins, which are built first
    #[arg(required = true)]
    plugins: Vec<PathBuf>,
}

pub(crate) async fn check(args: &CheckArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let sandbox = check::sandbox()?;
    let mut all = Vec::new();
    for plugin in &args.plugins {
        let files = if plugin.is_dir() {
            let built = author::build(std::slice::from_ref(plugin), None, &sandbox, context.output).await?;
            built.into_iter().map(|it| it.file).collect()
        } else {
            vec![plugin.clone()]
        };
        for file in files {
            all.push(check::check(&file, &sandbox).await?);
        }
    }
    context.output.data(&all, |it| it.iter().map(shown).collect());
    Ok(u8::from(!all.iter().all(Checked::is_good)))
}

fn shown(it: &Checked) -> String {
    let mut text = String::new();
    for finding in &it.findings {
        let sign = match finding.severity {
            Severity::Problem => styled(BAD, "problem"),
            Severity::Advice => styled(WAIT, "advice"),
        };
        let place = if finding.place.is_empty() { String::new() } else { format!("{}: ", finding.place) };
        text.push_str(&format!("{sign}  {place}{}\n", finding.message));
    }
    let problems = it.findings.iter().filter(|it| it.severity == Severity::Problem).count();
    let name = it
        .manifest
        .as_ref()
        .map_or_else(|| styled(STRONG, name_of(&it.file)), |it| format!("{} {}", styled(STRONG, &it.name), it.version));
    let size = it.anatomy.as_ref().map(|it| {
        format!(
            "; {} ({} code, {} data, {} names and such), {} of memory to begin with",
            kib(it.bytes),
            kib(it.code_bytes),
            kib(it.data_bytes),
            kib(it.custom_bytes),
            kib(it.memory_bytes)
        )
    });
    let size = size.unwrap_or_default();
    let verdict =
        if problems == 0 { styled(GOOD, "a host takes it") } else { styled(BAD, format!("{problems} to mend")) };
    text.push_str(&format!("{name}: {verdict}{size}\n"));
    text
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
