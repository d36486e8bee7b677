//! One release, everything that happens to it, and what happened, in a time of its own.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use windlass_engine::{CallId, CallResult, Callback, Input, Release, TopicMaker};
use windlass_model::check::Installed;
use windlass_model::concurrency::{Claim, Group, Priority, QueueOrder};
use windlass_model::digest::Digest;
use windlass_model::event::{Created, Record};
use windlass_model::failure::StepError;
use windlass_model::name::TenantName;
use windlass_model::plan::Plan;
use windlass_model::time::Timestamp;
use windlass_store::MemoryStore;

use crate::counts::Counts;
use crate::dice::Dice;
use crate::people::{self, Profile};
use crate::violation::{Violation, ensure, violated};
use crate::witness::Witness;
use crate::workflows;
use crate::world::{Deed, World};

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Long journals are replayed at some of their records.
    Quick,
    /// Everything after every record, and a story is told.
    Story,
}

/// A thing that will happen.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// A call has its effect.
    Effect(u64),
    /// A call has done a part of its step.
    Checkpoint(u64),
    /// A call ends.
    Answer(u64),
    /// An answer comes to whoever drives, from a call that nobody waits for.
    Stale(CallId, Box<Result<CallResult, StepError>>),
    /// An append reaches the disk.
    Lands(u32, Disk),
    /// A driver hears of its append.
    Answered(u32, bool),
    /// A driver looks at its clock.
    Timer(u32, u64),
    /// The other side calls back; so many times it will try again.
    Callback(TopicMaker, String, u32),
    /// Somebody does something.
    Person,
    /// A process starts and takes the release over.
    Recover,
    /// A release that waits has its turn, or gives way to a newer one.
    Turn,
}

/// What the store does with an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    Writes,
    WritesAndFails,
    Fails,
}

pub(crate) struct Pending {
    pub(crate) expected: u64,
    pub(crate) record: Record,
    pub(crate) landed: bool,
}

pub(crate) struct Driver {
    pub(crate) release: Release,
    pub(crate) pending: Option<Pending>,
    pub(crate) inbox: VecDeque<(Input, bool)>,
    pub(crate) flights: BTreeMap<CallId, u64>,
    /// Another has taken over: it makes no calls any more, but does not know.
    pub(crate) stale: bool,
    pub(crate) timer: u64,
}

pub(crate) struct Flight {
    pub(crate) driver: u32,
    pub(crate) id: CallId,
    pub(crate) deed: Deed,
    pub(crate) effect: bool,
    pub(crate) comes_to_nothing: bool,
    pub(crate) answer: Result<CallResult, StepError>,
    pub(crate) twice: bool,
    pub(crate) listening: bool,
}

/// One release and its world.
pub struct Simulation {
    pub(crate) plan: Arc<Plan>,
    pub(crate) created: Created,
    pub(crate) text: String,
    pub(crate) detail: Detail,
    pub(crate) dice: Dice,
    /// Of those who keep the queue.
    pub(crate) turns: Dice,
    pub(crate) profile: Profile,
    pub(crate) now: u64,
    pub(crate) skew: i64,
    pub(crate) queue: BTreeMap<(u64, u64), Happening>,
    pub(crate) sequence: u64,
    pub(crate) store: MemoryStore,
    pub(crate) journal: Vec<Record>,
    pub(crate) drivers: BTreeMap<u32, Driver>,
    pub(crate) next_driver: u32,
    pub(crate) flights: BTreeMap<u64, Flight>,
    pub(crate) next_flight: u64,
    pub(crate) world: World,
    pub(crate) witness: Witness,
    pub(crate) healed: bool,
    /// How often somebody may want something of a release that has ended.
    pub(crate) regrets: u32,
    pub(crate) story: String,
}

/// How a run went.
#[derive(Debug)]
pub struct Ran {
    /// What happened how often.
    pub counts: Counts,
    /// What happened, a line each, if it was to be told.
    pub story: String,
    /// The rule that was broken, if one was.
    pub violation: Option<Violation>,
}

