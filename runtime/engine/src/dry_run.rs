//! Releases that only show what they would do.
//!
//! The engine decides on them as on any other; what differs is that nobody is asked and nothing is waited for, that
//! what has done nothing is not stopped by its plugin nor rolled back, and that values may be *made up*: outputs of
//! steps that did not do what they are for, and whatever follows from these.
//!
//! **Invariant:** a step fails in a dry run for what is real. What fails because of values that are made up is told
//! ([`Event::InputUnknown`], [`Event::DryRunTold`]), and the release goes on.

use std::collections::BTreeSet;

use serde_json::Value;
use windlass_model::dry_run::DryRun;
use windlass_model::event::{AfterFailure, Event};
use windlass_model::graph::StepIndex;
use windlass_model::manifest::Effect;
use windlass_model::plan::Runs;
use windlass_model::template::Template;
use windlass_model::time::{Span, Timestamp};

use crate::approval;
use crate::release::Release;

/// What a dry run keeps of a step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DryStep {
    /// What its approval gates would ask, where it has gates.
    pub questions: Vec<String>,
    /// How long it would wait before it starts.
    pub delay: Option<Span>,
    /// Why its plugin was not called: an expression has no value.
    pub unknown: Option<String>,
    /// What came of its last attempt.
    pub told: Option<DryRun>,
    /// Whether its output is not what it would be.
    pub made_up: bool,
}

/// What a call of a dry run is made with beside what any is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DryOrder {
    /// Why its plugin is not called: an expression has no value.
    pub unknown: Option<String>,
    /// Whether something that its input is made of is made up.
    pub reads_made_up: bool,
}

impl Release {
    /// Whether it only shows what it would do.
    pub fn is_dry_run(&self) -> bool {
        self.created.dry_run
    }

    pub(crate) fn dry_order(&self, index: StepIndex) -> Option<DryOrder> {
        let dry = self.steps[index.as_usize()].dry.as_deref();
        self.is_dry_run().then(|| DryOrder {
            unknown: dry.and_then(|it| it.unknown.clone()),
            reads_made_up: self.reads_made_up(index),
        })
    }

    /// Whether a step looks at outputs that are made up.
    pub fn reads_made_up(&self, index: StepIndex) -> bool {
        self.is_dry_run() && self.any_made_up(&self.plan.read_by(self.definition_index(index)))
    }

    /// Whether a template looks at outputs that are made up.
    pub(crate) fn template_reads_made_up(&self, template: &Template) -> bool {
        self.is_dry_run() && self.any_made_up(&self.plan.read_in(template))
    }

    fn any_made_up(&self, steps: &BTreeSet<StepIndex>) -> bool {
        steps.iter().any(|it| self.is_made_up(*it))
    }

    pub(crate) fn is_made_up(&self, index: StepIndex) -> bool {
        self.steps[index.as_usize()].dry.as_deref().is_some_and(|it| it.made_up)
    }

    /// Starts a step without its gates.
    pub(crate) fn start_without_gates(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp) {
        let plan = self.plan.clone();
        let step = plan.step(index);
        let questions = approval::gates(step).map(|gate| match &gate.message {
            None => Ok(String::new()),
            Some(message) => self.with_scope(|scope| message.evaluate(scope)).map(|it| match it {
                Value::String(text) => text,
                other => other.to_string(),
            }),
        });
        match questions.collect::<Result<Vec<_>, _>>() {
            Ok(questions) => {
                let event = Event::GatesLeftOut { step: step.name.clone(), questions, delay: step.delay };
                self.record(events, event, now);
                self.start(events, index, now);
            }
            Err(error) => self.fail_unstarted(events, index, &error, now),
        }
    }

    /// An expression of a step has no value because of what is made up: the step goes on without one. False where
    /// nothing that it reads is made up, so that it really has none.
    pub(crate) fn go_on_unknown(
        &mut self,
        events: &mut Vec<Event>,
        index: StepIndex,
        error: &impl std::fmt::Display,
        now: Timestamp,
    ) -> bool {
        if !self.reads_made_up(index) {
            return false;
        }
        let step = self.name_of(index);
        self.record(events, Event::InputUnknown { step: step.clone(), problem: error.to_string() }, now);
        if !self.is_item(index) && self.definition(index).for_each.is_some() {
            self.record(events, Event::FannedOut { step, items: Vec::new() }, now);
        } else {
            self.start_with(events, index, Value::Null, now);
        }
        true
    }

    /// Records what came of an attempt, before its end is.
    pub(crate) fn tell_dry_run(&mut self, events: &mut Vec<Event>, index: StepIndex, dry_run: DryRun, now: Timestamp) {
        let event = Event::DryRunTold { step: self.name_of(index), dry_run: Box::new(dry_run) };
        self.record(events, event, now);
    }

    /// Nobody is asked what to do about a failure.
    pub(crate) fn without_asking(&self, next: AfterFailure) -> AfterFailure {
        if self.is_dry_run() && next == AfterFailure::Pause { AfterFailure::Fail } else { next }
    }

    /// Whether what a step does is stopped by its plugin; in a dry run there is nothing to stop but other releases.
    pub(crate) fn is_stopped_by_its_plugin(&self, index: StepIndex) -> bool {
        let pin = self.pin(index);
        pin.cancel && (!self.is_dry_run() || matches!(pin.runs, Runs::Plan(_)))
    }

    /// Takes in that a step gave its output.
    pub(crate) fn note_made_up(&mut self, index: StepIndex, event: &Event) {
        if !self.is_dry_run() {
            return;
        }
        let made_up = match event {
            Event::AttemptSucceeded { .. } | Event::Joined { .. } => {
                let items = self.items(index).into_iter().flatten().map(|(item, _)| item);
                let dry = self.steps[index.as_usize()].dry.as_deref();
                self.pin(index).effect != Effect::Read
                    || dry.is_some_and(|it| it.told.is_some())
                    || self.reads_made_up(index)
                    || items.into_iter().any(|it| self.is_made_up(it))
            }
            Event::OutputGiven { .. } => false,
            _ => return,
        };
        self.steps[index.as_usize()].dry_mut().made_up = made_up;
    }
}
