//! `windlass plugin certify`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use windlass_certify::{
    Broken, Certification, Check, Conformance, FILE_NAME, Failed, FileError, Only, Outcome, Report, Subject,
    Transcript, table,
};
use windlass_model::name::ActionName;
use windlass_model::problem::{Color, render};

use super::run::component;
use crate::author::check;
use crate::commands::{Context, winding_down};
use crate::output::{BAD, DIM, GOOD, STRONG, WAIT, styled};

#[derive(Debug, clap::Args)]
pub(crate) struct CertifyArgs {
    /// A component's file, or the folder of a plugin, which is built first
    #[arg(required_unless_present_any = ["schema", "explain"])]
    plugin: Option<PathBuf>,
    /// Print the JSON Schema of `conformance.yaml` instead, for editors
    #[arg(long)]
    schema: bool,
    /// Print what a check does, what has to be, and what to do when it fails; without a check the whole page
    #[arg(long, value_name = "CHECK", num_args = 0..=1)]
    explain: Option<Option<Explained>>,
    /// How it is exercised; `conformance.yaml` in the folder unless given
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Exercise one action
    #[arg(long)]
    action: Option<ActionName>,
    /// Exercise one case of those that have a name
    #[arg(long)]
    case: Option<String>,
    /// Make one check
    #[arg(long, value_name = "CHECK")]
    only: Option<Check>,
    /// Play one scenario of it, from 1
    #[arg(long, value_name = "NUMBER", requires = "only")]
    at: Option<usize>,
    /// Play the scenario of a transcript again, and show all that happens
    #[arg(long, value_name = "FILE", conflicts_with_all = ["action", "case", "only", "at"])]
    replay: Option<PathBuf>,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write a transcript of each failure into this folder
    #[arg(long, value_name = "FOLDER")]
    transcripts: Option<PathBuf>,
    /// Put the time into the result, which is else the same for the same component
    #[arg(long)]
    timestamp: bool,
}

/// A check, or `contract`, which comes before all others.
#[derive(Debug, Clone, Copy)]
struct Explained(Option<Check>);

impl std::str::FromStr for Explained {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "contract" { Ok(Self(None)) } else { text.parse().map(|it| Self(Some(it))) }
    }
}

#[derive(Serialize)]
struct View<'v> {
    result: &'v Certification,
    transcripts: &'v [Transcript],
}

pub(crate) async fn certify(args: CertifyArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let output = context.output;
    if let Some(check) = args.explain {
        let text = check.map_or_else(|| windlass_certify::page().to_owned(), |it| windlass_certify::explained(it.0));
        output.data(&text, String::clone);
        return Ok(0);
    }
    let Some(plugin) = args.plugin.as_deref() else {
        output.data(&Conformance::schema(), |it| format!("{it:#}\n"));
        return Ok(0);
    };
    let before = args.replay.as_deref().map(transcript).transpose()?;
    let only = match &before {
        Some(before) => before.only.clone(),
        None => Only { action: args.action.clone(), case: args.case.clone(), check: args.only, at: args.at },
    };
    let sandbox = check::sandbox_of(windlass_certify::sandbox_options)?;
    let path = match &args.file {
        Some(file) => file.clone(),
        None if plugin.is_dir() => plugin.join(FILE_NAME),
        None => plugin.parent().unwrap_or(Path::new(".")).join(FILE_NAME),
    };
    // Before anything is built: a file that is wrong is found at once.
    let file = Conformance::read(&path)?;
    if let Some(out) = &args.out {
        let mut opening = std::fs::File::options();
        let opened = opening.create(true).append(true).open(out);
        opened.with_context(|| format!("{} cannot be written", out.display()))?;
    }
    let built = component(plugin, &sandbox, output).await?;
    let bytes = std::fs::read(&built).with_context(|| format!("{} cannot be read", built.display()))?;
    let ours = std::env::current_exe().ok();
    let (is_json, is_one) = (output.is_json(), only.at.is_some());
    let progress = |what: &str| {
        if !is_json {
            crate::output::Output::new(false).note(styled(DIM, format!("… {what}")));
        }
    };
    let subject =
        Subject { component: &bytes, file: &file, sandbox: &sandbox, ours: ours.as_deref(), only, progress: &progress };
    // Whoever stops it stops what was started for it, too.
    let certified = tokio::select! {
        certified = windlass_certify::certify(subject) => certified,
        asked = winding_down::asked() => {
            asked?;
            anyhow::bail!("stopped before the end, so nothing is said of the plugin; `--action`, `--case` and `--only` take a part of it");
        }
    };
    let Report { mut certification, transcripts } = match certified {
        Err(Broken::File(FileError::Unfit { file, problems })) if !is_json => {
            let color = if output.has_color() { Color::Ansi } else { Color::None };
            output.problems(&render(&file, &problems, color));
            anyhow::bail!("{} does not fit the plugin", file.name());
        }
        done => done?,
    };
    if args.timestamp {
        certification.at = Some(jiff::Timestamp::now().to_string());
    }
    if let Some(out) = &args.out {
        write(out, &certification.to_json())?;
    }
    if let Some(folder) = &args.transcripts {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        for transcript in &transcripts {
            write(&folder.join(transcript.file_name()), &transcript.to_json())?;
        }
    }
    let view = View { result: &certification, transcripts: &transcripts };
    output.data(&view, |it| people(it, is_one, before.as_ref()));
    Ok(u8::from(certification.has_failed() || !certification.not_exercised.is_empty()))
}

