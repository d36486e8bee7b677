//! `outputs` of a workflow: values, or values with a type.

use crate::problem::Report;
use crate::workflow::OutputType;

use super::draft::{At, DraftOutput};
use super::node::{Field, Kind, Node};
use super::parameter::{KEYWORDS, check_name, read_schema};

pub(super) fn read(report: &mut Report<'_>, node: &Node) -> Vec<DraftOutput> {
    let fields = report.mapping(node, "`outputs`").unwrap_or_default();
    fields.iter().filter_map(|it| read_one(report, it)).collect()
}

/// Whether an output is `{ type: …, value: … }`. Any other mapping is a value.
fn is_declared(node: &Node) -> bool {
    let Kind::Object(fields) = &node.kind else { return false };
    let has = |name: &str| fields.iter().any(|it| it.name == name);
    has("type") && has("value")
}

fn read_one(report: &mut Report<'_>, field: &Field) -> Option<DraftOutput> {
    let name = At { value: field.name.clone(), extent: field.name_extent };
    check_name(report, &name, "an output's name");
    if !is_declared(&field.value) {
        return Some(DraftOutput { name, value: report.template(&field.value)?, declared: None });
    }
    let what = format!("output `{}`", field.name);
    let known: Vec<&str> = ["type", "description", "value"].into_iter().chain(KEYWORDS.iter().copied()).collect();
    let fields = report.fields(&field.value, &what, &known)?;
    let description = super::workflow::read_description(report, &fields);
    let whole = (field.name_extent, what.as_str());
    let schema = read_schema(report, &fields, whole, "a declared output is always given, or the release fails");
    let value = report.template(fields.value("value")?)?;
    Some(DraftOutput { name, value, declared: Some(OutputType { schema, description }) })
}
