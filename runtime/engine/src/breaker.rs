//! Circuit breakers: what has failed too often is left alone for a while, and then tried once.
//!
//! Closed, a breaker counts; when too much has failed it opens, and holds who asks. After its cooldown it is half
//! open: one at a time is let through as a probe, and enough good probes close it. What a person has opened stays
//! open until a person closes it; what an alert has opened stays open until that is resolved, and cools down then.
//!
//! **Invariant:** there is at most one probe, and only its end closes a breaker or opens it again.
//! **Invariant:** a breaker whose window breaks its rule is not closed after it has been asked or told anything.
//! **Invariant:** time passes for it as far as the clock goes forward; a clock that is set back keeps nothing open,
//! and one that jumps ahead and back again does not stop it.
//! **Invariant:** while an alert fires that nobody has dismissed it is open, and no cooldown ends.
//! **Invariant:** it grows with nothing: samples are counted in buckets, and a few of the last ones are kept.

mod window;

use std::collections::VecDeque;

use windlass_model::actor::Actor;
use windlass_model::breaker::BreakerSettings;
use windlass_model::time::{Span, Timestamp};

use self::window::Window;

/// How many samples are kept as they were.
pub const SAMPLES_KEPT: usize = 20;

/// How many changes are kept.
pub const CHANGES_KEPT: usize = 50;

/// How many alerts a breaker knows of at once; a new one takes the place of one that was dismissed, if there is one.
pub const ALARMS_MAX: usize = 100;

/// An alert that keeps a breaker open while it fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// The same for alerts with the same labels.
    pub fingerprint: String,
    /// Since when it fires; with the fingerprint it says which one it is, however often it is sent.
    pub starts_at: Timestamp,
    /// The alert in words.
    pub says: String,
    /// Whether somebody has closed the breaker all the same.
    pub dismissed: bool,
}

/// Whether something may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Nothing is in the way.
    Free,
    /// It may, and how it ends decides.
    Probe,
    /// Not now.
    Held,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerPhase {
    /// All goes through.
    Closed,
    /// Nothing goes through.
    Open,
    /// One at a time goes through.
    HalfOpen,
}

impl BreakerPhase {
    /// Every phase with its name.
    pub const ALL: [(BreakerPhase, &'static str); 3] =
        [(Self::Closed, "closed"), (Self::Open, "open"), (Self::HalfOpen, "half-open")];

    /// Its name on screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Why a breaker is not closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// In a sentence.
    pub why: String,
    /// Who opened it, if it was a person.
    pub by: Option<Actor>,
}

/// Who was let through to see whether it works again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Who.
    pub who: String,
    /// Since when.
    pub since: Timestamp,
}

/// How something ended that a breaker watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// What it was.
    pub who: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// A breaker got another phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// Which.
    pub to: BreakerPhase,
    /// Why.
    pub why: String,
    /// Who did it, if it was a person.
    pub by: Option<Actor>,
}

/// All there is to tell of a breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Where it stands.
    pub phase: BreakerPhase,
    /// Since when.
    pub since: Timestamp,
    /// Why it is not closed.
    pub opening: Option<Opening>,
    /// When it lets the next probe through, if it does so by itself.
    pub until: Option<Timestamp>,
    /// Probes that ended well so far.
    pub good: u32,
    /// Who is let through now.
    pub probe: Option<Probe>,
    /// Failures in the window.
    pub failures: u64,
    /// Samples in the window.
    pub counted: u64,
    /// Failures in a row.
    pub row: u32,
    /// The last samples, the last one last.
    pub samples: Vec<Sample>,
    /// The last changes, the last one last.
    pub changes: Vec<Change>,
    /// Alerts that fire.
    pub alarms: Vec<Alarm>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        opening: Opening,
        /// When its cooldown ends, in time that has passed; none when a person closes it, or alerts have to be resolved.
        ends: Option<u64>,
    },
    HalfOpen {
        opening: Opening,
        good: u32,
        probe: Option<Probe>,
    },
}