fn transcript(file: &Path) -> anyhow::Result<Transcript> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Transcript::parse(&text).map_err(anyhow::Error::msg).with_context(|| file.display().to_string())
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
}

/// Of failures that are alike so many are told whole; what is behind them is mostly one mistake.
const TOLD_WHOLE: usize = 2;

/// What failed, in words.
fn failures<'f>(failures: impl Iterator<Item = (&'f str, Check, &'f Failed)>) -> String {
    let mut text = String::new();
    let mut alike = BTreeMap::new();
    for (action, check, failed) in failures {
        let case = failed.case.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
        let (at, name) = (failed.at, check.name());
        text.push_str(&format!("{} {action}{case}: {name} {at}: {}\n", styled(BAD, "failed"), failed.position));
        let told = alike.entry((action, &failed.case, name, &failed.expected)).or_insert(0);
        *told += 1;
        if *told <= TOLD_WHOLE {
            text.push_str(&format!("  expected: {}\n  seen:     {}\n", failed.expected, failed.seen));
        } else {
            let how = format!("  expected as before; `--only {name} --at {at}` shows what was seen\n");
            text.push_str(&styled(DIM, how).to_string());
        }
    }
    text
}

/// What people read: the table, what failed, and all that happened where one scenario was asked for.
fn people(view: &View<'_>, is_one: bool, before: Option<&Transcript>) -> String {
    let certification = view.result;
    let mut text = format!(
        "{} {}  {}\n\n",
        styled(STRONG, &certification.plugin),
        certification.version,
        styled(DIM, certification.component.get(7..19).unwrap_or_default())
    );
    if let Outcome::Failed { failures } = &certification.contract {
        for failed in failures {
            text.push_str(&format!("{} contract: {}: {}\n", styled(BAD, "failed"), failed.position, failed.seen));
        }
    }
    if !certification.actions.is_empty() {
        text.push_str(&table(certification));
        text.push('\n');
    }
    text.push_str(&failures(certification.failures()));
    let mut failed: Vec<&str> = certification.failures().map(|(_, check, _)| check.name()).collect();
    failed.sort_unstable();
    failed.dedup();
    if matches!(certification.contract, Outcome::Failed { .. }) {
        failed.insert(0, "contract");
    }
    for check in failed {
        text.push_str(&format!(
            "{}: what {check} asks, and what to do: windlass plugin certify --explain {check}\n",
            styled(STRONG, "hint")
        ));
    }
    for (action, checks) in certification.actions.iter().filter(|_| !is_one) {
        let left_out = checks.iter().filter_map(|(check, outcome)| match outcome {
            Outcome::NotApplicable { why } => Some(format!("{} ({why})", check.name())),
            _ => None,
        });
        let left_out: Vec<String> = left_out.collect();
        if !left_out.is_empty() {
            text.push_str(&styled(DIM, format!("– {action}: does not apply: {}\n", left_out.join(", "))));
        }
    }
    for (action, why) in &certification.not_exercised {
        text.push_str(&format!("{} {action}: {why}\n", styled(WAIT, "not exercised")));
    }
    if is_one {
        for transcript in view.transcripts {
            text.push_str(&format!("\n{}", transcript.told()));
        }
        if view.transcripts.is_empty() && !certification.has_failed() {
            let then =
                before.map_or(String::new(), |it| format!("; the transcript was of {}: {}", it.component, it.seen));
            text.push_str(&format!("this scenario goes as it should{then}\n"));
        }
    }
    text.push_str(&if certification.certified {
        styled(GOOD, "certified")
    } else if certification.has_failed() || !certification.not_exercised.is_empty() {
        styled(BAD, "not certified")
    } else {
        styled(GOOD, "what was checked passes; only a whole run certifies")
    });
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_mistake_makes_fail_many_times_is_told_whole_twice() {
        let failed = |at, expected: &str| {
            let (position, seen) = (format!("request {at}"), format!("seen {at}"));
            Failed { case: None, at, position, expected: expected.to_owned(), seen }
        };
        let all = [failed(1, "none"), failed(2, "none"), failed(3, "none"), failed(4, "another end")];
        let told = failures(all.iter().map(|it| ("promote", Check::Rollback, it)));
        let told = anstream::adapter::strip_str(&told).to_string();
        assert_eq!(told.matches("failed promote: rollback").count(), 4, "{told}");
        assert_eq!(told.matches("expected: ").count(), 3, "{told}");
        assert!(
            told.contains("request 3\n  expected as before; `--only rollback --at 3` shows what was seen"),
            "{told}"
        );
        assert!(!told.contains("seen 3") && told.contains("seen 4"), "{told}");
    }
}
