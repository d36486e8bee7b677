//! Circuit breakers by themselves: what opens and closes them, and what never happens, whatever comes.

use windlass_engine::{ALARMS_MAX, Admission, Alarm, Breaker, BreakerPhase};
use windlass_model::breaker::{BreakerSettings, Written};
use windlass_model::time::{Span, Timestamp};

use crate::world::actor;

const BEGIN: Timestamp = Timestamp(1_700_000_000_000);

/// Half of at least four within a minute, or five in a row; ten seconds, then two probes.
fn settings() -> Written {
    let (of, within, cooldown) = (4, Span::seconds(60), Span::seconds(10));
    Written { failures_percent: 50, of, within, consecutive: Some(5), cooldown, probes: 2 }
}

fn breaker(settings: Written) -> Breaker {
    Breaker::new(Some(settings.try_into().expect("good settings")), BEGIN)
}

fn failure() -> Option<String> {
    Some("no answer".to_owned())
}

fn alarm(fingerprint: &str, starts_at: Timestamp) -> Alarm {
    let says = format!("alert {fingerprint}");
    Alarm { fingerprint: fingerprint.to_owned(), starts_at, says, dismissed: false }
}

/// Plays a line of what happens, and shows where the breaker stands after each: `+` and `-` are good and bad ends,
/// `3s` lets time pass, `f!` is an alert that fires and `f.` the same resolved, `a?` asks for `a`, `a+` and `a-` are its ends, `a/` gives up, `trip`, `reset`, `unset`.
fn play(settings: Written, line: &str) -> String {
    let mut breaker = breaker(settings);
    let mut now = BEGIN;
    let mut seen = Vec::new();
    for word in line.split_whitespace() {
        let (who, end) = word.split_at(word.len() - 1);
        let who = if who.is_empty() { "x" } else { who };
        let said = match (word, end) {
            ("trip", _) => {
                breaker.trip(actor("ana", &[]), "no deployments today", now);
                None
            }
            ("reset", _) => {
                breaker.reset(actor("ana", &[]), "it works", now);
                None
            }
            ("unset", _) => {
                breaker.configure(None, &actor("ana", &[]), now);
                None
            }
            (_, "!") => {
                breaker.alarm(alarm(who, BEGIN), now);
                None
            }
            (_, ".") => {
                breaker.calm(who, BEGIN, now);
                None
            }
            (_, "+") => {
                breaker.observe(who, None, now);
                None
            }
            (_, "-") => {
                breaker.observe(who, failure(), now);
                None
            }
            (_, "/") => {
                breaker.abandon(who);
                None
            }
            (_, "?") => Some(match breaker.admit(who, now) {
                Admission::Free => "free",
                Admission::Probe => "probe",
                Admission::Held => "held",
            }),
            (back, "s") if back.starts_with('<') => {
                now = Timestamp(now.0 - back[1..].parse::<Span>().expect("a time").0);
                breaker.pass(now);
                None
            }
            _ => {
                now = now + word.parse::<Span>().expect("a word of this test");
                breaker.pass(now);
                None
            }
        };
        seen.push(said.unwrap_or(breaker.phase().name()));
    }
    seen.join(" ")
}

