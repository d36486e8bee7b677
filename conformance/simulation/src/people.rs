//! People: those who may, those who may not, and those who clear up.

use windlass_engine::{Input, Release, Stage, StepState, TopicMaker, WaitCause};
use windlass_model::actor::Actor;
use windlass_model::event::Intervention;
use windlass_model::name::StepName;

use crate::dice::Dice;
use crate::simulation::{Happening, Simulation};
use crate::violation::{Violation, violated};
use crate::workflows::PEOPLE;

/// What kind of days a release lives through.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// Calls in a thousand that do not simply end well.
    pub trouble: u64,
    /// Whether processes end.
    pub crashes: bool,
    /// How many happenings in a thousand end the process.
    pub crash: u64,
    /// How many appends in a thousand fail.
    pub store: u64,
    /// How many happenings in a thousand move the clock.
    pub jumps: u64,
    /// Milliseconds between things that people do, at most.
    pub people: u64,
    /// How many things in a thousand that people do are not votes.
    pub meddling: u64,
    /// How long the bad days last.
    pub happenings: u64,
}

impl Profile {
    /// Some days are calm, some are not.
    pub fn new(dice: &mut Dice) -> Self {
        Self {
            trouble: [0, 30, 120, 300, 550][dice.below(5) as usize],
            crashes: dice.permille(700),
            crash: dice.between(2, 40),
            store: [0, 0, 20, 100][dice.below(4) as usize],
            jumps: [0, 0, 5, 20][dice.below(4) as usize],
            people: [2_000, 20_000, 100_000][dice.below(3) as usize],
            meddling: [0, 100, 500][dice.below(3) as usize],
            happenings: dice.between(30, 400),
        }
    }
}

/// Somebody.
pub fn actor(which: usize) -> Actor {
    let (name, groups) = PEOPLE[which % PEOPLE.len()];
    Actor {
        name: name.to_owned(),
        groups: groups.iter().map(ToString::to_string).collect(),
        authenticated: "simulated".to_owned(),
    }
}

impl Simulation {
    /// Somebody does something, sensible or not.
    pub(crate) fn person(&mut self) -> Result<(), Violation> {
        let after = self.dice.between(1, self.profile.people);
        self.later(after, Happening::Person);
        let release = match self.current() {
            Some(number) => Some(self.drivers[&number].release.clone()),
            None => None,
        };
        let Some(input) = self.idea(release.as_ref()) else { return Ok(()) };
        match self.drivers.keys().next().copied() {
            // Where two drive, some people still talk to the one that is out of date.
            Some(stale) if self.drivers.len() > 1 && self.dice.permille(200) => self.input(stale, input, false),
            Some(_) => match self.current() {
                Some(number) => self.input(number, input, false),
                None => Ok(()),
            },
            None if self.dice.permille(400) => self.unattended(input),
            None => Ok(()),
        }
    }

    fn idea(&mut self, release: Option<&Release>) -> Option<Input> {
        let actor = actor(self.dice.below(PEOPLE.len() as u64) as usize);
        let steps = &self.plan.workflow().steps;
        let any = steps[self.dice.below(steps.len() as u64) as usize].name.clone();
        let waits = release.map(Release::waits).unwrap_or_default();
        let of = |dice: &mut Dice, cause: WaitCause| -> StepName {
            let names: Vec<&StepName> =
                waits.iter().filter(|it| it.cause == cause).filter_map(|it| it.step.as_ref()).collect();
            if dice.permille(50) { any.clone() } else { dice.pick(&names).map_or(any.clone(), |it| (*it).clone()) }
        };
        let reason = if self.dice.permille(950) { "it has to be" } else { " " }.to_owned();
        if !self.dice.permille(self.profile.meddling) {
            if !waits.iter().any(|it| it.cause == WaitCause::Approval) && !self.dice.permille(50) {
                return None;
            }
            let step = of(&mut self.dice, WaitCause::Approval);
            return Some(Input::Vote { step, actor, approved: self.dice.permille(930), comment: reason });
        }
        let intervention = match self.dice.weighted(&[80, 8, 8, 4]) {
            0 => Intervention::Retry { step: of(&mut self.dice, WaitCause::Decision) },
            1 => Intervention::Cancel { rollback: false },
            2 => Intervention::Cancel { rollback: true },
            _ => Intervention::Rollback,
        };
        Some(Input::Intervene { actor, reason, intervention })
    }

    /// Nothing goes on by itself any more: whoever is waited for does what is asked, or gives up.
    pub(crate) fn people_answer(&mut self) -> Result<(), Violation> {
        let Some((number, release)) = self.resting() else {
            self.later(0, Happening::Recover);
            return Ok(());
        };
        let suspended = self.plan.graph().steps().find_map(|it| {
            let activity = release.step(it).state.activity()?;
            let Stage::Suspended { topics, .. } = &activity.stage else { return None };
            let topic = release.topics().find(|topic| topics.iter().any(|it| it == topic))?;
            let step = self.plan.step(it).name.clone();
            Some((TopicMaker { step, operation: activity.operation, attempt: activity.attempt }, topic.to_owned()))
        });
        if let Some((maker, topic)) = suspended {
            self.later(0, Happening::Callback(maker, topic, 0));
            return Ok(());
        }
        let Some(wait) = release.waits().into_iter().next() else {
            return violated("nothing waits without a cause", format!("{:?}", release.state()));
        };
        let by = actor(0);
        let give_up = |rollback| Input::Intervene {
            actor: by.clone(),
            reason: "nobody knows better".to_owned(),
            intervention: Intervention::Cancel { rollback },
        };
        let Some(step) = wait.step.clone() else {
            return violated("nobody paused the release", wait.text);
        };
        let index = self.plan.index_of(&step);
        let run = index.map(|it| release.step(it));
        let state = run.map(|it| &it.state);
        let input = match (wait.cause, state) {
            (WaitCause::Approval, _) => {
                let voted = run.map(|it| it.votes.len()).unwrap_or_default();
                let voters = (0..PEOPLE.len()).map(actor).map(|actor| Input::Vote {
                    step: step.clone(),
                    actor,
                    approved: true,
                    comment: String::new(),
                });
                // Those who may not, or have, are refused; who may and has not brings it further.
                let taken = voters.into_iter().find(|it| release.clone().decide(it.clone(), self.wall()).is_ok());
                match taken {
                    Some(vote) if voted <= PEOPLE.len() => vote,
                    _ => give_up(self.dice.permille(500)),
                }
            }
            (_, Some(StepState::Paused { error, .. })) if error.code == "expression-failed" => {
                if self.dice.permille(300) { self.retry(&step) } else { give_up(self.dice.permille(500)) }
            }
            (_, Some(StepState::RollbackBlocked { .. })) if self.dice.permille(200) => give_up(false),
            _ => self.retry(&step),
        };
        self.tell(|| format!("somebody answers: {step} {}", wait.text));
        self.input(number, input, false)
    }

    fn retry(&self, step: &StepName) -> Input {
        Input::Intervene {
            actor: actor(0),
            reason: "it works again".to_owned(),
            intervention: Intervention::Retry { step: step.clone() },
        }
    }

    /// Sometimes somebody wants a release back that has ended.
    pub(crate) fn regret(&mut self) -> Result<bool, Violation> {
        if std::mem::replace(&mut self.regretted, true) || !self.dice.permille(250) {
            return Ok(false);
        }
        let input = Input::Intervene {
            actor: actor(0),
            reason: "customers complain".to_owned(),
            intervention: Intervention::Rollback,
        };
        self.unattended(input)?;
        self.later(100, Happening::Recover);
        Ok(true)
    }
}
