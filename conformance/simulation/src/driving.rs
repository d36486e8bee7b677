//! What the driver of a release does, step by step instead of in tasks: decide, append, and only then
//! change which calls go on. A process can end between any two of these.

use std::collections::BTreeSet;

use futures::FutureExt;
use windlass_engine::{CallId, CallResult, Input, Rejected, Release, WakeCondition};
use windlass_model::event::{Event, Record};
use windlass_store::{Append, AppendError, Store, format};

use crate::simulation::{Detail, Disk, Flight, Happening, Pending, Simulation};
use crate::violation::{Violation, ensure, violated};
use crate::world::{Deed, HANG, Verb};

impl Simulation {
    /// Starts the calls that are missing and stops the rest.
    pub(crate) fn match_up(&mut self, number: u32) -> Result<(), Violation> {
        let Some(driver) = self.drivers.get_mut(&number) else { return Ok(()) };
        let release = &driver.release;
        let unwanted: Vec<(CallId, u64)> =
            driver.flights.iter().filter(|(id, _)| release.order(**id).is_none()).map(|(a, b)| (*a, *b)).collect();
        let missing: Vec<CallId> = release.calls().filter(|it| !driver.flights.contains_key(it)).collect();
        let (ended, stale) = (release.outcome().is_some(), driver.stale);
        for (id, _) in &unwanted {
            driver.flights.remove(id);
        }
        for (_, flight) in unwanted {
            self.cut(flight)?;
        }
        if ended {
            self.drivers.remove(&number);
            return Ok(());
        }
        if !stale {
            for id in missing {
                self.begin(number, id)?;
            }
        }
        self.set_timer(number);
        Ok(())
    }

    fn begin(&mut self, number: u32, id: CallId) -> Result<(), Violation> {
        let Some(order) = self.drivers.get(&number).and_then(|it| it.release.order(id)) else { return Ok(()) };
        self.witness.begin(&order)?;
        let trouble = if self.healed { 0 } else { self.profile.trouble };
        let pin = self.witness.pin(id.step).clone();
        let wall = self.wall();
        let fate = self.world.fate(&mut self.dice, trouble, &order, &pin, wall);
        let fate = match &order.dry_run {
            Some(dry_run) => fate.stopped(&mut self.turns, dry_run),
            None => fate,
        };
        let verb = Verb::of(&order);
        self.witness.counts.add(match verb {
            Verb::Start => "call: start",
            Verb::Resume => "call: resume",
            Verb::Cancel => "call: cancel",
            Verb::Rollback => "call: rollback",
            Verb::Find => "call: find",
        });
        if fate.answer_after == HANG {
            self.witness.counts.add("call: hangs");
        }
        let flight = self.next_flight;
        self.next_flight += 1;
        let name = self.witness.name(id.step);
        self.tell(|| {
            format!("  {} {name} (attempt {}, call {}) will answer {:?}", verb.name(), id.attempt, id.call, fate.answer)
        });
        if let Some(after) = fate.effect_after {
            self.later(after, Happening::Effect(flight));
        }
        if fate.checkpoint {
            self.later(fate.answer_after / 2, Happening::Checkpoint(flight));
        }
        self.later(fate.answer_after, Happening::Answer(flight));
        if let Ok(CallResult::Suspended(suspension)) = &fate.answer {
            for wake in &suspension.wakes {
                // Who is told first calls first, before the call that told it has ended.
                if let WakeCondition::Callback(topic) = wake
                    && self.dice.permille(300)
                {
                    let after = self.dice.below(fate.answer_after + 1);
                    self.later(after, Happening::Callback(self.maker(id), topic.clone(), 20));
                }
            }
        }
        let new = Flight {
            driver: number,
            id,
            deed: Deed::of(&order, &pin, self.witness.run_of(id.step)),
            effect: fate.effect_after.is_some(),
            comes_to_nothing: fate.comes_to_nothing,
            answer: fate.answer,
            twice: fate.twice,
            listening: true,
        };
        self.flights.insert(flight, new);
        if let Some(driver) = self.drivers.get_mut(&number) {
            driver.flights.insert(id, flight);
        }
        Ok(())
    }

