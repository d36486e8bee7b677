//! The life of one process: it takes over what it finds, people come, the days are bad, then good; or it ends before.

use std::sync::Arc;
use std::time::Duration;

use windlass_server::callbacks::CallbackUrl;
use windlass_server::{Runtime, RuntimeOptions, StateDirectory};
use windlass_simulation::people::{Answer, Somebody};
use windlass_simulation::violation::{ensure, violated};

use crate::calls::Lying;
use crate::people::{self, sleep};
use crate::plans::Made;
use crate::shared::Shared;
use crate::sharing;
use crate::store::Shaky;

/// Rounds that people need at most until everything has ended, once they and the world are willing.
const ROUNDS_MAX: u32 = 4_000;

/// How long people wait before they look again what is to be done.
const ROUND: u64 = 5_000;

/// How soon something has to happen by itself for people to let it: a deadline is not waited for.
const SOON: u64 = 60_000;

/// What still has to be begun.
pub(crate) type ToBegin = Arc<std::sync::Mutex<Vec<(Made, u64)>>>;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything is over.
    Over,
    /// It was ended.
    Killed,
}

/// Lives until everything is over, or until it is ended.
pub(crate) async fn live(shared: Arc<Shared>, state: StateDirectory, to_begin: ToBegin) -> End {
    tokio::select! {
        biased;
        () = shared.ends.notified() => return End::Killed,
        () = shared.winds_down.notified() => {}
        end = through_all_days(&shared, state, to_begin) => return end,
    }
    tokio::select! {
        biased;
        () = shared.ends.notified() => {}
        () = wind_down(&shared) => {}
    }
    End::Killed
}

/// The process ends what it does, and begins nothing. People go on meddling.
async fn wind_down(shared: &Shared) {
    let Some(runtime) = shared.state().runtime.clone() else { return };
    let at_most = {
        let mut state = shared.state();
        // Not all are patient.
        state.sharing_dice.between(0, 60_000)
    };
    shared.tell(|| format!("the process is asked to end, within {at_most} ms"));
    let busy = runtime.wind_down().wait(Duration::from_millis(at_most)).await;
    shared.tell(|| format!("{busy} releases have calls that have not ended"));
    shared.count(if busy == 0 { "process: wound down" } else { "process: did not wind down in time" });
    // What was stopped is dropped by now.
    sleep(1).await;
    if busy == 0 && !shared.is_dead() {
        let judged = shared.state().is_wound_down(&runtime);
        shared.judge(judged);
    }
}

async fn through_all_days(shared: &Arc<Shared>, state: StateDirectory, to_begin: ToBegin) -> End {
    shared.troubled();
    let calls_max = shared.state().profile.calls_max;
    let callbacks = CallbackUrl::parse("http://127.0.0.1:1").ok();
    let options = RuntimeOptions { drive: true, calls_max, callbacks, ..RuntimeOptions::default() };
    let opened = Runtime::with_calls(state, Arc::new(Shaky(shared.clone())), Arc::new(Lying(shared.clone())), options);
    let runtime = match opened {
        Ok(runtime) => runtime,
        Err(error) => {
            shared.tell(|| format!("the process could not start: {error}"));
            shared.count("process: could not start");
            return End::Killed;
        }
    };
    shared.state().runtime = Some(runtime.clone());
    if !shared.state().healed {
        bad_days(shared, &runtime, &to_begin).await;
        shared.heal();
    }
    good_days(shared, &runtime, &to_begin).await;
    End::Over
}

async fn bad_days(shared: &Arc<Shared>, runtime: &Runtime, to_begin: &ToBegin) {
    tokio::spawn(people::meddle(shared.clone(), runtime.clone()));
    if shared.state().sharing.connections {
        tokio::spawn(people::set_breakers(shared.clone(), runtime.clone()));
    }
    if shared.state().sharing.services {
        tokio::spawn(sharing::meddle(shared.clone(), runtime.clone()));
    }
    // Whoever begins releases on bad days goes with them.
    let mut beginning = tokio::task::JoinSet::new();
    beginning.spawn(begin_all(shared.clone(), runtime.clone(), to_begin.clone()));
    let until = shared.state().profile.bad_days;
    while shared.clock.passed() < until {
        let (after, jump) = {
            let mut state = shared.state();
            let jumps = state.profile.jumps && state.dice.permille(100);
            let by = match state.dice.below(3) {
                0 => state.dice.below(5_000),
                1 => state.dice.below(120_000),
                _ => state.dice.below(4_000_000),
            };
            let by = i64::try_from(by).unwrap_or_default();
            let by = if state.dice.permille(500) { by } else { -by };
            (state.dice.between(1_000, 30_000), jumps.then_some(by))
        };
        sleep(after).await;
        if let Some(by) = jump {
            shared.clock.jump(by);
            // What waits for a time waits longer then.
            shared.delayed(if by < 0 { by.unsigned_abs() } else { 0 });
            shared.tell(|| format!("the clock jumps by {by} ms"));
            shared.count(if by > 0 { "clock: jumped ahead" } else { "clock: jumped back" });
        }
        shared.judge(shared.go_round(runtime));
        // Some want a release back that has ended; not for long.
        let nothing_is_left = to_begin.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty();
        let mut state = shared.state();
        if nothing_is_left && state.releases.values().all(|it| !it.is_open()) && state.dice.permille(300) {
            return;
        }
    }
}

