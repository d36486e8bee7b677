//! People: those who may, those who may not, and those who clear up.

use serde_json::{Value, json};
use windlass_engine::{Input, Rejected, Release, ReleaseState, Stage, StepState, TopicMaker, Wait, WaitCause};
use windlass_model::actor::Actor;
use windlass_model::event::Intervention;
use windlass_model::graph::StepIndex;
use windlass_model::name::StepName;
use windlass_model::plan::Plan;
use windlass_model::time::Timestamp;

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
        let Some(input) = self.somebody().idea(release.as_ref()) else { return Ok(()) };
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

    fn somebody(&mut self) -> Somebody<'_> {
        Somebody { dice: &mut self.dice, plan: &self.plan, meddling: self.profile.meddling }
    }

    /// Nothing goes on by itself any more: whoever is waited for does what is asked, or gives up.
    pub(crate) fn people_answer(&mut self) -> Result<(), Violation> {
        let Some((number, release)) = self.resting() else {
            self.later(0, Happening::Recover);
            return Ok(());
        };
        let wall = self.wall();
        match self.somebody().answer(&release, wall)? {
            Answer::Callback(maker, topic) => {
                self.later(0, Happening::Callback(maker, topic, 0));
                Ok(())
            }
            Answer::Says(input, why) => {
                self.tell(|| format!("somebody answers: {why}"));
                self.input(number, input, false)
            }
        }
    }

    /// Sometimes somebody wants a release back that has ended, or to go on.
    pub(crate) fn regret(&mut self) -> Result<bool, Violation> {
        if self.regrets == 0 || !self.dice.permille(400) {
            self.regrets = 0;
            return Ok(false);
        }
        self.regrets -= 1;
        let release = self.replay(&self.stored()?)?;
        let input = self.somebody().regret(&release);
        self.unattended(input)?;
        self.later(100, Happening::Recover);
        Ok(true)
    }
}

/// Somebody, who has ideas, and answers when asked.
pub struct Somebody<'a> {
    /// What decides.
    pub dice: &'a mut Dice,
    /// The plan of the release.
    pub plan: &'a Plan,
    /// How many of a thousand ideas are no votes.
    pub meddling: u64,
}

/// What those do who are waited for.
#[derive(Debug)]
pub enum Answer {
    /// The other side calls back.
    Callback(TopicMaker, String),
    /// Somebody says something, for a reason.
    Says(Input, String),
}

