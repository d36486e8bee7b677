//! The queue by itself: time is a number, and releases run for as long as a test says.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use windlass_model::concurrency::{Claim, Group, Priority, QueueOrder};
use windlass_model::name::{ReleaseId, TenantName};
use windlass_model::time::{Span, Timestamp};

use super::limits::{Allowed, LimitScope, Limits};
use super::queue::{AGEING, Entrant, Entry, Queue, Turn};

const BEGAN: u64 = 1_000_000;

/// A queue, a clock, and what a release asks for in a line: `a-1 prod:2 urgent @payments`.
struct Site {
    queue: Queue,
    now: Timestamp,
    /// The newest that has begun of each group.
    begun: BTreeMap<String, ReleaseId>,
}

fn id(text: &str) -> ReleaseId {
    text.parse().expect("an id")
}

fn tenant(name: &str) -> TenantName {
    name.parse().expect("a name")
}

fn limits(text: &str) -> Limits {
    let mut limits = Limits::default();
    for word in text.split_whitespace() {
        let (whose, number) = word.split_once('=').expect("whose=number");
        let allowed = Allowed { releases: number.parse().ok(), waiting: None };
        let scope = if whose == "all" { LimitScope::Installation } else { LimitScope::Tenant(tenant(whose)) };
        limits.set(scope, allowed);
    }
    limits
}

impl Site {
    fn new(text: &str) -> Self {
        let mut queue = Queue::new(limits(text));
        assert_eq!(queue.complete(Timestamp(BEGAN)), []);
        Self { queue, now: Timestamp(BEGAN), begun: BTreeMap::new() }
    }

    fn entrant(&self, text: &str, order: QueueOrder) -> Entrant {
        let mut words = text.split_whitespace();
        let release = id(words.next().expect("an id"));
        let mut claim = Claim { group: None, tenant: TenantName::default(), priority: Priority::Normal };
        let mut counted = true;
        for word in words {
            let priority = Priority::ALL.into_iter().find(|(name, _)| *name == word);
            if let Some(name) = word.strip_prefix('@') {
                claim.tenant = tenant(name);
            } else if let Some((_, priority)) = priority {
                claim.priority = priority;
            } else if word == "inner" {
                counted = false;
            } else {
                let (name, limit) = word.split_once(':').unwrap_or((word, "1"));
                let limit = limit.parse().expect("a number");
                claim.group = Some(Group { name: name.to_owned(), order, limit });
            }
        }
        Entrant { release, claim, counted, created_at: self.now, requested_by: "ana".to_owned() }
    }

    /// Comes in and stands in line, a moment after the one before; gives who has something to do.
    fn comes(&mut self, text: &str, order: QueueOrder) -> Vec<String> {
        self.now = self.now + Span(1);
        let entrant = self.entrant(text, order);
        let release = entrant.release.clone();
        match self.queue.enter(entrant, true, self.now) {
            Entry::Runs => vec![release.to_string()],
            Entry::Waits => names(self.queue.stand(&release, self.now)),
            other => panic!("{text}: {other:?}"),
        }
    }

    /// One has begun, and that is durable; gives the newest of its group that has.
    fn notes(&mut self, release: &ReleaseId) -> ReleaseId {
        let Some(group) = self.queue.members[release].group() else { return release.clone() };
        let newest = self.begun.entry(group.to_owned()).or_insert_with(|| release.clone());
        *newest = newest.clone().max(release.clone());
        newest.clone()
    }

    fn ends(&mut self, release: &str) -> Vec<String> {
        self.now = self.now + Span(1);
        names(self.queue.leave(&id(release), true, self.now))
    }
}

fn names(releases: Vec<ReleaseId>) -> Vec<String> {
    releases.into_iter().map(|it| it.to_string()).collect()
}

/// Five come, the first runs; gives who goes on each time that the one that runs ends.
fn order_of(order: QueueOrder, comers: &[&str]) -> Vec<String> {
    let mut site = Site::new("");
    let mut running: Vec<String> = Vec::new();
    for comer in comers {
        running.extend(site.comes(comer, order));
    }
    let mut seen = Vec::new();
    while let Some(next) = running.pop() {
        seen.push(next.clone());
        running.extend(site.ends(&next));
    }
    seen
}

