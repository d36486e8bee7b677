//! Rules about dry runs.

use serde_json::Value;
use windlass_model::event::Event;
use windlass_model::graph::StepIndex;
use windlass_model::manifest::Effect;
use windlass_model::time::Span;

use super::{State, Within, Witness};
use crate::violation::{Violation, ensure};

/// The rule of dry runs.
pub(super) const DRY_RUN: &str = "a dry run asks nobody, waits for nobody and undoes nothing";

const TOLD: &str = "only a dry run tells what it would do";

/// What a dry run tells of a step in this run of it.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Its gates were left out.
    gates: bool,
    /// An expression of it has no value.
    pub(super) unknown: bool,
    /// It was ended in its plugin's place.
    ended: bool,
    /// What it gives may be anything.
    made_up: bool,
}

impl Witness {
    pub(super) fn is_dry_run(&self) -> bool {
        self.created.dry_run
    }

    /// Whether something that a step looks at is made up.
    pub(super) fn reads_made_up(&self, step: StepIndex) -> bool {
        self.plan.read_by(self.of(step)).into_iter().any(|it| self.seen(it).told.made_up)
    }

    pub(super) fn gates_left_out(
        &mut self,
        step: StepIndex,
        questions: usize,
        delay: Option<Span>,
        within: &Within<'_>,
    ) -> Result<(), Violation> {
        let name = self.name(step);
        ensure(self.is_dry_run(), TOLD, || name.to_string())?;
        self.ensure_may_begin(step)?;
        let definition = self.definition(step);
        let holds = !definition.gates.is_empty() || definition.delay.is_some();
        let fits = holds && questions == definition.gates.len() && delay == definition.delay && !self.is_item(step);
        let begins = match within.next {
            Some(Event::AttemptStarted { step: of, .. } | Event::FannedOut { step: of, .. })
            | Some(Event::InputUnknown { step: of, .. }) => *of == name,
            _ => false,
        };
        ensure(fits && begins, "what would be asked is told where it would be", || {
            format!("{name}: {questions} questions, {delay:?}, and {:?} follows", within.next)
        })?;
        self.seen_mut(step).told.gates = true;
        self.counts.add("dry run: gates left out");
        Ok(())
    }

    pub(super) fn input_unknown(&mut self, step: StepIndex, within: &Within<'_>) -> Result<(), Violation> {
        let name = self.name(step);
        ensure(self.is_dry_run(), TOLD, || name.to_string())?;
        let reduces = self.seen(step).state == State::FannedOut;
        let items = self.current_items(step).any(|it| self.seen(it).told.made_up);
        ensure(self.reads_made_up(step) || reduces && items, "only what is made up is unknown", || name.to_string())?;
        if reduces {
            let joins = matches!(within.next, Some(Event::Joined { step: of, output: None }) if *of == name);
            ensure(self.reduced(step).is_none() && joins, "an expression is unknown only if it has no value", || {
                name.to_string()
            })?;
        } else {
            self.ensure_may_begin(step)?;
            ensure(self.has_no_value(step), "an expression is unknown only if it has no value", || name.to_string())?;
        }
        self.seen_mut(step).told.unknown = true;
        self.counts.add("dry run: an expression that reads what is made up");
        Ok(())
    }

    pub(super) fn dry_run_told(&mut self, step: StepIndex, within: &Within<'_>) -> Result<(), Violation> {
        let name = self.name(step);
        let ends = matches!(within.next, Some(Event::AttemptSucceeded { step: of, .. }) if *of == name);
        ensure(self.is_dry_run() && ends, TOLD, || format!("{name}, and {:?} follows", within.next))?;
        self.seen_mut(step).told.ended = true;
        self.counts.add("dry run: a step that would do something");
        Ok(())
    }

    /// Whether the gates of a step were left out, as they are to be.
    pub(super) fn is_open_in_dry_run(&self, step: StepIndex) -> bool {
        let definition = self.definition(step);
        let holds = !definition.gates.is_empty() || definition.delay.is_some();
        let seen = self.seen(step);
        // Of what cannot be told nothing more is asked.
        seen.state == State::Waiting && (seen.told.gates == holds || seen.told.unknown)
    }

    /// A step has given something, or somebody has in its place.
    pub(super) fn gave(&mut self, step: StepIndex, event: &Event) {
        let made_up = match event {
            Event::AttemptSucceeded { .. } | Event::Joined { .. } => {
                let items = self.current_items(step).any(|it| self.seen(it).told.made_up);
                let acts = self.pin(step).effect != Effect::Read;
                acts || self.seen(step).told.ended || self.reads_made_up(step) || items
            }
            Event::OutputGiven { .. } => false,
            _ => return,
        };
        self.seen_mut(step).told.made_up = made_up && self.is_dry_run();
    }

    /// The input that an unknown one stands for.
    pub(super) fn is_unknown_input(&self, step: StepIndex, input: Option<&Value>) -> bool {
        self.seen(step).told.unknown && input == Some(&Value::Null)
    }
}