/// A circuit breaker. Without settings only people open and close it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    settings: Option<BreakerSettings>,
    state: State,
    since: Timestamp,
    /// Time that has passed, in milliseconds, as far as the clock went forward.
    elapsed: u64,
    /// What the clock said last.
    clock: Timestamp,
    window: Window,
    row: u32,
    samples: VecDeque<Sample>,
    changes: VecDeque<Change>,
    alarms: Vec<Alarm>,
    /// How often it has changed.
    changed: u64,
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: Option<BreakerSettings>, now: Timestamp) -> Self {
        Self {
            settings,
            state: State::Closed,
            since: now,
            elapsed: 0,
            clock: now,
            window: Window::of(settings.map_or_else(Span::default, |it| it.within())),
            row: 0,
            samples: VecDeque::new(),
            changes: VecDeque::new(),
            alarms: Vec::new(),
            changed: 0,
        }
    }

    /// As it was when [`Self::snapshot`] was taken, but for the samples it had counted and who was its probe: who
    /// was let through then has to ask again.
    pub fn restore(settings: Option<BreakerSettings>, snapshot: Snapshot, now: Timestamp) -> Self {
        let Snapshot { phase, since, opening, until, good, samples, changes, alarms, .. } = snapshot;
        let is_alarmed = alarms.iter().any(|it| !it.dismissed);
        let state = match (phase, opening) {
            (BreakerPhase::Closed, _) | (_, None) => State::Closed,
            (BreakerPhase::Open, Some(opening)) => {
                let ends = opening.by.is_none() && !is_alarmed;
                let cooldown = settings.filter(|_| ends).map(|it| it.cooldown());
                // The clock may have been set meanwhile: never longer than a whole cooldown.
                let left = cooldown.map(|it| until.map_or(it, |until| until.since(now).min(it)));
                State::Open { opening, ends: left.map(|it| it.as_millis()) }
            }
            (BreakerPhase::HalfOpen, Some(opening)) => State::HalfOpen { opening, good, probe: None },
        };
        let mut breaker = Self { state, since, ..Self::new(settings, now) };
        breaker.samples = samples.into_iter().rev().take(SAMPLES_KEPT).rev().collect();
        breaker.changes = changes.into_iter().rev().take(CHANGES_KEPT).rev().collect();
        breaker.alarms = alarms;
        breaker
    }

    /// All there is to tell of it.
    pub fn snapshot(&mut self, now: Timestamp) -> Snapshot {
        self.pass(now);
        let (failures, counted) = self.window.counts(self.elapsed);
        let (phase, opening, good, probe) = match &self.state {
            State::Closed => (BreakerPhase::Closed, None, 0, None),
            State::Open { opening, .. } => (BreakerPhase::Open, Some(opening.clone()), 0, None),
            State::HalfOpen { opening, good, probe } => {
                (BreakerPhase::HalfOpen, Some(opening.clone()), *good, probe.clone())
            }
        };
        Snapshot {
            phase,
            since: self.since,
            opening,
            until: self.due(),
            good,
            probe,
            failures,
            counted,
            row: self.row,
            samples: self.samples.iter().cloned().collect(),
            changes: self.changes.iter().cloned().collect(),
            alarms: self.alarms.clone(),
        }
    }

    /// When it opens and closes by itself.
    pub fn settings(&self) -> Option<BreakerSettings> {
        self.settings
    }

    /// Where it stands.
    pub fn phase(&self) -> BreakerPhase {
        match self.state {
            State::Closed => BreakerPhase::Closed,
            State::Open { .. } => BreakerPhase::Open,
            State::HalfOpen { .. } => BreakerPhase::HalfOpen,
        }
    }

    /// Why it is not closed.
    pub fn opening(&self) -> Option<&Opening> {
        match &self.state {
            State::Closed => None,
            State::Open { opening, .. } | State::HalfOpen { opening, .. } => Some(opening),
        }
    }

    /// Whether a person opened it, so that only a person closes it.
    pub fn is_tripped(&self) -> bool {
        self.opening().is_some_and(|it| it.by.is_some())
    }

    /// Whether somebody else could be let through as a probe now.
    pub fn wants_a_probe(&self) -> bool {
        matches!(self.state, State::HalfOpen { probe: None, .. })
    }

    /// How often it has changed: its phase, or the alerts that it knows of.
    pub fn changed(&self) -> u64 {
        self.changed
    }

    /// When its cooldown ends, by the clock as it was last seen.
    pub fn due(&self) -> Option<Timestamp> {
        match &self.state {
            State::Open { ends: Some(ends), .. } => Some(self.clock + Span(ends.saturating_sub(self.elapsed))),
            State::Open { ends: None, .. } | State::Closed | State::HalfOpen { .. } => None,
        }
    }

    /// Lets time pass: a cooldown may be over, and old samples do not count any more.
    pub fn pass(&mut self, now: Timestamp) {
        self.elapsed = self.elapsed.saturating_add(now.since(self.clock).as_millis());
        self.clock = now;
        match &self.state {
            State::Open { opening, ends: Some(ends) } if *ends <= self.elapsed => {
                let state = State::HalfOpen { opening: opening.clone(), good: 0, probe: None };
                self.become_so(state, "its cooldown is over".to_owned(), None);
            }
            // The good ones may have grown old before the failures.
            State::Closed => self.judge(),
            State::Open { .. } | State::HalfOpen { .. } => {}
        }
    }

    /// Asks whether `who` may start. Who is the probe already may.
    pub fn admit(&mut self, who: &str, now: Timestamp) -> Admission {
        self.pass(now);
        match &mut self.state {
            State::Closed => Admission::Free,
            State::Open { .. } => Admission::Held,
            State::HalfOpen { probe: Some(probe), .. } if probe.who == who => Admission::Probe,
            State::HalfOpen { probe: Some(_), .. } => Admission::Held,
            State::HalfOpen { probe, .. } => {
                *probe = Some(Probe { who: who.to_owned(), since: now });
                Admission::Probe
            }
        }
    }

    /// Whether what says nothing of it by its end, and so can be no probe, may start.
    pub fn passes(&mut self, now: Timestamp) -> bool {
        self.pass(now);
        self.phase() != BreakerPhase::Open
    }

    /// Whether `who` was let through to see whether it works again.
    pub fn is_probed_by(&self, who: &str) -> bool {
        matches!(&self.state, State::HalfOpen { probe: Some(probe), .. } if probe.who == who)
    }

    /// Tells how something ended. While it is open that changes nothing, and while it is half open only the probe
    /// does.
    pub fn observe(&mut self, who: &str, failure: Option<String>, now: Timestamp) {
        self.pass(now);
        let failed = failure.is_some();
        let why = failure.clone().unwrap_or_default();
        while self.samples.len() >= SAMPLES_KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { at: now, who: who.to_owned(), failure });
        match &mut self.state {
            State::Closed => {
                self.row = if failed { self.row.saturating_add(1) } else { 0 };
                self.window.add(self.elapsed, failed);
                self.judge();
            }
            State::Open { .. } => {}
            State::HalfOpen { good, probe, .. } if probe.as_ref().is_some_and(|it| it.who == who) => {
                *probe = None;
                if failed {
                    return self.open(format!("the probe {who} failed: {why}"));
                }
                *good += 1;
                let (good, wanted) = (*good, self.settings.map_or(1, |it| it.probes()));
                if good >= wanted {
                    self.close(format!("the probe {who} ended well"), None);
                }
            }
            State::HalfOpen { .. } => {}
        }
    }

    /// The probe `who` will not tell how it ended.
    pub fn abandon(&mut self, who: &str) {
        if let State::HalfOpen { probe, .. } = &mut self.state
            && probe.as_ref().is_some_and(|it| it.who == who)
        {
            *probe = None;
        }
    }

    /// Somebody opens it, until somebody closes it.
    pub fn trip(&mut self, actor: Actor, reason: &str, now: Timestamp) {
        self.pass(now);
        let why = format!("{actor} opened it: {reason}");
        let opening = Opening { why: why.clone(), by: Some(actor.clone()) };
        self.become_so(State::Open { opening, ends: None }, why, Some(actor));
    }

    /// An alert fires that keeps it open; gives whether that was news.
    pub fn alarm(&mut self, alarm: Alarm, now: Timestamp) -> bool {
        self.pass(now);
        let known = self.alarms.iter().position(|it| it.fingerprint == alarm.fingerprint);
        if known.is_some_and(|at| self.alarms[at].starts_at >= alarm.starts_at) {
            return false;
        }
        let is_full = self.alarms.len() >= ALARMS_MAX;
        let oldest_dismissed = || self.alarms.iter().position(|it| it.dismissed);
        let in_its_place = if is_full { known.or_else(oldest_dismissed) } else { known };
        if is_full && in_its_place.is_none() {
            // As many keep it open.
            return false;
        }
        let opening = Opening { why: alarm.says.clone(), by: None };
        let is_held_open = self.is_tripped() || self.is_alarmed();
        in_its_place.map(|at| self.alarms.remove(at));
        self.alarms.push(alarm);
        if is_held_open {
            self.changed += 1;
        } else {
            self.become_so(State::Open { opening: opening.clone(), ends: None }, opening.why, None);
        }
        true
    }

    /// An alert that began then is resolved; gives whether it was known. When it was the last one that kept the breaker
    /// open, that cools down, or closes where nothing would show that it works again.
    pub fn calm(&mut self, fingerprint: &str, began: Timestamp, now: Timestamp) -> bool {
        // One that fires anew goes on, whatever comes late of the one before.
        self.forget_alarms(|it| it.fingerprint == fingerprint && it.starts_at <= began, now)
    }

    /// Another kind of alert is to open it: those that fire keep it open no longer.
    pub fn forget_all_alarms(&mut self, now: Timestamp) {
        self.forget_alarms(|_| true, now);
    }

    fn forget_alarms(&mut self, is_over: impl Fn(&Alarm) -> bool, now: Timestamp) -> bool {
        self.pass(now);
        let before = self.alarms.len();
        let was_alarmed = self.is_alarmed();
        self.alarms.retain(|it| !is_over(it));
        if self.alarms.len() == before {
            return false;
        }
        self.changed += 1;
        if was_alarmed && !self.is_alarmed() && !self.is_tripped() {
            let ended = self.settings.map(|it| self.elapsed.saturating_add(it.cooldown().as_millis()));
            match (&mut self.state, ended) {
                (State::Open { ends, .. }, Some(ended)) => *ends = Some(ended),
                _ => self.close("no alert keeps it open any more".to_owned(), None),
            }
        }
        true
    }

    /// Whether an alert keeps it open.
    pub fn is_alarmed(&self) -> bool {
        self.alarms.iter().any(|it| !it.dismissed)
    }

    /// Somebody closes it; what it had counted is forgotten, and alerts that fire keep it open no longer.
    pub fn reset(&mut self, actor: Actor, reason: &str, now: Timestamp) {
        self.pass(now);
        self.alarms.iter_mut().for_each(|it| it.dismissed = true);
        self.close(format!("{actor} closed it: {reason}"), Some(actor));
    }

    /// Gives it other settings; it counts anew. Without any it opens no more, and one that had opened by itself is
    /// closed.
    pub fn configure(&mut self, settings: Option<BreakerSettings>, actor: &Actor, now: Timestamp) {
        self.pass(now);
        self.settings = settings;
        self.forget();
        let stays_open = self.is_tripped() || self.is_alarmed();
        match (&mut self.state, settings) {
            (State::Closed, _) => {}
            (_, None) if !stays_open => {
                self.close(format!("{actor} took its rule away"), Some(actor.clone()));
            }
            (State::Open { ends: Some(ends), .. }, Some(settings)) => {
                *ends = (*ends).min(self.elapsed.saturating_add(settings.cooldown().as_millis()));
            }
            (State::Open { .. } | State::HalfOpen { .. }, _) => {}
        }
    }

    /// Opens it if too much has failed.
    fn judge(&mut self) {
        let Some(settings) = self.settings else { return };
        let (failures, samples) = self.window.counts(self.elapsed);
        if settings.is_broken_by_a_row(self.row) {
            self.open(format!("{} failed in a row{}", self.row, self.last_failure()));
        } else if settings.is_broken_by_a_rate(failures, samples) {
            let within = settings.within();
            self.open(format!("{failures} of {samples} failed within {within}{}", self.last_failure()));
        }
    }

    fn last_failure(&self) -> String {
        let last = self.samples.iter().rev().find_map(|it| it.failure.as_ref());
        last.map_or_else(String::new, |it| format!("; the last: {it}"))
    }

    fn open(&mut self, why: String) {
        let ends = self.settings.map(|it| self.elapsed.saturating_add(it.cooldown().as_millis()));
        self.become_so(State::Open { opening: Opening { why: why.clone(), by: None }, ends }, why, None);
    }

    fn close(&mut self, why: String, by: Option<Actor>) {
        self.forget();
        self.become_so(State::Closed, why, by);
    }

    fn forget(&mut self) {
        self.window = Window::of(self.settings.map_or_else(Span::default, |it| it.within()));
        self.row = 0;
    }

    fn become_so(&mut self, state: State, why: String, by: Option<Actor>) {
        self.state = state;
        self.since = self.clock;
        self.changed += 1;
        while self.changes.len() >= CHANGES_KEPT {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { at: self.clock, to: self.phase(), why, by });
    }
}