#[test]
fn each_order_lets_its_next_go() {
    let comers = ["a-1 g", "a-2 g", "a-3 g low", "a-4 g urgent", "a-5 g"];
    assert_eq!(order_of(QueueOrder::OldestFirst, &comers), ["a-1", "a-4", "a-2", "a-5", "a-3"]);
    assert_eq!(order_of(QueueOrder::Unordered, &comers), ["a-1", "a-4", "a-2", "a-5", "a-3"]);
    assert_eq!(order_of(QueueOrder::NewestFirst, &comers), ["a-1", "a-4", "a-5", "a-2", "a-3"]);
}

#[test]
fn where_only_the_latest_goes_on_the_others_give_way_to_it() {
    let mut site = Site::new("");
    let latest = QueueOrder::LatestOnly;
    assert_eq!(site.comes("a-1 g", latest), ["a-1"]);
    assert_eq!(site.comes("a-2 g urgent", latest), [""; 0]);
    // What runs is left alone; of those that wait the newest stays, however urgent the others are.
    assert_eq!(site.comes("a-3 g", latest), ["a-2"]);
    assert_eq!(site.queue.turn(&id("a-2")), Turn::GiveWay(id("a-3")));
    // One whose record is not durable yet makes nobody give way.
    site.now = site.now + Span(1);
    let fourth = site.entrant("a-4 g", latest);
    assert_eq!(site.queue.enter(fourth, true, site.now), Entry::Waits);
    assert_eq!(site.queue.turn(&id("a-3")), Turn::Wait);
    assert_eq!(site.queue.leave(&id("a-4"), false, site.now), []);
    assert_eq!(site.ends("a-1"), ["a-3"]);
    assert_eq!(site.queue.turn(&id("a-3")), Turn::Begin);
}

#[test]
fn where_only_the_latest_goes_on_nobody_begins_after_a_newer_one() {
    let latest = QueueOrder::LatestOnly;
    let full = || {
        let mut site = Site::new("web=1");
        assert_eq!(site.comes("w-1 @web", latest), ["w-1"]);
        // The group has room, its tenant has none.
        assert_eq!(site.comes("a-2 g:2 @web", latest), [""; 0]);
        assert_eq!(site.comes("a-3 g:2 @shop", latest), ["a-3"]);
        site
    };
    // What began in its stead is durable: nothing is left for it to do, even once its tenant has room.
    let mut site = full();
    let third = site.entrant("a-3 g:2 @shop", latest);
    assert_eq!(names(site.queue.resume(third, site.now)), ["a-2"]);
    assert_eq!(site.queue.turn(&id("a-2")), Turn::GiveWay(id("a-3")));
    assert_eq!(site.ends("w-1"), [""; 0]);
    // Until it is durable it makes nobody give way, and lets nobody begin after it.
    let mut site = full();
    assert_eq!(site.ends("w-1"), [""; 0]);
    assert_eq!(site.queue.turn(&id("a-2")), Turn::Wait);
    assert_eq!(names(site.queue.leave(&id("a-3"), false, site.now)), ["a-2"]);
    // One that stands in line when a newer one has come and gone gives way, too.
    let mut site = Site::new("web=1");
    assert_eq!(site.comes("w-1 @web", latest), ["w-1"]);
    let slow = site.entrant("a-2 g:2 @web", latest);
    assert_eq!(site.queue.enter(slow, true, site.now), Entry::Waits);
    assert_eq!(site.comes("a-3 g:2 @shop", latest), ["a-3"]);
    let third = site.entrant("a-3 g:2 @shop", latest);
    assert_eq!(site.queue.resume(third, site.now), []);
    assert_eq!(site.ends("a-3"), [""; 0]);
    assert_eq!(names(site.queue.stand(&id("a-2"), site.now)), ["a-2"]);
    assert_eq!(site.queue.turn(&id("a-2")), Turn::GiveWay(id("a-3")));
}