impl Somebody<'_> {
    /// What somebody might want, sensible or not.
    pub fn idea(&mut self, release: Option<&Release>) -> Option<Input> {
        let actor = actor(self.dice.below(PEOPLE.len() as u64) as usize);
        let reason = if self.dice.permille(950) { "it has to be" } else { " " }.to_owned();
        if !self.dice.permille(self.meddling) {
            let waits = release.map(Release::waits).unwrap_or_default();
            if !waits.iter().any(|it| it.cause == WaitCause::Approval) && !self.dice.permille(50) {
                return None;
            }
            let named: Vec<StepName> =
                waits.into_iter().filter(|it| it.cause == WaitCause::Approval).filter_map(|it| it.step).collect();
            let step = self.one_of(release, named);
            return Some(Input::Vote { step, actor, approved: self.dice.permille(930), comment: reason });
        }
        let in_state = |suits: &dyn Fn(&StepState) -> bool| -> Vec<StepName> {
            let Some(release) = release else { return Vec::new() };
            runs(release)
                .into_iter()
                .filter(|it| suits(&release.step(*it).state))
                .map(|it| release.name_of(it))
                .collect()
        };
        let intervention = match self.dice.weighted(&[50, 12, 14, 6, 5, 10, 8, 5, 5, 4]) {
            0 => {
                let named = in_state(&|it| matches!(it, StepState::Paused { .. } | StepState::RollbackBlocked { .. }));
                Intervention::Retry { step: self.one_of(release, named) }
            }
            1 => {
                let named = in_state(&|it| !matches!(it, StepState::Waiting | StepState::Active(_)));
                Intervention::RunAgain { step: self.one_of(release, named) }
            }
            2 => {
                let backs_off =
                    |it: &StepState| matches!(it.activity(), Some(it) if matches!(it.stage, Stage::Backoff { .. }));
                let which = self.dice.below(4);
                let named = in_state(&|it| match which {
                    0 => matches!(it, StepState::Waiting),
                    1 => matches!(it, StepState::Held { .. }) || backs_off(it),
                    _ => matches!(it, StepState::Paused { .. }) || backs_off(it),
                });
                let step = self.one_of(release, named);
                let output = self.dice.permille(600).then(|| self.by_hand(&step));
                Intervention::Skip { step, output }
            }
            3 => {
                let named = in_state(&|it| {
                    matches!(it, StepState::Succeeded | StepState::Skipped { .. } | StepState::Failed { .. })
                });
                let step = self.one_of(release, named);
                let output = self.by_hand(&step);
                Intervention::ReplaceOutput { step, output }
            }
            4 => Intervention::Pause,
            5 => Intervention::Resume,
            6 => {
                let named = in_state(&|it| matches!(it, StepState::RollbackBlocked { .. }));
                Intervention::SettleRollback { step: self.one_of(release, named), done: self.dice.permille(500) }
            }
            7 => Intervention::Cancel { rollback: false },
            8 => Intervention::Cancel { rollback: true },
            _ => Intervention::Rollback,
        };
        Some(Input::Intervene { actor, reason, intervention })
    }

    /// One of these, now and then any other; there are also names of nothing.
    fn one_of(&mut self, release: Option<&Release>, named: Vec<StepName>) -> StepName {
        if !self.dice.permille(100)
            && let Some(name) = self.dice.pick(&named)
        {
            return name.clone();
        }
        let steps = &self.plan.workflow().steps;
        let all: Vec<StepName> = match release {
            Some(release) => runs(release).into_iter().map(|it| release.name_of(it)).collect(),
            None => steps.iter().map(|it| it.name.clone()).collect(),
        };
        let any = self.dice.pick(&all).cloned().unwrap_or_else(|| steps[0].name.clone());
        if self.dice.permille(30) { any.of_item(7) } else { any }
    }

    /// What somebody says that a step gives; mostly it fits.
    fn by_hand(&mut self, step: &StepName) -> Value {
        let number = self.dice.below(1000);
        let one = json!({ "id": "by hand", "number": number, "ok": number.is_multiple_of(2), "list": [number, 2] });
        let of = step.of_step().parse().ok().and_then(|it| self.plan.index_of(&it));
        let for_each = of.and_then(|it| self.plan.step(it).for_each.as_ref()).filter(|_| step.item().is_none());
        match for_each {
            _ if self.dice.permille(100) => json!(number),
            None => one,
            Some(it) if it.reduce.is_some() => json!(number),
            Some(_) => json!([one, one]),
        }
    }

    /// Nothing goes on by itself any more: whoever is waited for does what is asked, or gives up.
    ///
    /// # Errors
    ///
    /// When the release waits for nothing, or for what nobody can do.
    pub fn answer(&mut self, release: &Release, now: Timestamp) -> Result<Answer, Violation> {
        let suspended = runs(release).into_iter().find_map(|it| {
            let activity = release.step(it).state.activity()?;
            let Stage::Suspended { topics, .. } = &activity.stage else { return None };
            // What a release inside of it says is not for people to say.
            let topic =
                release.topics().find(|topic| topics.iter().any(|it| it == topic) && !topic.starts_with("release/"))?;
            let step = release.name_of(it);
            Some((TopicMaker { step, operation: activity.operation, attempt: activity.attempt }, topic.to_owned()))
        });
        if let Some((maker, topic)) = suspended {
            return Ok(Answer::Callback(maker, topic));
        }
        let Some(wait) = release.waits().into_iter().next() else {
            return violated("nothing waits without a cause", format!("{:?}", release.state()));
        };
        let by = actor(0);
        // What runs last is canceled, but nothing is rolled back any more.
        let is_last = matches!(release.state(), ReleaseState::Finishing { .. });
        let give_up = |rollback: bool| Input::Intervene {
            actor: by.clone(),
            reason: "nobody knows better".to_owned(),
            intervention: Intervention::Cancel { rollback: rollback && !is_last },
        };
        let ask =
            |intervention| Input::Intervene { actor: by.clone(), reason: "it works again".to_owned(), intervention };
        let Some(step) = wait.step.clone() else {
            return match wait.cause {
                WaitCause::Pause => Ok(Answer::Says(ask(Intervention::Resume), wait.text)),
                WaitCause::Queue => Ok(Answer::Says(Input::Admitted, wait.text)),
                _ => violated("a wait names its cause and who can end it", wait.text),
            };
        };
        let run = release.index_of(&step).map(|it| release.step(it));
        let state = run.map(|it| &it.state);
        let output = Some(self.by_hand(&step));
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
                let taken = voters.into_iter().find(|it| release.clone().decide(it.clone(), now).is_ok());
                match taken {
                    Some(vote) if voted <= PEOPLE.len() => vote,
                    _ => give_up(self.dice.permille(500)),
                }
            }
            // It has no input: it begins anew, which may help, or somebody goes on without it.
            (_, Some(StepState::Paused { error, .. })) if error.is_of_expression() => match self.dice.below(3) {
                0 => self.what_is_asked(&wait, output)?,
                1 => ask(Intervention::Skip { step: step.clone(), output }),
                _ => give_up(self.dice.permille(500)),
            },
            (_, Some(StepState::Paused { .. })) if self.dice.permille(150) => {
                ask(Intervention::Skip { step: step.clone(), output })
            }
            (_, Some(StepState::RollbackBlocked { .. })) if self.dice.permille(300) => match self.dice.below(3) {
                0 => give_up(false),
                which => ask(Intervention::SettleRollback { step: step.clone(), done: which == 1 }),
            },
            _ => self.what_is_asked(&wait, output)?,
        };
        // What is mandatory is not skipped, and past a point of no return nothing is rolled back.
        let input = match release.clone().decide(input.clone(), now) {
            Err(Rejected::Mandatory { .. } | Rejected::PastPivot { .. } | Rejected::StillRuns { .. }) => match state {
                Some(StepState::Paused { error, .. }) if error.is_of_expression() => give_up(false),
                _ => self.retry(&step),
            },
            Err(rejected) => return violated("who is asked is heard", format!("{input:?}: {rejected}")),
            Ok(_) => input,
        };
        Ok(Answer::Says(input, format!("{step} {}", wait.text)))
    }

    /// What a wait says that one can do.
    fn what_is_asked(&self, wait: &Wait, output: Option<Value>) -> Result<Input, Violation> {
        let Some(step) = wait.step.clone() else { return violated("a wait names its step", wait.text.clone()) };
        let intervention = match wait.action.split(' ').next() {
            Some("retry") => Intervention::Retry { step },
            Some("rerun") => Intervention::RunAgain { step },
            Some("skip") => Intervention::Skip { step, output },
            _ => return violated("a wait names its cause and who can end it", format!("{wait:?}")),
        };
        Ok(Input::Intervene { actor: actor(0), reason: "it works again".to_owned(), intervention })
    }

    fn retry(&self, step: &StepName) -> Input {
        Input::Intervene {
            actor: actor(0),
            reason: "it works again".to_owned(),
            intervention: Intervention::Retry { step: step.clone() },
        }
    }

    /// Somebody wants a release back that has ended, or to go on.
    pub fn regret(&mut self, release: &Release) -> Input {
        let failed = runs(release).into_iter().filter(|it| {
            matches!(
                release.step(*it).state,
                StepState::Failed { .. } | StepState::Canceled | StepState::Paused { .. } | StepState::Held { .. }
            )
        });
        let failed: Vec<StepName> = failed.map(|it| release.name_of(it)).collect();
        let intervention = match self.dice.below(8) {
            0..3 => Intervention::Rollback,
            3..7 => Intervention::RunAgain { step: self.one_of(Some(release), failed) },
            _ => {
                let blocked = runs(release)
                    .into_iter()
                    .filter(|it| matches!(release.step(*it).state, StepState::RollbackBlocked { .. }))
                    .map(|it| release.name_of(it))
                    .collect();
                Intervention::SettleRollback { step: self.one_of(Some(release), blocked), done: true }
            }
        };
        Input::Intervene { actor: actor(0), reason: "customers complain".to_owned(), intervention }
    }
}

/// The steps of a release and the items that its steps run for.
pub fn runs(release: &Release) -> Vec<StepIndex> {
    let mut all: Vec<StepIndex> = release.plan().graph().steps().collect();
    for step in release.plan().graph().steps() {
        all.extend(release.all_items(step));
    }
    all
}