    fn set_timer(&mut self, number: u32) {
        let wall = self.wall();
        let Some(driver) = self.drivers.get_mut(&number) else { return };
        driver.timer += 1;
        let timer = driver.timer;
        if let Some(at) = driver.release.wake_at() {
            self.later(at.since(wall).0, Happening::Timer(number, timer));
        }
    }

    /// Something comes in at a driver. `late` answers must be refused.
    pub(crate) fn input(&mut self, number: u32, input: Input, late: bool) -> Result<(), Violation> {
        let wall = self.wall();
        let Some(driver) = self.drivers.get_mut(&number) else { return Ok(()) };
        if driver.pending.is_some() {
            driver.inbox.push_back((input, late));
            return Ok(());
        }
        if let (Input::CallEnded { call, .. }, false) = (&input, late) {
            driver.flights.remove(call);
        }
        let expected = driver.release.records();
        let before = driver.release.clone();
        let line = format!("{input:?}");
        let asked = input.clone();
        let is_tick = matches!(input, Input::Tick { .. });
        let due = driver.release.wake_at().is_some_and(|it| it <= wall);
        match driver.release.decide(input, wall) {
            Err(rejected) => {
                let same = driver.release == before;
                ensure(same, "what is refused changes nothing", || format!("{line}: {rejected}"))?;
                // Who is out of date may be wrong.
                if before.records() == self.witness.records() {
                    self.witness.refused(&asked)?;
                }
                self.refused(number, &line, &rejected, late);
                self.set_timer(number);
                Ok(())
            }
            Ok(_) if late => violated("a late answer changes nothing", line),
            Ok(None) => {
                ensure(driver.release == before, "what is not recorded changes nothing", || line.clone())?;
                ensure(!(is_tick && due), "a timer that is due does something", || format!("{:?}", before.due(wall)))?;
                self.match_up(number)
            }
            Ok(Some(record)) => {
                driver.pending = Some(Pending { expected, record, landed: false });
                let disk = if self.healed || !self.dice.permille(self.profile.store) {
                    Disk::Writes
                } else if self.dice.permille(500) {
                    Disk::WritesAndFails
                } else {
                    Disk::Fails
                };
                let slow = !self.healed && self.dice.permille(50);
                let after = if slow { self.dice.between(100, 10_000) } else { self.dice.between(0, 5) };
                self.tell(|| format!("driver {number} decides: {}", line.chars().take(160).collect::<String>()));
                self.later(after, Happening::Lands(number, disk));
                Ok(())
            }
        }
    }

    fn refused(&mut self, number: u32, line: &str, rejected: &Rejected, late: bool) {
        if !late {
            self.witness.counts.add(match rejected {
                Rejected::NotHeld { .. } | Rejected::NotEligible { .. } | Rejected::AlreadyVoted { .. } => {
                    "vote: refused"
                }
                Rejected::NotPaused { .. }
                | Rejected::NoInput { .. }
                | Rejected::HasNotRun { .. }
                | Rejected::StillRuns { .. }
                | Rejected::NotSkippable { .. }
                | Rejected::Mandatory { .. }
                | Rejected::OutputNeeded { .. }
                | Rejected::NoOutput { .. }
                | Rejected::NotBlocked { .. }
                | Rejected::RunsLast { .. }
                | Rejected::PastPivot { .. }
                | Rejected::WrongState { .. }
                | Rejected::NothingToDecide
                | Rejected::NoReason => "intervention: refused",
                Rejected::CallbackRepeated => "callback: refused, it had come before",
                Rejected::CallbackOver => "callback: refused, it was over",
                Rejected::LateAnswer
                | Rejected::UnknownTopic
                | Rejected::NotToBeHeld
                | Rejected::TooManyCallbacks
                | Rejected::NotConcerned { .. }
                | Rejected::NoReview
                | Rejected::NoCause
                | Rejected::AlertRepeated
                | Rejected::TooManyCheckpoints
                | Rejected::UnknownStep { .. }
                | Rejected::UnknownItem { .. } => "input: refused",
            });
        }
        self.tell(|| format!("driver {number} refuses {}: {rejected}", line.chars().take(90).collect::<String>()));
    }

    pub(crate) fn append(&self, expected: u64, record: &Record) -> Result<(), AppendError> {
        let append = Append { release: self.created.release.clone(), expected, record: record.clone(), outline: None };
        self.store.append(append).now_or_never().expect("the memory store answers at once")
    }