#[test]
fn in_an_ordered_group_nobody_passes_the_first_in_an_unordered_one_all_who_can_do() {
    for (order, passes) in [(QueueOrder::OldestFirst, false), (QueueOrder::Unordered, true)] {
        let mut site = Site::new("web=1");
        assert_eq!(site.comes("w-1 @web", order), ["w-1"]);
        assert_eq!(site.comes("a-1 g:1", order), ["a-1"]);
        // Its tenant is full, whatever becomes of the group.
        assert_eq!(site.comes("a-2 g:1 @web", order), [""; 0]);
        assert_eq!(site.comes("a-3 g:1 @shop", order), [""; 0]);
        assert_eq!(site.ends("a-1"), if passes { vec!["a-3"] } else { vec![] });
        if !passes {
            let why = site.queue.explain(&id("a-3"), site.now).expect("it waits").text;
            assert_eq!(why, "group g: a-2 goes first; 2nd of 2 in line");
            assert_eq!(site.ends("w-1"), ["a-2"]);
        }
    }
}

#[test]
fn a_tenant_has_so_many_and_where_all_are_limited_those_with_the_fewest_go_first() {
    let mut site = Site::new("all=4 web=3");
    let any = QueueOrder::OldestFirst;
    for number in 1..=3 {
        assert_eq!(site.comes(&format!("w-{number} @web"), any), [format!("w-{number}")]);
    }
    assert_eq!(site.comes("w-4 @web", any), [""; 0]);
    assert_eq!(site.comes("s-1 @shop", any), ["s-1"]);
    assert_eq!(site.comes("s-2 @shop", any), [""; 0]);
    assert_eq!(site.comes("s-3 @shop", any), [""; 0]);
    // One inside of another counts nowhere.
    assert_eq!(site.comes("i-1 g @shop inner", any), ["i-1"]);
    let text = |site: &Site, it: &str| site.queue.explain(&id(it), site.now).expect("it waits").text;
    assert_eq!(text(&site, "w-4"), "tenant web: 3 of 3 releases run; 1st of 1 in line");
    assert_eq!(text(&site, "s-3"), "4 of 4 releases run; 3rd of 3 in line");
    // Of web two run, of shop one: it goes first though it came later.
    assert_eq!(site.ends("w-1"), ["s-2"]);
    // Two and two: the one that has waited longer.
    assert_eq!(site.comes("t-1 @tools", any), [""; 0]);
    assert_eq!(site.ends("s-1"), ["t-1"]);
    assert_eq!(site.ends("t-1"), ["s-3"]);
    assert_eq!((site.queue.counts(None), site.queue.counts(Some(&tenant("web")))), ((4, 1), (2, 1)));
}

#[test]
fn who_waits_long_enough_goes_before_the_urgent() {
    let mut site = Site::new("all=1");
    let any = QueueOrder::OldestFirst;
    assert_eq!(site.comes("a-1", any), ["a-1"]);
    assert_eq!(site.comes("l-1 low", any), [""; 0]);
    site.now = site.now + AGEING;
    assert_eq!(site.comes("n-1", any), [""; 0]);
    assert_eq!(site.comes("u-1 urgent", any), [""; 0]);
    assert_eq!(site.ends("a-1"), ["u-1"]);
    // The low one has become like a normal one, and came before it.
    assert_eq!(site.ends("u-1"), ["l-1"]);
    site.now = site.now + AGEING + AGEING;
    assert_eq!(site.comes("u-2 urgent", any), [""; 0]);
    assert_eq!(site.ends("l-1"), ["n-1"]);
}

#[test]
fn an_urgent_one_that_comes_in_does_not_pass_the_door_of_a_full_group() {
    let mut site = Site::new("");
    let any = QueueOrder::OldestFirst;
    assert_eq!(site.comes("a-1 g:2", any), ["a-1"]);
    assert_eq!(site.comes("a-2 g:2 urgent", any), ["a-2"]);
    assert_eq!(site.comes("a-3 g:2 urgent", any), [""; 0]);
    assert_eq!(site.comes("b-1 h", any), ["b-1"]);
}