#[test]
fn it_opens_and_closes_as_its_rule_says() {
    let by_rate = Written { consecutive: None, ..settings() };
    for (settings, line, phases) in [
        // Not enough samples, then enough of them; half is enough.
        (by_rate, "- - - +", "closed closed closed open"),
        (by_rate, "- + + + + - -", "closed closed closed closed closed closed closed"),
        (by_rate, "+ + - -", "closed closed closed open"),
        // What is older than the window does not count; nor do good ones that grew old before the failures.
        (by_rate, "- - - 61s - + + +", "closed closed closed closed closed closed closed closed"),
        (
            by_rate,
            "+ + + + + 30s - - - - 31s a?",
            "closed closed closed closed closed closed closed closed closed closed open held",
        ),
        // In a row; a good one begins a new row.
        (
            Written { of: 100, ..settings() },
            "- - - - + - - - - -",
            "closed closed closed closed closed closed closed closed closed open",
        ),
        // Held, then one probe, then another, then free.
        (
            settings(),
            "- - - - a? 9s a? 1s b? c? b? b+ c? b? c+ b?",
            "closed closed closed open held open held half-open probe held probe half-open probe held closed free",
        ),
        // A bad probe: the whole cooldown again, and probes are counted anew.
        (
            settings(),
            "- - - - 10s a? a+ b? b- c? 9s c? 1s c? c+",
            "closed closed closed open half-open probe half-open probe open held open held half-open probe half-open",
        ),
        // A probe that is given up makes room; what others say is not heard.
        (
            settings(),
            "- - - - 10s a? z+ z+ z- b? a/ b? z/ c?",
            "closed closed closed open half-open probe half-open half-open half-open held half-open probe half-open held",
        ),
        // While it is open nothing that ends changes it.
        (settings(), "- - - - + + + + + a?", "closed closed closed open open open open open open held"),
        // A person opens it for good, also when it was open already, and closes it.
        (settings(), "trip 10000s a? reset a? -", "open open held closed free closed"),
        (settings(), "- - - - trip 10s a?", "closed closed closed open open open held"),
        (
            settings(),
            "- - - - 10s a? trip a+ a+ b? reset a?",
            "closed closed closed open half-open probe open open open held closed free",
        ),
        // What it had counted is forgotten when it closes.
        (settings(), "- - - - reset - - - a?", "closed closed closed open closed closed closed closed free"),
        // Without a rule it does not open, and what had opened by itself closes.
        (
            settings(),
            "- - - - unset - - - - - - a?",
            "closed closed closed open closed closed closed closed closed closed closed free",
        ),
        (settings(), "trip unset a? reset a?", "open open held closed free"),
        // An alert opens it for as long as it fires, then it cools down and is probed.
        (settings(), "f! 10000s a? f. a? 10s a?", "open open held open held half-open probe"),
        // Until the last of them is resolved; one that it does not know changes nothing.
        (settings(), "f! g! f. 20s h. g. 9s 1s", "open open open open open open open half-open"),
        // While it is half open, too, and whatever the probe says then.
        (
            settings(),
            "- - - - 10s a? f! a+ 20s f. 10s",
            "closed closed closed open half-open probe open open open open half-open",
        ),
        // The same one sent again is no news, once somebody has closed it either.
        (settings(), "f! f! reset a? f! a? f. f! a?", "open open closed free closed free closed open held"),
        // What a person has opened only a person closes; what a person closes no alert keeps open.
        (settings(), "trip f! f. 20s reset", "open open open open closed"),
        (settings(), "f! trip f. 20s reset", "open open open open closed"),
        (settings(), "f! trip reset a? f. a?", "open open closed free closed free"),
        // Without a rule the alert keeps it open all the same, and it closes when that is resolved.
        (settings(), "f! unset a? f. a?", "open open held closed free"),
        // A clock that goes back keeps nothing open for longer, and does not make time pass.
        (settings(), "- - - - <5000s 9s a? 1s a?", "closed closed closed open open open held half-open probe"),
        (settings(), "- - - - 9s <9s a? 1s a?", "closed closed closed open open open held half-open probe"),
    ] {
        assert_eq!(play(settings, line), phases, "{line}");
    }
}

#[test]
fn it_explains_itself() {
    let mut breaker = breaker(settings());
    for at in 0..4 {
        breaker.observe(&format!("payments-{at}/deploy"), failure(), BEGIN);
    }
    let open = breaker.snapshot(BEGIN);
    assert_eq!(open.until, Some(BEGIN + Span::seconds(10)));
    assert_eq!((open.failures, open.counted, open.row, open.samples.len()), (4, 4, 4, 4));
    let opening = open.opening.expect("it is open");
    assert_eq!((opening.why.as_str(), opening.by), ("4 of 4 failed within 1m; the last: no answer", None));
    let later = BEGIN + Span::seconds(11);
    assert_eq!(breaker.admit("payments-9/deploy", later), Admission::Probe);
    let half = breaker.snapshot(later);
    assert_eq!(half.probe.map(|it| it.who).as_deref(), Some("payments-9/deploy"));
    breaker.trip(actor("ana", &[]), "wait for the vendor", later);
    let tripped = breaker.snapshot(later);
    assert_eq!(tripped.until, None);
    assert_eq!(tripped.opening.and_then(|it| it.by).map(|it| it.name).as_deref(), Some("ana"));
    let told: Vec<(&str, &str)> = tripped.changes.iter().map(|it| (it.to.name(), it.why.as_str())).collect();
    assert_eq!(
        told,
        [
            ("open", "4 of 4 failed within 1m; the last: no answer"),
            ("half-open", "its cooldown is over"),
            ("open", "ana opened it: wait for the vendor"),
        ]
    );
}