    pub(crate) fn lands(&mut self, number: u32, disk: Disk) -> Result<(), Violation> {
        let Some(driver) = self.drivers.get_mut(&number) else { return Ok(()) };
        let Some(pending) = driver.pending.as_mut().filter(|it| !it.landed) else { return Ok(()) };
        pending.landed = true;
        let (expected, record) = (pending.expected, pending.record.clone());
        let after = self.dice.below(5);
        if disk == Disk::Fails {
            self.witness.counts.add("store: append failed, nothing written");
            self.tell(|| format!("driver {number}'s append fails, nothing is written"));
            self.later(after, Happening::Answered(number, false));
            return Ok(());
        }
        match self.append(expected, &record) {
            Ok(()) => {
                let release = self.drivers[&number].release.clone();
                self.landed(record, &release)?;
                if disk == Disk::WritesAndFails {
                    self.witness.counts.add("store: append failed, but written");
                    self.tell(|| "… but the store says that it failed".to_owned());
                }
                self.later(after, Happening::Answered(number, disk == Disk::Writes));
            }
            Err(AppendError::Conflict { .. }) => {
                self.witness.counts.add("store: conflict");
                self.tell(|| format!("driver {number}'s append conflicts"));
                self.later(after, Happening::Answered(number, false));
            }
            Err(error) => return violated("a record can be written", error.to_string()),
        }
        Ok(())
    }

    /// A record is durable.
    pub(crate) fn landed(&mut self, record: Record, release: &Release) -> Result<(), Violation> {
        let number = self.journal.len();
        self.tell(|| {
            let events: Vec<String> = record.events.iter().map(|it| format!("\n              {it:?}")).collect();
            format!("record {number} at {}:{}", record.at, events.concat())
        });
        for event in &record.events {
            if let Event::RollbackSettled { step, done: true } = event
                && let Some(index) = release.index_of(step)
            {
                self.world.taken_back(index);
            }
        }
        self.witness.read(&record, &self.world)?;
        let written = format::encode_record(&record);
        let read = format::open_here(&written).and_then(format::decode_record);
        ensure(read.as_ref() == Ok(&record), "what is written is read back", || format!("{record:?}"))?;
        self.journal.push(record);
        self.witness.compare(release)?;
        let often = match self.detail {
            Detail::Story => 1,
            Detail::Quick => 1 + self.journal.len() / 24,
        };
        if self.journal.len().is_multiple_of(often) || release.outcome().is_some() {
            let replayed = self.replay(&self.journal)?;
            ensure(replayed == *release, "a journal replays to the same state", || {
                format!("replayed {replayed:#?}\nlive {release:#?}")
            })?;
        }
        Ok(())
    }

    pub(crate) fn replay(&self, records: &[Record]) -> Result<Release, Violation> {
        Release::replay(self.plan.clone(), records)
            .map_err(|error| Violation { rule: "every prefix of a journal replays", what: error.to_string() })
    }

    pub(crate) fn stored(&self) -> Result<Vec<Record>, Violation> {
        self.store
            .journal(&self.created.release)
            .map_err(|error| Violation { rule: "a journal can be read", what: error.to_string() })
    }

    pub(crate) fn answered(&mut self, number: u32, fine: bool) -> Result<(), Violation> {
        let Some(driver) = self.drivers.get_mut(&number) else { return Ok(()) };
        if !fine {
            let was_current = !driver.stale;
            self.end_driver(number)?;
            if was_current {
                let after = self.dice.between(1, 3000);
                self.later(after, Happening::Recover);
            }
            return Ok(());
        }
        driver.pending = None;
        if driver.stale {
            // It got a word in, which the other does not know; soon the other will have to look again.
            self.witness.counts.add("takeover: the driver before still recorded something");
            self.end_driver(number)?;
            self.later(10, Happening::Recover);
            return Ok(());
        }
        self.match_up(number)?;
        while let Some(driver) = self.drivers.get_mut(&number) {
            if driver.pending.is_some() {
                break;
            }
            let Some((input, late)) = driver.inbox.pop_front() else { break };
            self.input(number, input, late)?;
        }
        Ok(())
    }

    pub(crate) fn end_driver(&mut self, number: u32) -> Result<(), Violation> {
        if let Some(driver) = self.drivers.remove(&number) {
            for flight in driver.flights.into_values() {
                self.cut(flight)?;
            }
        }
        Ok(())
    }