#[test]
fn the_rules_of_the_newest_release_hold_for_those_that_wait() {
    let mut site = Site::new("");
    assert_eq!(site.comes("a-1 g:1", QueueOrder::OldestFirst), ["a-1"]);
    assert_eq!(site.comes("a-2 g:1", QueueOrder::OldestFirst), [""; 0]);
    assert_eq!(site.comes("a-3 g:1", QueueOrder::OldestFirst), [""; 0]);
    // Three may run now, and the newest first.
    assert_eq!(site.comes("b-1 g:3", QueueOrder::NewestFirst), ["b-1"]);
    assert_eq!(site.ends("b-1"), [""; 0], "with it its rules are gone");
    assert_eq!(site.comes("c-1 g:2", QueueOrder::LatestOnly), ["c-1"]);
    assert_eq!(site.ends("c-1"), [""; 0]);
    assert_eq!(site.ends("a-1"), ["a-2"]);
}

#[test]
fn too_many_that_wait_are_refused_but_not_what_has_to_come() {
    let mut limits = limits("all=1");
    limits.set(LimitScope::Installation, Allowed { releases: Some(1), waiting: Some(2) });
    limits.set(LimitScope::Tenant(tenant("web")), Allowed { releases: None, waiting: Some(1) });
    let mut site = Site::new("");
    assert_eq!(site.queue.limit(limits, site.now), []);
    let any = QueueOrder::OldestFirst;
    assert_eq!(site.comes("a-1", any), ["a-1"]);
    // One that is still being written counts.
    let first = site.entrant("w-1 @web", any);
    assert_eq!(site.queue.enter(first, true, site.now), Entry::Waits);
    let second = site.entrant("w-2 @web", any);
    let refused = Entry::Refused { waiting: 1, limit: 1, tenant: Some(tenant("web")) };
    assert_eq!(site.queue.enter(second.clone(), true, site.now), refused);
    assert_eq!(site.queue.enter(second, false, site.now), Entry::Waits);
    let third = site.entrant("a-2", any);
    let refused = Entry::Refused { waiting: 2, limit: 2, tenant: None };
    assert_eq!(site.queue.enter(third.clone(), true, site.now), refused);
    // What was refused, or did not come to be, leaves nothing behind.
    assert!(!site.queue.has(&id("a-2")));
    assert_eq!(site.queue.leave(&id("w-1"), false, site.now), []);
    assert_eq!(site.queue.enter(third.clone(), true, site.now), Entry::Waits);
    assert_eq!(site.queue.enter(third, true, site.now), Entry::Known);
}

#[test]
fn a_wait_is_told_with_its_place_and_an_estimate_when_there_are_enough_samples() {
    let mut site = Site::new("");
    let any = QueueOrder::OldestFirst;
    let text = |site: &Site, it: &str| site.queue.explain(&id(it), site.now).expect("it waits");
    for number in 1..=3 {
        let name = format!("a-{number}");
        assert_eq!(site.comes(&format!("{name} g"), any), [name.as_str()]);
        site.now = site.now + Span::seconds(600);
        assert_eq!(site.ends(&name), [""; 0]);
    }
    assert_eq!(site.comes("a-4 g", any), ["a-4"]);
    for number in 5..=7 {
        assert_eq!(site.comes(&format!("a-{number} g"), any), [""; 0]);
    }
    site.now = site.now + Span::seconds(240);
    let told = text(&site, "a-6");
    assert_eq!(told.text, "group g: a-4 runs; 2nd of 3 in line, about 16m more");
    assert_eq!((told.owner.as_str(), told.queue.position, told.queue.waiting), ("ana", 2, 3));
    assert_eq!(told.queue.holders, ["a-4"]);
    // Of this workflow nobody knows how long it takes.
    assert_eq!(site.comes("b-1 g", any), [""; 0]);
    assert_eq!(site.comes("a-8 g", any), [""; 0]);
    assert!(text(&site, "b-1").queue.estimate.is_some(), "it depends on those before it");
    assert_eq!(text(&site, "a-8").text, "group g: a-4 runs; 5th of 5 in line");
    assert_eq!(site.queue.explain(&id("a-4"), site.now), None);
}