#[test]
fn it_is_restored_as_it_was_with_no_probe_and_no_longer_than_its_cooldown() {
    let rule: BreakerSettings = settings().try_into().expect("good");
    let mut breaker = breaker(settings());
    for _ in 0..5 {
        breaker.observe("x", failure(), BEGIN);
    }
    let snapshot = breaker.snapshot(BEGIN);
    for (now, left) in [
        (BEGIN, Some(10_000)),
        (BEGIN + Span::seconds(4), Some(6_000)),
        // The clock was set back by days.
        (Timestamp(BEGIN.0 - 500_000_000), Some(10_000)),
        (BEGIN + Span::seconds(40), None),
    ] {
        let mut restored = Breaker::restore(Some(rule), snapshot.clone(), now);
        restored.pass(now);
        assert_eq!(restored.due().map(|it| it.since(now).0), left);
        assert_eq!(restored.wants_a_probe(), left.is_none());
    }
    let now = BEGIN + Span::seconds(10);
    assert_eq!(breaker.admit("a", now), Admission::Probe);
    let mut restored = Breaker::restore(Some(rule), breaker.snapshot(now), now);
    assert_eq!(restored.admit("b", now), Admission::Probe);
    // What a person opened is nobody else's to close, whatever the rule.
    breaker.trip(actor("ana", &[]), "later", now);
    let mut restored = Breaker::restore(Some(rule), breaker.snapshot(now), now);
    assert_eq!(restored.admit("b", now + Span::seconds(100_000)), Admission::Held);
}

/// A small generator, so that a failure can be repeated from its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// Counts what it tells, and compares with what the breaker says.
#[test]
fn whatever_comes_there_is_one_probe_and_what_breaks_the_rule_is_not_closed() {
    let (mut opened, mut closed_by_probes, mut reopened) = (0, 0, 0);
    for seed in 1..=1_500_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let rule = Written {
            failures_percent: 1 + dice.below(100) as u8,
            of: 1 + dice.below(12) as u32,
            within: Span::seconds(1 + dice.below(120)),
            consecutive: (dice.below(2) == 0).then(|| 1 + dice.below(8) as u32),
            cooldown: Span(100 + dice.below(30_000)),
            probes: 1 + dice.below(4) as u32,
        };
        let rule: BreakerSettings = rule.try_into().expect("good");
        let (mut breaker, mut now) = (Breaker::new(Some(rule), BEGIN), BEGIN);
        let mut probe: Option<u64> = None;
        let mut good = 0;
        for turn in 0..300 {
            let before = breaker.phase();
            let who = dice.below(5);
            let name = format!("r-{who}");
            let mut by_person = false;
            match dice.below(12) {
                0..=4 => {
                    let failed = dice.below(3) == 0;
                    let was_probe = before == BreakerPhase::HalfOpen && probe == Some(who);
                    breaker.observe(&name, failed.then(|| "no".to_owned()), now);
                    if was_probe {
                        probe = None;
                        good += u32::from(!failed);
                        assert_eq!(breaker.phase() == BreakerPhase::Open, failed, "seed {seed}, turn {turn}");
                        assert_eq!(breaker.phase() == BreakerPhase::Closed, !failed && good >= rule.probes());
                        closed_by_probes += u32::from(breaker.phase() == BreakerPhase::Closed);
                        reopened += u32::from(failed);
                    } else if before != BreakerPhase::Closed {
                        assert_ne!(breaker.phase(), BreakerPhase::Closed, "seed {seed}, turn {turn}: no probe");
                    }
                }
                5..=7 => match breaker.admit(&name, now) {
                    Admission::Free => assert_eq!(breaker.phase(), BreakerPhase::Closed),
                    Admission::Held => assert_ne!(breaker.phase(), BreakerPhase::Closed),
                    Admission::Probe => {
                        assert_eq!(breaker.phase(), BreakerPhase::HalfOpen);
                        assert!(probe.is_none_or(|it| it == who), "seed {seed}, turn {turn}: two probes");
                        probe = Some(who);
                    }
                },
                8 => {
                    breaker.abandon(&name);
                    probe = probe.filter(|it| *it != who);
                }
                9 => now = now + Span(dice.below(40_000)),
                10 => now = Timestamp(now.0 - dice.below(4_000_000)),
                _ if dice.below(6) == 0 => {
                    by_person = true;
                    breaker.reset(actor("ana", &[]), "why not", now);
                }
                _ if dice.below(6) == 0 => {
                    by_person = true;
                    breaker.trip(actor("ana", &[]), "why not", now);
                }
                _ => breaker.pass(now),
            }
            if before == BreakerPhase::Open && breaker.phase() == BreakerPhase::Closed {
                assert!(by_person, "seed {seed}, turn {turn}: an open one closed by itself");
            }
            if breaker.phase() != BreakerPhase::HalfOpen {
                (probe, good) = (None, 0);
            }
            opened += u32::from(before == BreakerPhase::Closed && breaker.phase() == BreakerPhase::Open && !by_person);
            let seen = breaker.snapshot(now);
            if seen.phase == BreakerPhase::Closed {
                assert!(!rule.is_broken_by_a_rate(seen.failures, seen.counted), "seed {seed}, turn {turn}: {seen:?}");
                assert!(!rule.is_broken_by_a_row(seen.row), "seed {seed}, turn {turn}: {seen:?}");
            }
            assert_eq!(seen.probe.map(|it| it.who), probe.map(|it| format!("r-{it}")), "seed {seed}, turn {turn}");
            assert!(seen.samples.len() <= 20 && seen.changes.len() <= 50);
            assert_eq!(seen.phase == BreakerPhase::Closed, seen.opening.is_none());
        }
    }
    assert!(opened > 1_000 && closed_by_probes > 100 && reopened > 100, "{opened} {closed_by_probes} {reopened}");
}