/// Begins what is left to begin; what was begun is taken off when it is acknowledged.
async fn begin_all(shared: Arc<Shared>, runtime: Runtime, to_begin: ToBegin) {
    loop {
        let next = to_begin.lock().unwrap_or_else(std::sync::PoisonError::into_inner).first().cloned();
        let Some((made, after)) = next else { return };
        people::begin(shared.clone(), runtime.clone(), made, after).await;
        let mut to_begin = to_begin.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !to_begin.is_empty() {
            to_begin.remove(0);
        }
    }
}

impl Shared {
    /// From now on the world is willing, the store works and nothing crashes.
    fn heal(&self) {
        self.tell(|| "from now on the world is willing".to_owned());
        self.troubled();
        let mut state = self.state();
        state.healed = true;
        state.life = None;
    }
}

async fn good_days(shared: &Arc<Shared>, runtime: &Runtime, to_begin: &ToBegin) {
    // What hangs has hung before.
    sleep(40_000).await;
    begin_all(shared.clone(), runtime.clone(), to_begin.clone()).await;
    for breaker in runtime.breakers() {
        if breaker.state != "closed" {
            people::close(shared, runtime, &breaker.key).await;
        }
    }
    // A clock that was set back again and again shows for hours what it has shown before.
    let rounds = u64::from(ROUNDS_MAX) + shared.clock.behind() / ROUND;
    for _ in 0..rounds {
        sleep(ROUND).await;
        shared.judge(shared.go_round(runtime));
        if shared.state().releases.values().all(|it| !it.is_open()) {
            return all_is_over(shared, runtime).await;
        }
        sharing::bring_services(shared, runtime).await;
        answer_all(shared, runtime).await;
    }
    let open: Vec<String> = {
        let state = shared.state();
        let open = state.releases.values().filter(|it| it.is_open());
        open.map(|it| format!("{} is {:?}: {:?}", it.release.id(), it.release.state(), it.release.waits())).collect()
    };
    shared.judge(violated("a release ends once the world is willing", open.join("; ")));
}

/// Those who are waited for do what is asked, or give up.
async fn answer_all(shared: &Arc<Shared>, runtime: &Runtime) {
    let soon = shared.clock.wall() + windlass_model::time::Span(SOON);
    let resting: Vec<_> = {
        let state = shared.state();
        let resting = state.releases.values().map(|it| &it.release).filter(|it| {
            let is_on_the_way = state.on_the_way.values().any(|append| append.release == *it.id());
            // A rollback is given up only when nothing of it goes on any more.
            let is_forward = matches!(it.state(), windlass_engine::ReleaseState::Running);
            let timed = it.wake_at().is_some_and(|it| it < soon || !is_forward);
            let goes_on = it.calls().next().is_some() || timed;
            it.outcome().is_none() && !goes_on && !is_on_the_way
        });
        resting.cloned().collect()
    };
    for release in resting {
        let wall = shared.clock.wall();
        let waits_outside = release.topics().any(|it| !it.starts_with("release/"));
        if !people::waits_for_people(&release) && !waits_outside {
            continue;
        }
        let skipped = people::inner_that_failed(&release);
        let answer = if let Some(skip) = skipped.filter(|_| shared.state().dice.permille(500)) {
            Ok(Answer::Says(skip, "nobody waits for what is inside".to_owned()))
        } else {
            let mut state = shared.state();
            Somebody { dice: &mut state.dice, plan: release.plan(), meddling: 0 }.answer(&release, wall)
        };
        match answer {
            Ok(Answer::Callback(_, topic)) => {
                people::call_back_once(shared, runtime, &topic).await;
            }
            Ok(Answer::Says(input, why)) => {
                shared.tell(|| format!("somebody answers {}: {why}", release.id()));
                people::say(shared.clone(), runtime.clone(), release.id().clone(), input).await;
            }
            // As long as something inside of it goes on, not all that is asked of it can be done.
            Err(_) if release.topics().any(|it| it.starts_with("release/")) => {}
            Err(violation) => shared.judge(Err(violation)),
        }
    }
}

async fn all_is_over(shared: &Arc<Shared>, runtime: &Runtime) {
    // What waits until the store is tried again waits longer where the clock was set back.
    let troubled = shared.state().troubled_at.saturating_sub(shared.clock.passed());
    sleep(troubled + 250_000).await;
    let attended = runtime.attended();
    shared.judge(ensure(attended == (0, 0), "nobody looks after what is over", || {
        format!("{} are driven, {} are parked", attended.0, attended.1)
    }));
    let probe = runtime.breakers().into_iter().find(|it| it.probe.is_some());
    shared.judge(ensure(probe.is_none(), "a probe that is over is given back", || format!("{probe:?}")));
    let open = windlass_store::Store::open_releases(&shared.disk).unwrap_or_default();
    shared.judge(ensure(open.is_empty(), "lists say what is over", || format!("{open:?}")));
}