#[test]
fn several_that_run_are_named() {
    let mut site = Site::new("");
    let any = QueueOrder::OldestFirst;
    for number in 1..=5 {
        site.comes(&format!("a-{number} g:4"), any);
    }
    let text = |site: &Site| site.queue.explain(&id("a-5"), site.now).expect("it waits").text;
    assert_eq!(text(&site), "group g: a-1, a-2, a-3 and 1 more run; 1st of 1 in line");
    let mut site = Site::new("");
    for number in 1..=3 {
        site.comes(&format!("a-{number} g:2"), any);
    }
    let text = site.queue.explain(&id("a-3"), site.now).expect("it waits").text;
    assert_eq!(text, "group g: a-1 and a-2 run; 1st of 1 in line");
}

#[test]
fn limits_that_come_and_go_let_wait_and_let_go() {
    let mut site = Site::new("");
    let any = QueueOrder::OldestFirst;
    // Found when a limit was set: they run, and more of them than may.
    for number in 1..=3 {
        let entrant = site.entrant(&format!("a-{number}"), any);
        site.queue.restore(entrant, true);
    }
    assert_eq!(site.queue.limit(limits("all=2"), site.now), []);
    assert_eq!(site.comes("a-4", any), [""; 0]);
    assert_eq!(site.ends("a-1"), [""; 0]);
    assert_eq!(site.ends("a-2"), ["a-4"]);
    assert_eq!(site.comes("a-5", any), [""; 0]);
    assert_eq!(names(site.queue.limit(limits(""), site.now)), ["a-5"]);
    // Those that nobody counts any more are not kept.
    assert!(!site.queue.has(&id("a-3")));
    assert_eq!(site.ends("a-5"), [""; 0]);
}

#[test]
fn what_is_found_at_the_start_stands_as_it_stood() {
    let mut queue = Queue::new(limits("web=1"));
    let mut site = Site::new("");
    let found = [("a-1 g", true), ("a-2 g", false), ("a-3 g urgent", false), ("w-1 @web", true), ("w-2 @web", false)];
    for (text, admitted) in found {
        site.now = site.now + Span(1);
        queue.restore(site.entrant(text, QueueOrder::OldestFirst), admitted);
    }
    // Until all are known nobody is let in, not even by an end.
    assert_eq!(queue.leave(&id("a-1"), true, site.now), []);
    assert_eq!(names(queue.complete(site.now)), ["a-3"]);
    assert_eq!(names(queue.leave(&id("w-1"), true, site.now)), ["w-2"]);
}