/// An alert that fires anew is news, one that is sent late is not; there is an end to how many are known.
#[test]
fn an_alert_is_known_by_when_it_began_and_survives_a_restart() {
    let mut known = breaker(settings());
    assert!(known.alarm(alarm("f", BEGIN + Span::seconds(10)), BEGIN));
    assert!(!known.alarm(alarm("f", BEGIN), BEGIN) && known.alarm(alarm("f", BEGIN + Span::seconds(20)), BEGIN));
    let snapshot = known.snapshot(BEGIN);
    let later = BEGIN + Span::seconds(10_000);
    let mut restored = Breaker::restore(known.settings(), snapshot, later);
    assert_eq!((restored.phase(), restored.due(), restored.is_alarmed()), (BreakerPhase::Open, None, true));
    let began = BEGIN + Span::seconds(20);
    assert!(!restored.calm("f", BEGIN + Span::seconds(10), later), "that is the one before");
    assert!(restored.calm("f", began, later) && !restored.calm("f", began, later));
    assert_eq!(restored.due(), Some(later + Span::seconds(10)));
    let mut alone = Breaker::new(None, BEGIN);
    for at in 0..ALARMS_MAX {
        assert!(alone.alarm(alarm(&at.to_string(), BEGIN), BEGIN));
    }
    assert!(!alone.alarm(alarm("one more", BEGIN), BEGIN));
    for at in 0..ALARMS_MAX {
        assert_eq!(alone.phase(), BreakerPhase::Open);
        alone.calm(&at.to_string(), BEGIN, BEGIN);
    }
    assert_eq!(alone.phase(), BreakerPhase::Closed, "without a rule nothing would show that it works again");
    // What somebody has dismissed makes room.
    for at in 0..ALARMS_MAX {
        assert!(alone.alarm(alarm(&at.to_string(), BEGIN), BEGIN));
    }
    alone.reset(actor("ana", &[]), "it is elsewhere", BEGIN);
    assert!(alone.alarm(alarm("one more", BEGIN), BEGIN) && alone.phase() == BreakerPhase::Open);
    alone.forget_all_alarms(BEGIN);
    assert_eq!(alone.phase(), BreakerPhase::Closed);
}
