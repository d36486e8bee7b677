//! `windlass validate`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use windlass_model::parse::parse;
use windlass_model::problem::{Color, render};
use windlass_model::workflow::Workflow;
use windlass_server::api::{ErrorBody, StartBody, ValidatedBody};
use windlass_server::client::ClientError;

use super::run::arguments;
use super::{Context, read_with_used};
use crate::output::{GOOD, styled};

/// Check workflow files; print every problem with its place
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  windlass validate workflows/payments-release.yaml\n  windlass validate --offline workflows/*.yaml\n  windlass validate payments.yaml --param version=2.4.1"
)]
pub(crate) struct ValidateArgs {
    /// Workflow files
    #[arg(required = true)]
    files: Vec<PathBuf>,

    /// Check what the file alone tells, not against installed plugins and connections
    #[arg(long)]
    offline: bool,

    /// A parameter: tells also which versions of services a release would wait for now
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE", conflicts_with = "offline")]
    parameters: Vec<String>,
}

pub(crate) async fn validate(args: &ValidateArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let client = if args.offline { None } else { Some(context.client().await?) };
    let mut checked = serde_json::Map::new();
    let mut good = true;
    let mut refused = false;
    // What is wrong with a file that an earlier one uses has been told with that one.
    let mut told = BTreeSet::new();
    for file in &args.files {
        let (source, files) = read_with_used(file)?;
        let used: Vec<PathBuf> = files.keys().filter_map(|it| beside(file, it)).collect();
        let mut waits = Vec::new();
        let (is_good, problems, rendered) = match &client {
            None => {
                let (parsed, problems) = parse(&source);
                let color = if context.output.has_color() { Color::Ansi } else { Color::None };
                (parsed.is_some(), serde_json::to_value(&problems)?, render(&source, &problems, color))
            }
            Some(client) => {
                let arguments = arguments(&args.parameters)?;
                let color = context.output.has_color();
                let body = StartBody { color, files, arguments, ..StartBody::of(&source) };
                match client.post::<ValidatedBody>("/v1/validate", &body).await {
                    Ok(ValidatedBody { problems: it, waits: planned }) => {
                        waits = planned;
                        (true, it.problems.into(), it.rendered)
                    }
                    Err(ClientError::Refused { body: ErrorBody { problems: Some(it), .. }, .. }) => {
                        (false, it.problems.into(), it.rendered)
                    }
                    // Such as a parameter that this file does not have: the next one may.
                    Err(ClientError::Refused { status, body }) if status.is_client_error() => {
                        refused = true;
                        if !context.output.is_json() {
                            let error = anyhow::anyhow!("{}", body.error);
                            context.output.error(&error.context(source.name().to_owned()));
                        }
                        (false, serde_json::json!([{ "severity": "error", "message": body.error }]), String::new())
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        good &= is_good;
        if context.output.is_json() {
            checked.insert(source.name().to_owned(), problems);
            continue;
        }
        if file.canonicalize().is_ok_and(|it| told.contains(&it)) {
            context.output.note(format_args!("{}: as told above", source.name()));
        } else {
            context.output.problems(&rendered);
        }
        if !is_good && client.is_some() {
            told.extend(used);
        }
        if is_good {
            let what = if args.offline { "is well formed" } else { "can be released" };
            let how = parse(&source).0.map(|it| queueing(it.workflow())).unwrap_or_default();
            context.output.text(&format!("{} {} {what}{how}", styled(GOOD, "✔"), source.name()));
            waits.iter().for_each(|it| context.output.text(it));
        }
    }
    if context.output.is_json() {
        context.output.data(&checked, |_| String::new());
    }
    Ok(if refused { 2 } else { u8::from(!good) })
}

/// Where a file that `file` uses is.
fn beside(file: &Path, used: &str) -> Option<PathBuf> {
    file.parent().unwrap_or(Path::new("")).join(used).canonicalize().ok()
}

/// How its releases wait for each other, in words: ` (tenant payments; group prod: 1 at a time, oldest first)`
fn queueing(workflow: &Workflow) -> String {
    let tenant = workflow.tenant.iter().map(|it| format!("tenant {it}"));
    let group = workflow.concurrency.iter().map(|it| {
        let name = serde_json::to_value(&it.group).unwrap_or_default();
        let name = name.as_str().unwrap_or_default();
        format!("group {name}: {} at a time, {}", it.limit, it.order.name().replace('_', " "))
    });
    let all: Vec<String> = tenant.chain(group).collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join("; ")) }
}
