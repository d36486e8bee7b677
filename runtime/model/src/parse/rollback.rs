//! `rollback` of a workflow: when a release is rolled back by itself, and what is expected of that.

use crate::problem::Report;
use crate::workflow::{RollbackRules, RollbackTrigger};

use super::node::{Kind, Node};

const TRIGGERS: &[(&str, RollbackTrigger)] = &[("breaker", RollbackTrigger::Breaker)];

pub(super) fn read(report: &mut Report<'_>, node: &Node) -> Option<RollbackRules> {
    if let Kind::Text(text) = &node.kind {
        report
            .error(node.extent, "wrong-type", format!("`rollback` of a workflow is a mapping, not `{text}`"))
            .note("whether a step takes part in a rollback stands with the step")
            .suggest("write for example `rollback: { objective: 15m, triggers: [breaker] }`");
        return None;
    }
    let fields = report.fields(node, "`rollback`", &["objective", "triggers", "rehearsed_within"])?;
    let objective = fields.value("objective").and_then(|it| report.span(it, "`objective`"));
    let rehearsed_within = fields.value("rehearsed_within").and_then(|it| report.span(it, "`rehearsed_within`"));
    let mut triggers = Vec::new();
    match fields.value("triggers").map(|it| (it, &it.kind)) {
        None => {}
        Some((_, Kind::List(items))) => {
            for item in items {
                let Some(trigger) = report.word(item, "a trigger", TRIGGERS) else { continue };
                if triggers.contains(&trigger) {
                    report.error(item.extent, "duplicate", "this trigger is given twice").suggest("leave one out");
                } else {
                    triggers.push(trigger);
                }
            }
        }
        Some((node, _)) => report.wrong_type(node, "`triggers`", "a list, for example `[breaker]`"),
    }
    Some(RollbackRules { objective, triggers, rehearsed_within })
}