/// Runs one seed.
pub fn run(seed: u64, catalog: &Installed, detail: Detail) -> Ran {
    let mut dice = Dice::new(seed, 1);
    let made = match workflows::make(&mut dice, catalog) {
        Ok(made) => made,
        Err(what) => {
            let violation = Some(Violation { rule: "a right workflow is accepted", what });
            return Ran { counts: Counts::default(), story: String::new(), violation };
        }
    };
    let mut simulation = Simulation::new(seed, made, detail);
    // A panic of the engine is a finding like any other; what was told until then is not lost.
    let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulation.live()));
    let violation = lived.unwrap_or_else(|panic| violated("the engine never panics", said(&*panic))).err();
    Ran { counts: simulation.witness.counts, story: simulation.story, violation }
}

/// One release in ten has to wait for its turn.
fn claim(turns: &mut Dice) -> Option<Claim> {
    let group = Group { name: "simulated".to_owned(), order: QueueOrder::OldestFirst, limit: 1 };
    let claim = Claim { group: Some(group), tenant: TenantName::default(), priority: Priority::Normal };
    turns.permille(100).then_some(claim)
}

fn said(panic: &dyn std::any::Any) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it did not say why").to_owned()
}

impl Simulation {
    fn new(seed: u64, made: workflows::Made, detail: Detail) -> Self {
        let mut dice = Dice::new(seed, 2);
        let mut turns = Dice::new(seed, 4);
        let profile = Profile::new(&mut dice);
        let plan = Arc::new(made.plan);
        let created = Created {
            release: "simulated-1".parse().expect("an id"),
            plan: Digest::of(&plan.to_json()),
            components: Vec::new(),
            parameters: made.parameters,
            requested_by: people::actor(dice.below(workflows::PEOPLE.len() as u64) as usize),
            salt: seed.to_be_bytes().repeat(2).try_into().expect("16 bytes"),
            parent: None,
            // One release in twelve only shows that it can be rolled back.
            rehearsal: Dice::new(seed, 5).permille(80),
            // One in twelve of the others only shows what it would do.
            dry_run: !Dice::new(seed, 5).permille(80) && Dice::new(seed, 6).permille(80),
            recorded: false,
            claim: claim(&mut turns),
        };
        Self {
            witness: Witness::new(plan.clone(), created.clone()),
            plan,
            created,
            text: made.text,
            detail,
            dice,
            turns,
            profile,
            now: 1_000_000_000,
            skew: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            store: MemoryStore::new(),
            journal: Vec::new(),
            drivers: BTreeMap::new(),
            next_driver: 1,
            flights: BTreeMap::new(),
            next_flight: 0,
            world: World::default(),
            healed: false,
            regrets: 2,
            story: String::new(),
        }
    }

    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp(self.now.saturating_add_signed(self.skew))
    }

    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.detail == Detail::Story {
            let seconds = (self.now - 1_000_000_000) as f64 / 1000.0;
            // Writing into a text cannot fail.
            let _ = writeln!(self.story, "{seconds:>9.3}  {}", line());
        }
    }

    pub(crate) fn later(&mut self, after: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), happening);
    }

    fn live(&mut self) -> Result<(), Violation> {
        let text = self.text.clone();
        self.tell(|| format!("the workflow, started by {}:\n{text}", text.len()));
        self.create()?;
        let limit = self.profile.happenings + 30 * self.plan.graph().len() as u64;
        let mut happened = 0;
        while happened < limit {
            if self.is_over() && !self.regret()? {
                break;
            }
            happened += 1;
            let Some(happening) = self.next() else { break };
            self.happen(happening)?;
            self.misfortune()?;
        }
        self.heal()?;
        // Once the world is willing, a step takes a handful of happenings, however many attempts it had.
        let limit = 2000 + 400 * self.plan.graph().len() as u64;
        for _ in 0..limit {
            if self.is_over() && !self.regret()? {
                return self.after_the_end();
            }
            match self.next() {
                Some(happening) => self.happen(happening)?,
                None => self.people_answer()?,
            }
        }
        violated("a release ends once the world is willing", format!("not after {limit} happenings"))
    }

    fn next(&mut self) -> Option<Happening> {
        let ((at, _), happening) = self.queue.pop_first()?;
        self.now = self.now.max(at);
        Some(happening)
    }

    /// Whether the release has ended and everybody knows.
    fn is_over(&self) -> bool {
        let ended = self.journal.last().is_some_and(|it| {
            it.events.iter().any(|it| matches!(it, windlass_model::event::Event::ReleaseEnded { .. }))
        });
        ended && self.drivers.is_empty()
    }

    fn after_the_end(&mut self) -> Result<(), Violation> {
        let records = self.stored()?;
        let release = self.replay(&records)?;
        ensure(release.outcome().is_some(), "the store keeps the end", || format!("{:?}", release.state()))?;
        self.tell(|| format!("it is over: {}", release.state().name()));
        Ok(())
    }

    fn create(&mut self) -> Result<(), Violation> {
        let (release, record) = Release::create(self.plan.clone(), self.created.clone(), self.wall());
        self.append(0, &record)
            .map_err(|error| Violation { rule: "a release can be created", what: error.to_string() })?;
        self.landed(record, &release)?;
        if self.profile.crashes && self.dice.permille(50) {
            self.witness.counts.add("crash: just after the creation");
            self.tell(|| "the process ends just after the creation".to_owned());
            self.later(1000, Happening::Recover);
        } else {
            let driver = self.drive(release);
            self.match_up(driver)?;
        }
        if self.witness.is_queued() {
            let after = self.turns.below(60_000);
            self.later(after, Happening::Turn);
        }
        let first = self.dice.below(self.profile.people);
        self.later(first, Happening::Person);
        Ok(())
    }

    pub(crate) fn drive(&mut self, release: Release) -> u32 {
        let driver = self.next_driver;
        self.next_driver += 1;
        let new =
            Driver { release, pending: None, inbox: VecDeque::new(), flights: BTreeMap::new(), stale: false, timer: 0 };
        self.drivers.insert(driver, new);
        driver
    }

    /// Who drives the release now, and knows it.
    pub(crate) fn current(&self) -> Option<u32> {
        self.drivers.iter().rev().find(|(_, it)| !it.stale).map(|(driver, _)| *driver)
    }

    pub(crate) fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Effect(flight) => self.effect(flight),
            Happening::Checkpoint(flight) => {
                let Some(Flight { driver, id, listening: true, .. }) = self.flights.get(&flight) else { return Ok(()) };
                let (driver, call) = (*driver, *id);
                // What was so before, or what a piece of work came to.
                let (name, value) = match call.attempt {
                    attempt if attempt.is_multiple_of(2) => (format!("part/{attempt:032x}"), vec![1]),
                    attempt => ("part".to_owned(), attempt.to_be_bytes().to_vec()),
                };
                let input = Input::CheckpointReached { call, name, value };
                self.input(driver, input, false)
            }
            Happening::Answer(flight) => self.answer(flight),
            Happening::Stale(call, result) => {
                let Some(driver) = self.current() else { return Ok(()) };
                self.witness.counts.add("answer: late");
                let dice = self.dice.draw();
                self.input(driver, Input::CallEnded { call, result: *result, dice }, true)
            }
            Happening::Lands(driver, disk) => self.lands(driver, disk),
            Happening::Answered(driver, fine) => self.answered(driver, fine),
            Happening::Timer(driver, timer) => {
                let due = self.drivers.get(&driver).is_some_and(|it| it.timer == timer && it.pending.is_none());
                let dice = self.dice.draw();
                if due { self.input(driver, Input::Tick { dice }, false) } else { Ok(()) }
            }
            Happening::Callback(maker, topic, again) => self.callback(maker, topic, again),
            Happening::Person => self.person(),
            Happening::Recover => self.recover(),
            Happening::Turn => self.turn(),
        }
    }

    /// Whoever keeps the queue tells the release what its turn is until that is recorded.
    fn turn(&mut self) -> Result<(), Violation> {
        if !self.witness.is_queued() {
            return Ok(());
        }
        let after = self.turns.between(1, 10_000);
        self.later(after, Happening::Turn);
        let input = if self.turns.permille(100) {
            Input::Superseded { by: "simulated-2".parse().expect("an id") }
        } else {
            Input::Admitted
        };
        match self.current() {
            Some(driver) => self.input(driver, input, false),
            None => Ok(()),
        }
    }

    pub(crate) fn effect(&mut self, flight: u64) -> Result<(), Violation> {
        let Some(it) = self.flights.get_mut(&flight).filter(|it| it.effect) else { return Ok(()) };
        it.effect = false;
        let (deed, comes_to_nothing) = (it.deed.clone(), it.comes_to_nothing);
        let name = self.witness.name(deed.step);
        self.tell(|| format!("    {} of {name} has its effect under {}", deed.operation.name(), deed.key));
        self.world.happen(&deed)?;
        if comes_to_nothing {
            self.world.come_to_nothing(&deed);
        }
        Ok(())
    }

    fn answer(&mut self, flight: u64) -> Result<(), Violation> {
        let Some(it) = self.flights.remove(&flight) else { return Ok(()) };
        if !it.listening {
            return Ok(());
        }
        if it.comes_to_nothing {
            self.world.come_to_nothing(&it.deed);
        }
        if it.twice {
            self.witness.counts.add("answer: a second time");
            let after = self.dice.between(1, 5000);
            self.later(after, Happening::Stale(it.id, Box::new(it.answer.clone())));
        }
        if let Ok(CallResult::Suspended(suspension)) = &it.answer {
            for wake in suspension.wakes.clone() {
                if let windlass_engine::WakeCondition::Callback(topic) = wake {
                    // Sometimes before the suspension is recorded, sometimes long after its timer.
                    let after = self.dice.below(60_000);
                    self.later(after, Happening::Callback(self.maker(it.id), topic, 20));
                }
            }
        }
        let dice = self.dice.draw();
        self.input(it.driver, Input::CallEnded { call: it.id, result: it.answer, dice }, false)
    }

    /// What the topics of a call say of it.
    pub(crate) fn maker(&self, id: CallId) -> TopicMaker {
        TopicMaker { step: self.witness.name(id.step), operation: id.operation, attempt: id.attempt }
    }

    fn callback(&mut self, maker: TopicMaker, topic: String, again: u32) -> Result<(), Violation> {
        // The other side does not hear the answer to every call, and then calls again.
        if again > 0 {
            self.later(10_000, Happening::Callback(maker.clone(), topic.clone(), again - 1));
        }
        let callback = Callback {
            headers: vec![("x-from".to_owned(), "the other side".to_owned())],
            body: topic.clone().into_bytes(),
            topic,
        };
        match self.current() {
            Some(driver) => self.input(driver, Input::Callback { callback, maker }, false),
            None => Ok(()),
        }
    }

    /// A call that nobody listens to any more: its effect happened, or never will.
    pub(crate) fn cut(&mut self, flight: u64) -> Result<(), Violation> {
        let Some(it) = self.flights.get_mut(&flight) else { return Ok(()) };
        it.listening = false;
        let (id, answer, may) = (it.id, it.answer.clone(), it.effect);
        if may && self.dice.permille(500) {
            self.effect(flight)?;
            self.witness.counts.add("call: cut off, its effect had happened");
        } else if may {
            self.witness.counts.add("call: cut off, its effect had not happened");
        }
        self.flights.remove(&flight);
        if self.dice.permille(300) {
            let after = self.dice.below(20_000);
            self.later(after, Happening::Stale(id, Box::new(answer)));
        }
        Ok(())
    }

    /// From now on the world is willing, the store works and nothing crashes.
    fn heal(&mut self) -> Result<(), Violation> {
        self.healed = true;
        self.tell(|| "from now on the world is willing".to_owned());
        self.queue.retain(|_, it| !matches!(it, Happening::Person));
        let stale: Vec<u32> = self.drivers.iter().filter(|(_, it)| it.stale).map(|(it, _)| *it).collect();
        for number in stale {
            self.end_driver(number)?;
        }
        self.recover()?;
        if let Some(number) = self.drivers.iter().find(|(_, it)| it.stale).map(|(it, _)| *it) {
            self.end_driver(number)?;
        }
        Ok(())
    }

    /// The release that is driven, when it is not being decided about.
    pub(crate) fn resting(&self) -> Option<(u32, Release)> {
        let number = self.current()?;
        let driver = &self.drivers[&number];
        driver.pending.is_none().then(|| (number, driver.release.clone()))
    }
}
