//! `rollback` of a workflow: when a release is rolled back by itself, and what is expected of that.

use std::collections::BTreeMap;

use crate::alert::{ALERT_RULES_MAX, AlertRule, NAME_LABEL, OnAlert};
use crate::problem::Report;
use crate::workflow::{RollbackRules, RollbackTrigger};

use super::draft::Draft;
use super::node::{Kind, Node};

const TRIGGERS: &[(&str, RollbackTrigger)] = &[("breaker", RollbackTrigger::Breaker)];

const ALERT_EXAMPLE: &str = "for example `[{ name: HighErrorRate, labels: { service: payments } }]`";

pub(super) fn read(report: &mut Report<'_>, node: &Node, draft: &mut Draft) -> Option<RollbackRules> {
    if let Kind::Text(text) = &node.kind {
        report
            .error(node.extent, "wrong-type", format!("`rollback` of a workflow is a mapping, not `{text}`"))
            .note("whether a step takes part in a rollback stands with the step")
            .suggest("write for example `rollback: { objective: 15m, triggers: [breaker] }`");
        return None;
    }
    let fields = report.fields(node, "`rollback`", &["objective", "triggers", "alerts", "rehearsed_within"])?;
    let objective = fields.value("objective").and_then(|it| report.span(it, "`objective`"));
    let rehearsed_within = fields.value("rehearsed_within").and_then(|it| report.span(it, "`rehearsed_within`"));
    let triggers = fields.value("triggers").map(|it| read_triggers(report, it)).unwrap_or_default();
    let alerts = fields.value("alerts").map(|it| read_alerts(report, it, draft)).unwrap_or_default();
    Some(RollbackRules { objective, triggers, alerts, rehearsed_within })
}

fn read_triggers(report: &mut Report<'_>, node: &Node) -> Vec<RollbackTrigger> {
    let mut triggers = Vec::new();
    let Kind::List(items) = &node.kind else {
        report.wrong_type(node, "`triggers`", "a list, for example `[breaker]`");
        return triggers;
    };
    for item in items {
        let Some(trigger) = report.word(item, "a trigger", TRIGGERS) else { continue };
        if triggers.contains(&trigger) {
            report.error(item.extent, "duplicate", "this trigger is given twice").suggest("leave one out");
        } else {
            triggers.push(trigger);
        }
    }
    triggers
}

fn read_alerts(report: &mut Report<'_>, node: &Node, draft: &mut Draft) -> Vec<AlertRule> {
    let Kind::List(items) = &node.kind else {
        report.wrong_type(node, "`alerts`", &format!("a list, {ALERT_EXAMPLE}"));
        return Vec::new();
    };
    if let Some(item) = items.get(ALERT_RULES_MAX) {
        let message = format!("a workflow names at most {ALERT_RULES_MAX} alerts, this one {}", items.len());
        report.error(item.extent, "too-many-alerts", message);
    }
    items.iter().take(ALERT_RULES_MAX).filter_map(|it| read_alert(report, it, draft)).collect()
}

fn read_alert(report: &mut Report<'_>, node: &Node, draft: &mut Draft) -> Option<AlertRule> {
    let fields = report.fields(node, "an alert", &["name", "labels", "stabilisation", "then"])?;
    let mut labels = BTreeMap::new();
    let mut label = |report: &mut Report<'_>, name: &str, node: &Node| {
        report.text(node, &format!("the label `{name}`"))?;
        let template = report.template(node)?;
        labels.insert(name.to_owned(), template.template.clone());
        draft.alert_labels.push(template);
        Some(())
    };
    let mut is_good = true;
    if let Some(name) = fields.value("name") {
        is_good &= label(report, NAME_LABEL, name).is_some();
    }
    if let Some(field) = fields.get("labels") {
        for other in report.mapping(&field.value, "`labels`")? {
            if other.name == NAME_LABEL && fields.get("name").is_some() {
                report
                    .error(other.name_extent, "duplicate", "the label `alertname` is the alert's `name`")
                    .suggest("leave one out");
                continue;
            }
            is_good &= label(report, &other.name, &other.value).is_some();
        }
    }
    let stabilisation = fields.value("stabilisation").and_then(|it| report.span(it, "`stabilisation`"));
    let then = fields.value("then").and_then(|it| report.word(it, "`then`", &OnAlert::ALL)).unwrap_or_default();
    if labels.is_empty() && is_good {
        report
            .error(node.extent, "missing-key", "any alert would do: it has neither a name nor labels")
            .suggest("add `name:` or `labels:`, as the monitoring system writes them");
        return None;
    }
    Some(AlertRule { labels, stabilisation, then })
}
