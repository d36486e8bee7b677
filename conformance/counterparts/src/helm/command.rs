//! Helm's command line, as far as the stand-in takes it.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The stand-in for helm: simulated cluster, nothing is deployed.
#[derive(Debug, Parser)]
#[command(name = "helm", disable_version_flag = true, infer_subcommands = false)]
pub(crate) struct Helm {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Path to the kubeconfig file.
    #[arg(long, global = true, env = "KUBECONFIG")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Name of the kubeconfig context to use.
    #[arg(long, global = true)]
    pub(crate) kube_context: Option<String>,
    /// Namespace scope for this request.
    #[arg(long, short, global = true, env = "HELM_NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Taken and without meaning here.
    #[arg(long, global = true)]
    pub(crate) debug: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the version.
    Version(Version),
    /// Examine a chart for possible issues.
    Lint(Lint),
    /// Locally render templates.
    Template(Template),
    /// Install a chart.
    Install(Install),
    /// Upgrade a release.
    Upgrade(Upgrade),
    /// Roll back a release to a previous revision.
    Rollback(Rollback),
    /// Uninstall a release.
    #[command(aliases = ["delete", "del", "un"])]
    Uninstall(Uninstall),
    /// Display the status of the named release.
    Status(Status),
    /// Fetch release history.
    #[command(alias = "hist")]
    History(History),
    /// List releases.
    #[command(alias = "ls")]
    List(List),
    /// Run tests for a release.
    Test(Test),
    /// Download extended information of a named release.
    #[command(subcommand)]
    Get(Get),
}

#[derive(Debug, Args)]
pub(crate) struct Version {
    #[arg(long)]
    pub(crate) short: bool,
    #[arg(long)]
    pub(crate) template: Option<String>,
}

/// Values from files and from the command line.
#[derive(Debug, Args, Default)]
pub(crate) struct Values {
    /// Values in a YAML file; `-` is stdin.
    #[arg(long = "values", short = 'f', value_delimiter = ',')]
    pub(crate) files: Vec<PathBuf>,
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) set: Vec<String>,
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) set_string: Vec<String>,
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) set_json: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Lint {
    pub(crate) charts: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) values: Values,
    #[arg(long)]
    pub(crate) strict: bool,
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Template {
    #[arg(required = true, num_args = 1..=2)]
    pub(crate) name_and_chart: Vec<String>,
    #[command(flatten)]
    pub(crate) values: Values,
    /// A version of a chart in a repository; a chart in a folder has only its own.
    #[arg(long)]
    pub(crate) version: Option<String>,
    #[arg(long)]
    pub(crate) no_hooks: bool,
    #[arg(long)]
    pub(crate) skip_tests: bool,
}

/// What install and upgrade share.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    #[command(flatten)]
    pub(crate) values: Values,
    #[arg(long)]
    pub(crate) version: Option<String>,
    #[arg(long)]
    pub(crate) create_namespace: bool,
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Labels of the release, kept by its later revisions: `name=value,other=value`.
    #[arg(long, short = 'l', value_delimiter = ',', value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Taken and without meaning here: only tests are run.
    #[arg(long)]
    pub(crate) no_hooks: bool,
    #[arg(long)]
    pub(crate) wait: bool,
    #[arg(long)]
    pub(crate) wait_for_jobs: bool,
    #[arg(long)]
    pub(crate) atomic: bool,
    #[arg(long, default_value = "5m0s", value_parser = duration)]
    pub(crate) timeout: Duration,
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    pub(crate) dry_run: Option<String>,
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

