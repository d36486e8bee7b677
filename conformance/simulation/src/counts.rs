//! How often the interesting things happened, so that nobody trusts a simulation in which they do not.

use std::collections::BTreeMap;

/// How often what happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<&'static str, u64>);

/// What has to happen in any set of seeds that deserves trust.
pub const EXPECTED: &[&str] = &[
    "end: succeeded",
    "end: failed",
    "end: canceled",
    "end: rolled back",
    "end: partially rolled back",
    "rehearsal: rolled back",
    "step: left out of a rehearsal",
    "dry run: over",
    "dry run: gates left out",
    "dry run: a step that would do something",
    "dry run: an expression that reads what is made up",
    "step: started",
    "step: skipped by its condition",
    "step: skipped with what it needs",
    "step: skipped by somebody",
    "step: skipped by somebody, with an effect",
    "step: skipped by somebody, before its turn",
    "step: started again",
    "step: started again, with an effect of before",
    "step: held",
    "step: expression without a value",
    "step: failed, tolerated",
    "step: paused",
    "step: canceled",
    "step: rolled back",
    "step: rollback blocked",
    "step: delayed",
    "step: its delay was over",
    "step: started, a point of no return",
    "phase: one failure too many",
    "deadline: of the release, failed",
    "deadline: of the release, paused",
    "deadline: of the release, rolled back",
    "deadline: of a phase, failed",
    "deadline: of a phase, paused",
    "deadline: of a phase, rolled back",
    "deadline: passed, past the point of no return",
    "finally: after success",
    "finally: after a failure",
    "finally: after a cancel",
    "finally: after a rollback",
    "finally: after half a rollback",
    "finally: again",
    "finally: canceled",
    "fan: out",
    "fan: no items",
    "fan: joined",
    "fan: joined, with failures",
    "fan: reduced",
    "fan: failed",
    "fan: failed, nothing to reduce",
    "fan: canceled",
    "item: started",
    "item: failed, tolerated",
    "item: paused",
    "item: begun anew",
    "attempt: retried by policy",
    "attempt: retried by a person",
    "attempt: failed without an effect",
    "attempt: failed without an effect, an earlier run had one",
    "attempt: failed without an effect, an earlier one may have had it",
    "attempt: timed out",
    "attempt: suspended",
    "attempt: resumed by its timer",
    "attempt: resumed by a callback",
    "attempt: checkpoint",
    "call: start",
    "call: resume",
    "call: cancel",
    "call: rollback",
    "call: find",
    "call: hangs",
    "call: cut off, its effect had happened",
    "call: cut off, its effect had not happened",
    "answer: late",
    "answer: a second time",
    "interrupted: repeat",
    "interrupted: find",
    "interrupted: pause",
    "interrupted: left alone",
    "vote: approved",
    "vote: rejected",
    "vote: refused",
    "intervention: retry",
    "intervention: cancel",
    "intervention: cancel and roll back",
    "intervention: rollback while it runs",
    "intervention: rollback after the end",
    "intervention: run again while it runs",
    "intervention: run again after the end",
    "intervention: skip before its turn",
    "intervention: skip what is held",
    "intervention: skip what is paused",
    "intervention: skip between two attempts",
    "intervention: replace an output",
    "intervention: pause",
    "intervention: resume",
    "intervention: settle, it is gone",
    "intervention: settle, it stays",
    "intervention: refused",
    "attempt: resumed by a callback that was kept",
    "attempt: resumed by a callback that an earlier one had",
    "callback: kept",
    "callback: refused, it had come before",
    "callback: refused, it was over",
    "crash: before the record was durable",
    "crash: after the record was durable",
    "crash: at rest or in calls",
    "crash: just after the creation",
    "store: append failed, nothing written",
    "store: append failed, but written",
    "store: conflict",
    "takeover: from a driver that was gone",
    "takeover: from a driver that still lived",
    "takeover: the driver before still recorded something",
    "takeover: unattended input",
    "queue: its turn came",
    "queue: a newer one in its stead",
    "queue: stopped",
    "clock: jumped ahead",
    "clock: jumped back",
];

impl Counts {
    /// One more of these.
    pub fn add(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// Takes others in.
    pub fn merge(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// How often this happened.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(what, count)| (*what, *count))
    }

    /// What was to happen and never did.
    pub fn missing(&self) -> Vec<&'static str> {
        EXPECTED.iter().copied().filter(|it| self.of(it) == 0).collect()
    }
}
