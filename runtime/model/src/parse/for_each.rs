//! `for_each` of a step: a list by itself, or a mapping with `in` or `matrix` and how it runs.

use serde_json::{Map, Value};

use crate::fan_out::{Allowance, Axis, ForEach, ITEMS_MAX, Items};
use crate::problem::{Report, did_you_mean};

use super::draft::{At, DraftForEach, DraftItems, DraftTemplate};
use super::fields::Fields;
use super::node::{Field, Kind, Node};
use super::parameter;

const KEYS: &[&str] =
    &["in", "matrix", "exclude", "include", "max_parallel", "fail_fast", "failures_allowed", "reduce"];

pub(super) fn read(report: &mut Report<'_>, field: &Field) -> Option<DraftForEach> {
    let node = &field.value;
    let Kind::Object(_) = node.kind else {
        return Some(DraftForEach::of(DraftItems::List(read_list(report, node, "`for_each`")?)));
    };
    let fields = report.fields(node, "`for_each`", KEYS)?;
    let items = match (fields.get("in"), fields.get("matrix")) {
        (Some(it), None) => DraftItems::List(read_list(report, &it.value, "`in`")?),
        (None, Some(it)) => DraftItems::Matrix(read_matrix(report, &it.value)?),
        (Some(_), Some(both)) => {
            report.error(both.name_extent, "for-each", "`for_each` has `in` or `matrix`, not both");
            return None;
        }
        (None, None) => {
            report
                .error(field.name_extent, "missing-key", "`for_each` does not say what the step runs for")
                .suggest("add `in: ${{ … }}` or `matrix: { os: [linux, windows] }`");
            return None;
        }
    };
    let axes: Option<Vec<String>> = match &items {
        DraftItems::List(_) => None,
        DraftItems::Matrix(axes) => Some(axes.iter().map(|(name, _)| name.value.clone()).collect()),
    };
    let mut for_each = DraftForEach::of(items);
    for_each.exclude = read_combinations(report, &fields, "exclude", axes.as_deref());
    for_each.include = read_combinations(report, &fields, "include", axes.as_deref());
    if let Some(axes) = axes {
        check_axes(report, &fields, &for_each.exclude, &axes);
    }
    if let Some(node) = fields.value("max_parallel") {
        for_each.max_parallel = report.count(node, "`max_parallel`", "for-each", 1..=ITEMS_MAX as u32);
    }
    if let Some(node) = fields.value("fail_fast") {
        for_each.fail_fast = report.flag(node, "`fail_fast`").unwrap_or(true);
    }
    if let Some(node) = fields.value("failures_allowed") {
        for_each.failures_allowed = read_allowance(report, node, "for-each").unwrap_or(Allowance::NONE);
    }
    for_each.reduce = fields.value("reduce").and_then(|it| report.template(it));
    Some(for_each)
}

/// `3` or `10%`; what is wrong with it has this code.
pub(super) fn read_allowance(report: &mut Report<'_>, node: &Node, code: &'static str) -> Option<Allowance> {
    if let Kind::Text(text) = &node.kind {
        let percent = text.strip_suffix('%').and_then(|it| it.trim().parse::<u32>().ok()).filter(|it| *it <= 100);
        if percent.is_none() {
            report
                .error(node.extent, code, format!("`{text}` is no number of failures"))
                .suggest("write how many may fail, `2`, or which part of all, `10%`");
        }
        return percent.map(Allowance::Percent);
    }
    report.count(node, "`failures_allowed`", code, 0..=ITEMS_MAX as u32).map(Allowance::Count)
}

/// A list, or one expression that gives one.
fn read_list(report: &mut Report<'_>, node: &Node, what: &str) -> Option<DraftTemplate> {
    match &node.kind {
        Kind::List(items) => {
            if items.is_empty() {
                report.warning(node.extent, "for-each", format!("{what} is empty, so the step never runs"));
            }
            report.template(node)
        }
        Kind::Text(_) => {
            let template = report.template(node)?;
            if matches!(template.expressions.as_slice(), [one] if !one.embedded) {
                return Some(template);
            }
            report
                .error(node.extent, "for-each", format!("{what} is a list, or one expression that gives a list"))
                .suggest("write `[a, b, c]` or `${{ parameters.regions }}`");
            None
        }
        _ => {
            report.wrong_type(node, what, "a list, or one expression that gives a list");
            None
        }
    }
}

fn read_matrix(report: &mut Report<'_>, node: &Node) -> Option<Vec<(At<String>, DraftTemplate)>> {
    let fields = report.mapping(node, "`matrix`")?;
    if fields.is_empty() {
        report
            .error(node.extent, "for-each", "`matrix` has no axes")
            .suggest("write `matrix: { os: [linux, windows] }`");
        return None;
    }
    let mut axes = Vec::new();
    for field in fields {
        let name = At { value: field.name.clone(), extent: field.name_extent };
        parameter::check_name(report, &name, "an axis' name");
        axes.push((name, read_list(report, &field.value, &format!("the axis `{}`", field.name))?));
    }
    Some(axes)
}

fn read_combinations(
    report: &mut Report<'_>,
    fields: &Fields<'_>,
    key: &str,
    axes: Option<&[String]>,
) -> Vec<Map<String, Value>> {
    let Some(node) = fields.value(key) else { return Vec::new() };
    if axes.is_none() {
        report.error(node.extent, "for-each", format!("`{key}` belongs to a `matrix`"));
        return Vec::new();
    }
    let Kind::List(items) = &node.kind else {
        report.wrong_type(node, &format!("`{key}`"), "a list of combinations");
        return Vec::new();
    };
    let mut combinations = Vec::new();
    for item in items {
        if report.mapping(item, "a combination").is_none() {
            continue;
        }
        let value = item.to_json();
        if value.to_string().contains("${{") {
            report.error(item.extent, "for-each", format!("`{key}` holds no expressions"));
        } else if let Value::Object(combination) = value {
            combinations.push(combination);
        }
    }
    combinations
}

/// A combination that names no axis leaves nothing out.
fn check_axes(report: &mut Report<'_>, fields: &Fields<'_>, exclude: &[Map<String, Value>], axes: &[String]) {
    let Some(node) = fields.value("exclude") else { return };
    for name in exclude.iter().flat_map(|it| it.keys()).filter(|it| !axes.contains(it)) {
        let problem = report.error(node.extent, "for-each", format!("the matrix has no axis `{name}`"));
        problem.suggest_some(did_you_mean(name, axes.iter().map(String::as_str)));
    }
}

/// The model's form of it.
pub(super) fn complete(draft: &DraftForEach) -> ForEach {
    let items = match &draft.items {
        DraftItems::List(it) => Items::List(it.template.clone()),
        DraftItems::Matrix(axes) => Items::Matrix {
            axes: axes
                .iter()
                .map(|(name, values)| Axis { name: name.value.clone(), values: values.template.clone() })
                .collect(),
            exclude: draft.exclude.clone(),
            include: draft.include.clone(),
        },
    };
    ForEach {
        items,
        max_parallel: draft.max_parallel,
        fail_fast: draft.fail_fast,
        failures_allowed: draft.failures_allowed,
        reduce: draft.reduce.as_ref().map(|it| it.template.clone()),
    }
}
