//! `rollback` of a workflow: when a release is rolled back by itself, and what is expected of that.

use std::collections::BTreeMap;

use crate::alert::{ALERT_RULES_MAX, AlertRule, NAME_LABEL, OnAlert};
use crate::decision::{CARD_LINES_MAX, Criterion, DecisionRules, Owner};
use crate::problem::Report;
use crate::workflow::{Approver, RollbackRules, RollbackTrigger};

use super::draft::Draft;
use super::node::{Field, Kind, Node};
use super::step::read_when;

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
    let fields =
        report.fields(node, "`rollback`", &["objective", "triggers", "alerts", "decision", "rehearsed_within"])?;
    let objective = fields.value("objective").and_then(|it| report.span(it, "`objective`"));
    let rehearsed_within = fields.value("rehearsed_within").and_then(|it| report.span(it, "`rehearsed_within`"));
    let triggers = fields.value("triggers").map(|it| read_triggers(report, it)).unwrap_or_default();
    let alerts = fields.value("alerts").map(|it| read_alerts(report, it, draft)).unwrap_or_default();
    let decision = fields.get("decision").and_then(|it| read_decision(report, it, draft));
    Some(RollbackRules { objective, triggers, alerts, decision, rehearsed_within })
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
    if items.is_empty() {
        report
            .error(node.extent, "no-alerts", "`alerts` names none, so no alert would do anything")
            .suggest(format!("name some, {ALERT_EXAMPLE}, or leave `alerts` out"));
    }
    let mut rules: Vec<AlertRule> = Vec::new();
    for item in items.iter().take(ALERT_RULES_MAX) {
        let Some(rule) = read_alert(report, item, draft) else { continue };
        if rules.iter().any(|it| it.labels == rule.labels) {
            report
                .error(item.extent, "duplicate", "this alert is given twice: the same name and labels")
                .suggest("leave one out");
        }
        rules.push(rule);
    }
    rules
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

fn read_decision(report: &mut Report<'_>, field: &Field, draft: &mut Draft) -> Option<DecisionRules> {
    let fields = report.fields(&field.value, "`decision`", &["criteria", "owners", "inform"])?;
    let criteria = lines(report, fields.value("criteria"), "`criteria`", "`[{ text: …, when: … }]`");
    let criteria = criteria.iter().filter_map(|it| read_criterion(report, it, draft)).collect();
    let given = lines(report, fields.value("owners"), "`owners`", "`[{ who: user:ana, escalate_after: 15m }]`");
    if given.is_empty() {
        let place = fields.get("owners").map_or(field.name_extent, |it| it.name_extent);
        report
            .error(place, "decision-owners", "nobody owns the decision: the card names no owner")
            .suggest("add `owners: [{ who: user:<name>, escalate_after: 15m }, { who: group:<name> }]`");
        return None;
    }
    let last = given.len() - 1;
    let owners: Vec<Owner> =
        given.iter().enumerate().filter_map(|(at, it)| read_owner(report, it, at == last)).collect();
    let inform = fields.value("inform").map(|it| report.texts(it, "`inform`", "somebody")).unwrap_or_default();
    let inform = inform.iter().filter_map(|it| report.parsed_text::<Approver>(it, "approver")).map(|it| it.value);
    let inform = inform.collect();
    (owners.len() == given.len()).then_some(DecisionRules { criteria, owners, inform })
}

/// The items of a list, not too many.
fn lines<'n>(report: &mut Report<'_>, node: Option<&'n Node>, what: &str, example: &str) -> &'n [Node] {
    match node.map(|it| (it, &it.kind)) {
        None => &[],
        Some((_, Kind::List(items))) => {
            if let Some(item) = items.get(CARD_LINES_MAX) {
                let message = format!("{what} of a decision card has at most {CARD_LINES_MAX} lines");
                report.error(item.extent, "too-long", message);
            }
            &items[..items.len().min(CARD_LINES_MAX)]
        }
        Some((node, _)) => {
            report.wrong_type(node, what, &format!("a list, for example {example}"));
            &[]
        }
    }
}

fn read_criterion(report: &mut Report<'_>, node: &Node, draft: &mut Draft) -> Option<Criterion> {
    let fields = report.fields(node, "a criterion", &["text", "when"])?;
    let text = fields.value("text").and_then(|it| report.text(it, "`text`"));
    let when = fields.value("when").and_then(|it| read_when(report, it));
    for key in ["text", "when"] {
        if fields.get(key).is_none() {
            report
                .error(node.extent, "missing-key", format!("the criterion has no `{key}`"))
                .suggest("write it as `{ text: more than 2 % fail, when: steps.verify.output.failed > 0.02 }`");
        }
    }
    let (text, when) = (text?, when?);
    draft.criteria.push(when.clone());
    Some(Criterion { text: text.value, when: when.expression })
}

fn read_owner(report: &mut Report<'_>, node: &Node, is_last: bool) -> Option<Owner> {
    let fields = report.fields(node, "an owner", &["who", "escalate_after"])?;
    let escalate_after = fields.value("escalate_after").and_then(|it| report.span(it, "`escalate_after`"));
    if fields.get("escalate_after").is_none() && !is_last {
        report
            .error(node.extent, "missing-key", "it is not said how long this owner has until the next one is asked")
            .suggest("add `escalate_after: 15m`");
    }
    let Some(who) = fields.value("who") else {
        report.error(node.extent, "missing-key", "the owner has no name").suggest("add `who: user:<name>`");
        return None;
    };
    let who = report.parsed::<Approver>(who, "`who`", "approver")?.value;
    Some(Owner { who, escalate_after: escalate_after.filter(|_| !is_last) })
}