/// Releases come, stand, begin, fail to begin, end and are stopped at random; after each of these the rules hold, and
/// in the end all that came have had their turn. Where only the latest goes on, none begins after a newer one.
#[test]
fn no_limit_is_exceeded_nobody_who_could_go_waits_and_all_have_their_turn() {
    for seed in 0..300 {
        let mut dice = StdRng::seed_from_u64(seed);
        let order = QueueOrder::ALL[dice.random_range(0..4)].1;
        let all = dice.random_range(1..6);
        let mut site = Site::new(&format!("all={all} t0=1 t1=2"));
        let (mut running, mut waiting, mut gave_way) = (Vec::new(), Vec::new(), 0);
        let mut beginning: Vec<Entrant> = Vec::new();
        let mut entering: Vec<ReleaseId> = Vec::new();
        let mut settled = site.now;
        for number in 1..120_u64 {
            site.now = site.now + Span(dice.random_range(0..AGEING.0 / 20));
            let (mut stirred, mut has_settled) = (Vec::new(), true);
            match dice.random_range(0..12) {
                0..5 => {
                    let group = ["", "g0:1", "g1:2"][dice.random_range(0..3)];
                    let priority = Priority::ALL[dice.random_range(0..3)].0;
                    let whose = format!("a-{number} {group} @t{} {priority}", dice.random_range(0..4));
                    let entrant = site.entrant(&whose, order);
                    has_settled = false;
                    let release = entrant.release.clone();
                    match site.queue.enter(entrant.clone(), true, site.now) {
                        Entry::Runs => beginning.push(entrant),
                        Entry::Waits => entering.push(release),
                        other => panic!("{other:?}"),
                    }
                }
                5..8 if !entering.is_empty() => {
                    let release = entering.swap_remove(dice.random_range(0..entering.len()));
                    stirred = site.queue.stand(&release, site.now);
                    waiting.push(release);
                }
                8 if !waiting.is_empty() => {
                    let stopped: ReleaseId = waiting.swap_remove(dice.random_range(0..waiting.len()));
                    stirred = site.queue.leave(&stopped, false, site.now);
                }
                9 if !beginning.is_empty() => {
                    let failed = beginning.swap_remove(dice.random_range(0..beginning.len()));
                    stirred = site.queue.leave(&failed.release, false, site.now);
                }
                10 | 11 if !beginning.is_empty() => {
                    let begins = beginning.swap_remove(dice.random_range(0..beginning.len()));
                    stirred = begin(&mut site, begins, &mut running);
                }
                _ if !running.is_empty() => {
                    let over: ReleaseId = running.swap_remove(dice.random_range(0..running.len()));
                    stirred = site.queue.leave(&over, true, site.now);
                }
                _ => has_settled = false,
            }
            settle(&mut site, stirred, &mut running, &mut waiting, &mut gave_way, (order, seed));
            // Who comes in by that lets nobody else in, even if time has made another one the first meanwhile.
            settled = if has_settled { site.now } else { settled };
            site.queue.assert_rules(settled, seed);
        }
        for begins in beginning {
            let stirred = begin(&mut site, begins, &mut running);
            settle(&mut site, stirred, &mut running, &mut waiting, &mut gave_way, (order, seed));
        }
        for release in entering {
            let stirred = site.queue.stand(&release, site.now);
            waiting.push(release);
            settle(&mut site, stirred, &mut running, &mut waiting, &mut gave_way, (order, seed));
        }
        while let Some(over) = running.pop() {
            let stirred = site.queue.leave(&over, true, site.now);
            settle(&mut site, stirred, &mut running, &mut waiting, &mut gave_way, (order, seed));
            site.queue.assert_rules(site.now, seed);
        }
        assert_eq!(waiting, [], "seed {seed}: these never had their turn");
        assert_eq!((site.queue.counts(None), gave_way > 0), ((0, 0), order == QueueOrder::LatestOnly), "seed {seed}");
    }
}

fn settle(
    site: &mut Site,
    stirred: Vec<ReleaseId>,
    running: &mut Vec<ReleaseId>,
    waiting: &mut Vec<ReleaseId>,
    gave_way: &mut u32,
    (order, seed): (QueueOrder, u64),
) {
    for release in stirred {
        waiting.retain(|it| *it != release);
        match site.queue.turn(&release) {
            Turn::Begin => {
                let newest = site.notes(&release);
                assert!(order != QueueOrder::LatestOnly || newest == release, "seed {seed}: {release} after {newest}");
                running.push(release);
            }
            Turn::GiveWay(by) => {
                assert!(by > release, "only to a newer one");
                *gave_way += 1;
                assert_eq!(site.queue.leave(&release, false, site.now), []);
            }
            Turn::Wait | Turn::Unknown => panic!("{release} has nothing to do"),
        }
    }
}

/// The first record of one that was let in as it came is durable.
fn begin(site: &mut Site, entrant: Entrant, running: &mut Vec<ReleaseId>) -> Vec<ReleaseId> {
    site.notes(&entrant.release);
    running.push(entrant.release.clone());
    site.queue.resume(entrant, site.now)
}
