//! The top level of a workflow file.

use std::collections::BTreeMap;

use crate::name::WorkflowName;
use crate::problem::{Extent, Report};
use crate::time::Span;
use crate::workflow::{OnFailure, RetryPolicy};

use super::draft::Draft;
use super::fields::Fields;
use super::node::{Kind, Node};
use super::{STEPS_MAX, concurrency, output, parameter, phase, rollback, step};

const KEYS: &[&str] = &[
    "windlass",
    "workflow",
    "description",
    "parameters",
    "phases",
    "deadline",
    "rollback",
    "defaults",
    "steps",
    "finally",
    "outputs",
    "concurrency",
    "tenant",
];

/// What steps take when they say nothing themselves.
#[derive(Debug, Clone, Default)]
pub(super) struct Defaults {
    pub(super) retry: Option<RetryPolicy>,
    pub(super) timeout: Option<Span>,
    pub(super) on_failure: OnFailure,
}

/// Reads a file's tree; none when it is no mapping.
pub(super) fn read(report: &mut Report<'_>, root: &Node) -> Option<Draft> {
    let fields = report.fields(root, "a workflow file", KEYS)?;
    read_version(report, root, &fields);
    let mut draft = Draft::default();
    match fields.value("workflow") {
        Some(node) => draft.name = report.parsed::<WorkflowName>(node, "`workflow`", "name").map(|it| it.value),
        None => {
            report.error(start_of(root), "missing-key", "the workflow has no name").suggest("add `workflow: <name>`");
        }
    }
    draft.description = read_description(report, &fields);
    if let Some(node) = fields.value("parameters") {
        draft.parameters = parameter::read(report, node);
    }
    if let Some(field) = fields.get("phases") {
        draft.phases_extent = Some(field.name_extent);
        phase::read(report, &field.value, &mut draft);
    }
    draft.deadline = fields.value("deadline").and_then(|it| phase::read_deadline(report, it));
    draft.rollback = fields.value("rollback").and_then(|it| rollback::read(report, it, &mut draft));
    let defaults = fields.value("defaults").map(|it| read_defaults(report, it)).unwrap_or_default();
    match fields.get("steps") {
        Some(field) => draft.steps = read_steps(report, &field.value, "`steps`", &defaults, false, &[]),
        None => {
            report
                .error(start_of(root), "missing-key", "the workflow has no steps")
                .suggest("add `steps:` with a mapping of names to steps");
        }
    }
    if let Some(node) = fields.value("finally") {
        let last = read_steps(report, node, "`finally`", &defaults, true, &draft.steps);
        draft.steps.extend(last);
    }
    if let Some(node) = fields.value("outputs") {
        draft.outputs = output::read(report, node);
    }
    draft.concurrency = fields.value("concurrency").and_then(|it| concurrency::read(report, it));
    draft.tenant = fields.value("tenant").and_then(|it| report.parsed(it, "`tenant`", "name")).map(|it| it.value);
    Some(draft)
}

/// Where something that is missing is missed: the first key.
fn start_of(root: &Node) -> Extent {
    match &root.kind {
        Kind::Object(fields) => fields.first().map_or(root.extent, |it| it.name_extent),
        _ => root.extent,
    }
}

fn read_version(report: &mut Report<'_>, root: &Node, fields: &Fields<'_>) {
    match fields.value("windlass") {
        None => {
            report
                .error(
                    start_of(root),
                    "missing-key",
                    "the file does not say which version of the format it is written in",
                )
                .suggest("add `windlass: v1` as the first line");
        }
        Some(node) => {
            if node.kind != Kind::Text("v1".to_owned()) {
                let written = report.source.slice(node.extent).to_owned();
                report
                    .error(
                        node.extent,
                        "format-version",
                        format!("`{written}` is no version of the format that this program reads"),
                    )
                    .suggest("write `windlass: v1`");
            }
        }
    }
}

pub(super) fn read_description(report: &mut Report<'_>, fields: &Fields<'_>) -> Option<String> {
    let node = fields.value("description")?;
    report.text(node, "`description`").map(|it| it.value)
}

fn read_defaults(report: &mut Report<'_>, node: &Node) -> Defaults {
    let mut defaults = Defaults::default();
    let Some(fields) = report.fields(node, "`defaults`", &["retry", "timeout", "on_failure"]) else { return defaults };
    if let Some(field) = fields.get("retry") {
        defaults.retry = Some(step::read_retry(report, field, None));
    }
    defaults.timeout = fields.value("timeout").and_then(|it| report.span(it, "`timeout`"));
    if let Some(node) = fields.value("on_failure") {
        defaults.on_failure = step::read_on_failure(report, node).unwrap_or_default();
    }
    defaults
}

fn read_steps(
    report: &mut Report<'_>,
    node: &Node,
    what: &str,
    defaults: &Defaults,
    finally: bool,
    others: &[super::DraftStep],
) -> Vec<super::DraftStep> {
    if let Kind::List(_) = node.kind {
        report
            .error(node.extent, "wrong-type", format!("{what} is a mapping of names to steps, not a list"))
            .note("steps run as soon as those they need have ended, so their order in the file means nothing")
            .suggest("write each step under its name: `build:` and below it `uses: …`");
        return Vec::new();
    }
    let Some(fields) = report.mapping(node, what) else { return Vec::new() };
    if fields.is_empty() && !finally {
        report.error(node.extent, "empty", "a workflow has at least one step");
    }
    if let Some(field) = fields.get(STEPS_MAX - others.len()) {
        report.error(
            field.name_extent,
            "too-many-steps",
            format!("a workflow has at most {STEPS_MAX} steps, this one has {}", fields.len() + others.len()),
        );
    }
    let mut spoken: BTreeMap<String, Extent> = BTreeMap::new();
    let mut steps = Vec::new();
    for field in fields.iter().take(STEPS_MAX - others.len()) {
        if let Some(first) = others.iter().find(|it| it.name.value == field.name) {
            let place = report.source.place(first.name.extent);
            let problem = report.error(
                field.name_extent,
                "duplicate-step",
                format!("there is a step `{}` already; those that run last have names of their own", field.name),
            );
            problem.labels.push(crate::problem::Label { place, text: "this one".to_owned() });
            continue;
        }
        // `create-change` and `create_change` are two names, and nobody tells them apart.
        let folded = field.name.replace('_', "-");
        if let Some(first) = spoken.get(&folded) {
            let place = report.source.place(*first);
            let problem = report.warning(
                field.name_extent,
                "similar-steps",
                format!("`{}` is easily taken for another step", field.name),
            );
            problem.labels.push(crate::problem::Label { place, text: "this one".to_owned() });
        }
        spoken.insert(folded, field.name_extent);
        steps.push(step::read(report, field, defaults, finally));
    }
    steps
}
