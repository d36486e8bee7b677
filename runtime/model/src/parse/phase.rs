//! `phases`: names in order, each alone or with what it has beside its name; and deadlines.

use crate::fan_out::Allowance;
use crate::name::PhaseName;
use crate::problem::{Label, Report};
use crate::workflow::{Deadline, OnDeadline, PhaseRules, Threshold};

use super::draft::Draft;
use super::for_each::read_allowance;
use super::node::{Kind, Node};

pub(super) fn read(report: &mut Report<'_>, node: &Node, draft: &mut Draft) {
    let Kind::List(items) = &node.kind else {
        report.wrong_type(node, "`phases`", "a list of names, in the order in which they run");
        return;
    };
    for item in items {
        let (name, rules) = match &item.kind {
            Kind::Object(_) => {
                let keys = &["name", "deadline", "failures_allowed", "on_exceeded"];
                let Some(fields) = report.fields(item, "a phase", keys) else { continue };
                let Some(name) = fields.value("name") else {
                    report.error(item.extent, "missing-key", "the phase has no name").suggest("add `name:`");
                    continue;
                };
                let deadline = fields.value("deadline").and_then(|it| read_deadline(report, it));
                let failures = fields.value("failures_allowed").map(|it| read_allowance(report, it, "phase"));
                let words = [("fail", false), ("rollback", true)];
                let rollback = fields.get("on_exceeded").map(|it| {
                    if failures.is_none() {
                        report
                            .error(it.name_extent, "phase", "`on_exceeded` goes with `failures_allowed`")
                            .suggest("say how many failures the phase tolerates");
                    }
                    report.word(&it.value, "`on_exceeded`", &words).unwrap_or_default()
                });
                let threshold = failures.map(|it| Threshold {
                    failures_allowed: it.unwrap_or(Allowance::NONE),
                    rollback: rollback.unwrap_or_default(),
                });
                (name, PhaseRules { deadline, threshold })
            }
            _ => (item, PhaseRules::default()),
        };
        let Some(phase) = report.parsed::<PhaseName>(name, "a phase", "name") else { continue };
        match draft.phases.iter().find(|it| it.value == phase.value) {
            Some(first) => {
                let place = report.source.place(first.extent);
                let problem = report.error(
                    phase.extent,
                    "duplicate-phase",
                    format!("the phase `{}` is given twice", phase.value),
                );
                problem.labels.push(Label { place, text: "first here".to_owned() });
            }
            None => {
                if rules != PhaseRules::default() {
                    draft.phase_rules.insert(phase.value.clone(), rules);
                }
                draft.phases.push(phase);
            }
        }
    }
}

/// `4h`, or with what happens then.
pub(super) fn read_deadline(report: &mut Report<'_>, node: &Node) -> Option<Deadline> {
    let Kind::Object(_) = node.kind else {
        return report.span(node, "`deadline`").map(|within| Deadline { within, then: OnDeadline::default() });
    };
    let fields = report.fields(node, "`deadline`", &["within", "then"])?;
    let words = [("fail", OnDeadline::Fail), ("rollback", OnDeadline::Rollback), ("pause", OnDeadline::Pause)];
    let then = fields.value("then").and_then(|it| report.word(it, "`then`", &words)).unwrap_or_default();
    match fields.value("within") {
        Some(node) => report.span(node, "`within`").map(|within| Deadline { within, then }),
        None => {
            report.error(node.extent, "missing-key", "the deadline does not say how long").suggest("add `within: 4h`");
            None
        }
    }
}