impl Deploy {
    pub(crate) fn is_dry(&self) -> bool {
        !matches!(self.dry_run.as_deref(), None | Some("none" | "false"))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Install {
    #[arg(required = true, num_args = 2)]
    pub(crate) name_and_chart: Vec<String>,
    #[command(flatten)]
    pub(crate) deploy: Deploy,
}

#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    pub(crate) name: String,
    pub(crate) chart: PathBuf,
    #[command(flatten)]
    pub(crate) deploy: Deploy,
    #[arg(long, short)]
    pub(crate) install: bool,
    #[arg(long)]
    pub(crate) reuse_values: bool,
    #[arg(long)]
    pub(crate) reset_values: bool,
    #[arg(long)]
    pub(crate) reset_then_reuse_values: bool,
    #[arg(long)]
    pub(crate) force: bool,
    #[arg(long)]
    pub(crate) cleanup_on_fail: bool,
    #[arg(long, default_value_t = 10)]
    pub(crate) history_max: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Rollback {
    pub(crate) name: String,
    #[arg(default_value_t = 0)]
    pub(crate) revision: u64,
    #[arg(long)]
    pub(crate) wait: bool,
    #[arg(long)]
    pub(crate) force: bool,
    #[arg(long)]
    pub(crate) cleanup_on_fail: bool,
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Taken and without meaning here: only tests are run.
    #[arg(long)]
    pub(crate) no_hooks: bool,
    #[arg(long, default_value = "5m0s", value_parser = duration)]
    pub(crate) timeout: Duration,
    #[arg(long, default_value_t = 10)]
    pub(crate) history_max: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Uninstall {
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    #[arg(long)]
    pub(crate) keep_history: bool,
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
    #[arg(long)]
    pub(crate) description: Option<String>,
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[arg(long)]
    pub(crate) wait: bool,
    #[arg(long, default_value = "5m0s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) revision: Option<u64>,
    #[arg(long)]
    pub(crate) show_resources: bool,
    #[arg(long)]
    pub(crate) show_desc: bool,
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    pub(crate) name: String,
    #[arg(long, default_value_t = 256)]
    pub(crate) max: usize,
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[arg(long, short)]
    pub(crate) all: bool,
    #[arg(long, short = 'A')]
    pub(crate) all_namespaces: bool,
    #[arg(long)]
    pub(crate) deployed: bool,
    #[arg(long)]
    pub(crate) failed: bool,
    #[arg(long)]
    pub(crate) pending: bool,
    #[arg(long)]
    pub(crate) uninstalling: bool,
    #[arg(long)]
    pub(crate) uninstalled: bool,
    #[arg(long)]
    pub(crate) superseded: bool,
    #[arg(long, short)]
    pub(crate) short: bool,
    /// Labels that the last revision has to have: `name=value,other in (value,another)`.
    #[arg(long, short = 'l', value_parser = selector)]
    pub(crate) selector: Option<Selector>,
    /// A regular expression that the name has to match; here only a name between `^` and `$`, or a part of one.
    #[arg(long, short = 'f')]
    pub(crate) filter: Option<String>,
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) logs: bool,
    #[arg(long, default_value = "5m0s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Get {
    /// The values of a release.
    Values(GetValues),
    /// The manifest of a release.
    Manifest(GetText),
    /// The hooks of a release.
    Hooks(GetText),
    /// The notes of a release.
    Notes(GetText),
    /// The metadata of a release.
    Metadata(GetMetadata),
}

#[derive(Debug, Args)]
pub(crate) struct GetValues {
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) revision: Option<u64>,
    #[arg(long, short)]
    pub(crate) all: bool,
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct GetText {
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) revision: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct GetMetadata {
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) revision: Option<u64>,
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
    Yaml,
}

/// Labels, each with the values that it may have.
#[derive(Debug, Clone)]
pub(crate) struct Selector(Vec<(String, Vec<String>)>);

impl Selector {
    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(name, values)| labels.get(name).is_some_and(|it| values.contains(it)))
    }
}

/// Reads `name=value,other in (value,another)`.
fn selector(text: &str) -> Result<Selector, String> {
    let mut is_inside = false;
    let between = |it: char| {
        is_inside = (is_inside || it == '(') && it != ')';
        it == ',' && !is_inside
    };
    let one = |it: &str| match it.split_once(" in (").zip(it.strip_suffix(')')) {
        Some(((name, _), whole)) => {
            let values = whole.split_once(" in (").map_or("", |(_, values)| values);
            Ok((name.trim().to_owned(), values.split(',').map(|it| it.trim().to_owned()).collect()))
        }
        None => label(it).map(|(name, value)| (name, vec![value])),
    };
    text.split(between).map(one).collect::<Result<_, _>>().map(Selector)
}

/// Reads `name=value`.
fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text} must be formatted as key=value"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Reads a duration as Go writes it: `1h2m3s`, `300ms`, `1.5s`.
fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let mut rest = text;
    let mut seconds = 0.0_f64;
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    while !rest.is_empty() {
        let end = rest.find(|it: char| !it.is_ascii_digit() && it != '.').ok_or_else(invalid)?;
        let number: f64 = rest[..end].parse().map_err(|_| invalid())?;
        rest = &rest[end..];
        let end = rest.find(|it: char| it.is_ascii_digit()).unwrap_or(rest.len());
        seconds += number
            * match &rest[..end] {
                "h" => 3_600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                "us" | "µs" => 0.000_001,
                "ns" => 0.000_000_001,
                _ => return Err(invalid()),
            };
        rest = &rest[end..];
    }
    if text.is_empty() {
        return Err(invalid());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| invalid())
}

/// What helm says of a command line it does not take.
pub(crate) fn in_helms_words(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => format!(
            "unknown command {:?} for \"helm\"\nRun 'helm --help' for usage.",
            context(ContextKind::InvalidSubcommand)
        ),
        ErrorKind::UnknownArgument => {
            let argument = context(ContextKind::InvalidArg);
            if argument.starts_with("--") {
                format!("unknown flag: {argument}")
            } else if argument.starts_with('-') {
                let letter = argument.trim_start_matches('-').chars().next().unwrap_or(' ');
                format!("unknown shorthand flag: '{letter}' in {argument}")
            } else {
                format!("too many arguments: {argument}")
            }
        }
        ErrorKind::MissingRequiredArgument => {
            format!("requires more arguments: {}", context(ContextKind::InvalidArg))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => format!(
            "invalid argument {:?} for {:?} flag",
            context(ContextKind::InvalidValue),
            context(ContextKind::InvalidArg)
        ),
        _ => error.to_string().trim_start_matches("error: ").trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, milliseconds) in
            [("5m0s", 300_000), ("300ms", 300), ("1h2m3s", 3_723_000), ("1.5s", 1_500), ("0", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "5", "s", "5x", "-1s", "1..2s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
