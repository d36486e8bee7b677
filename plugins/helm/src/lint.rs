//! `lint`: what helm finds wrong with a chart before it goes anywhere.

use crate::chart::{Chart, ChartInput};
use crate::helm::{self, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use windlass_sdk::{Action, Answer, Context, Effect, Failure, Outcome, Tool};

/// Lints a chart.
pub(crate) struct Lint;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LintInput {
    /// The absolute path of the chart's folder on the machine that runs releases.
    #[serde(default)]
    chart: Option<String>,
    /// The chart itself, in place of `chart`: text by path, with `Chart.yaml`.
    #[serde(default)]
    chart_files: BTreeMap<String, String>,
    /// Values beside those of the chart.
    #[serde(default)]
    values: Map<String, Value>,
    /// Whether a warning fails the step too.
    #[serde(default)]
    strict: bool,
}

/// What helm found; a chart with errors is a failed step.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Linted {
    /// How many warnings there are.
    warnings: usize,
    /// All that was found.
    findings: Vec<Finding>,
}

/// One thing that helm found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Finding {
    /// How bad it is.
    severity: Severity,
    /// Where and what: `templates/: parse error at …`.
    text: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    Info,
    Warning,
    Error,
}

impl Action for Lint {
    const NAME: &'static str = "lint";
    const DESCRIPTION: &'static str = "Checks a chart with its values; needs no cluster.";
    const EFFECT: Effect = Effect::Read;

    type Input = LintInput;
    type Output = Linted;
    type State = ();

    fn tools() -> Vec<Tool> {
        vec![tool(&["lint"])]
    }

    fn start(ctx: &Context, input: LintInput) -> Answer<Self> {
        let chart = Chart::resolve(&ChartInput {
            chart: input.chart.as_deref(),
            repository: None,
            version: None,
            chart_files: &input.chart_files,
        })?;
        if !chart.is_at_hand() {
            let message = format!("helm lints only what it has at hand, and `{}` has to be fetched", chart.reference());
            return Err(Failure::invalid("chart", message).never());
        }
        let output = helm::lint(ctx, &chart, &input.values, input.strict)?;
        let text = output.stdout_text();
        let findings = findings(&text);
        for finding in &findings {
            match finding.severity {
                Severity::Info => ctx.log().info(&finding.text),
                Severity::Warning => ctx.log().warn(&finding.text),
                Severity::Error => ctx.log().error(&finding.text),
            }
        }
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        if output.exit_code == 0 {
            return Ok(Outcome::done(Linted { warnings: count(Severity::Warning), findings }));
        }
        // A chart that is not there is said to have been linted too.
        if let Some(line) = text.lines().find(|line| line.starts_with("Error ")) {
            return Err(Failure::not_found("chart-not-found", line.to_owned()).never());
        }
        let counts = |severity| input.strict && severity == Severity::Warning || severity == Severity::Error;
        let bad: Vec<&str> =
            findings.iter().filter(|it| counts(it.severity)).map(|finding| finding.text.as_str()).collect();
        if bad.is_empty() {
            return Err(crate::stderr::failure(&output, "linting the chart"));
        }
        Err(Failure::rejected("lint-failed", format!("the chart is not good: {}", bad.join("; ")))
            .detail("errors", count(Severity::Error))
            .detail("warnings", count(Severity::Warning))
            .never())
    }
}

/// helm writes a finding as `[ERROR] where: what`, and goes on with it in the lines below.
fn findings(text: &str) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for line in text.lines() {
        let tags = [("[INFO] ", Severity::Info), ("[WARNING] ", Severity::Warning), ("[ERROR] ", Severity::Error)];
        let tagged = tags.iter().find_map(|(tag, severity)| Some((line.strip_prefix(tag)?, *severity)));
        match (tagged, findings.last_mut()) {
            (Some((text, severity)), _) => findings.push(Finding { severity, text: text.trim().to_owned() }),
            (None, Some(last)) if line.starts_with([' ', '\t']) => {
                last.text.push(' ');
                last.text.push_str(line.trim());
            }
            (None, _) => {}
        }
    }
    findings
}
