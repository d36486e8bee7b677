//! `concurrency`: which group the releases of a workflow belong to, who of those that wait goes next, and how many go
//! on at once.

use crate::concurrency::{Concurrency, GROUP_BYTES_MAX, GROUP_LIMIT_MAX, QueueOrder, is_group_name};
use crate::problem::Report;
use crate::template::Template;

use super::draft::DraftConcurrency;
use super::node::{Kind, Node};

pub(super) fn read(report: &mut Report<'_>, node: &Node) -> Option<DraftConcurrency> {
    if let Kind::Text(text) = &node.kind {
        report
            .error(node.extent, "wrong-type", "`concurrency` is a mapping (`key: value`), not a text")
            .suggest(format!("write `concurrency: {{ group: {text} }}`"));
        return None;
    }
    let fields = report.fields(node, "`concurrency`", &["group", "order", "limit"])?;
    let order = fields.value("order").and_then(|it| report.word(it, "`order`", &QueueOrder::ALL));
    let limit = fields.value("limit").and_then(|it| report.count(it, "`limit`", "limit", 1..=GROUP_LIMIT_MAX));
    let Some(node) = fields.value("group") else {
        let extent = node.extent;
        report
            .error(extent, "missing-key", "`concurrency` does not say which group it is about")
            .suggest("add `group:` and a name, for example the workflow's own");
        return None;
    };
    report.text(node, "`group`")?;
    let group = report.template(node)?;
    if let Template::Plain(serde_json::Value::String(name)) = &group.template
        && !is_group_name(name)
    {
        let rule = format!("a group's name has 1 to {GROUP_BYTES_MAX} bytes and no control characters");
        report.error(node.extent, "name", rule);
        return None;
    }
    Some(DraftConcurrency { group, order: order.unwrap_or_default(), limit: limit.unwrap_or(1) })
}

pub(super) fn complete(draft: &DraftConcurrency) -> Concurrency {
    Concurrency { group: draft.group.template.clone(), order: draft.order, limit: draft.limit }
}