    pub(crate) fn recover(&mut self) -> Result<(), Violation> {
        let stale: Vec<u32> = self.drivers.iter().filter(|(_, it)| it.stale).map(|(it, _)| *it).collect();
        for number in stale {
            self.end_driver(number)?;
        }
        let Some(number) = self.current() else { return self.take_over("takeover: from a driver that was gone") };
        // Its calls are cut off; what it hears and has sent is still on its way.
        let flights: Vec<u64> = self.drivers[&number].flights.values().copied().collect();
        for flight in flights {
            self.cut(flight)?;
        }
        if let Some(driver) = self.drivers.get_mut(&number) {
            driver.stale = true;
            driver.flights.clear();
        }
        self.take_over("takeover: from a driver that still lived")
    }

    fn take_over(&mut self, how: &'static str) -> Result<(), Violation> {
        let records = self.stored()?;
        let release = self.replay(&records)?;
        if release.outcome().is_some() {
            let left: BTreeSet<u32> = self.drivers.keys().copied().collect();
            for number in left {
                self.end_driver(number)?;
            }
            return Ok(());
        }
        self.witness.counts.add(how);
        let number = self.drive(release);
        self.tell(|| format!("driver {number} takes over"));
        self.input(number, Input::TakenOver, false)
    }

    /// Ends the process, jumps the clock, or brings another driver in, now and then.
    pub(crate) fn misfortune(&mut self) -> Result<(), Violation> {
        if self.profile.crashes
            && self.dice.permille(self.profile.crash)
            && let Some(number) = self.current()
        {
            return self.crash(number);
        }
        if self.profile.crashes && self.dice.permille(self.profile.crash / 3) && self.current().is_some() {
            return self.recover();
        }
        if self.dice.permille(self.profile.jumps) {
            let by = match self.dice.below(3) {
                0 => self.dice.below(5_000),
                1 => self.dice.below(120_000),
                _ => self.dice.below(4_000_000),
            } as i64;
            let ahead = self.dice.permille(500);
            self.skew += if ahead { by } else { -by };
            self.witness.counts.add(if ahead { "clock: jumped ahead" } else { "clock: jumped back" });
            self.tell(|| format!("the clock jumps by {} ms", if ahead { by } else { -by }));
        }
        Ok(())
    }

    fn crash(&mut self, number: u32) -> Result<(), Violation> {
        let pending = self.drivers[&number].pending.as_ref().map(|it| it.landed);
        self.tell(|| format!("driver {number} crashes"));
        let when = match pending {
            Some(false) => {
                // What was on its way to the disk may still get there.
                if self.dice.permille(500) {
                    self.lands(number, Disk::Writes)?;
                }
                "crash: before the record was durable"
            }
            Some(true) => "crash: after the record was durable",
            None => "crash: at rest or in calls",
        };
        self.witness.counts.add(when);
        let stale: Vec<u32> = self.drivers.keys().copied().collect();
        for number in stale {
            self.end_driver(number)?;
        }
        let after = if self.dice.permille(300) { self.dice.below(600_000) } else { self.dice.below(3000) };
        self.later(after, Happening::Recover);
        Ok(())
    }

    /// As a command does that opens the store while nothing runs.
    pub(crate) fn unattended(&mut self, input: Input) -> Result<(), Violation> {
        let records = self.stored()?;
        let mut release = self.replay(&records)?;
        let (before, expected) = (release.clone(), release.records());
        let line = format!("{input:?}");
        let asked = input.clone();
        match release.decide_unattended(input, self.wall()) {
            Err(rejected) => {
                self.witness.refused(&asked)?;
                ensure(release == before, "what is refused changes nothing", || format!("{line}: {rejected}"))?;
                self.refused(0, &line, &rejected, false);
            }
            Ok(None) => {}
            Ok(Some(record)) => {
                self.witness.counts.add("takeover: unattended input");
                self.tell(|| format!("unattended: {line}"));
                if self.dice.permille(900) {
                    if let Err(error) = self.append(expected, &record) {
                        return violated("a record can be written", error.to_string());
                    }
                    self.landed(record, &release)?;
                }
            }
        }
        Ok(())
    }
}
