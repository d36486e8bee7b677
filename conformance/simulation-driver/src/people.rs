//! People and other systems: they begin releases, vote, meddle, watch, open breakers and call back.

use std::sync::Arc;
use std::time::Duration;

use windlass_engine::{Input, Release, StepState};
use windlass_model::breaker::Written;
use windlass_model::event::Intervention;
use windlass_model::name::ReleaseId;
use windlass_model::time::Span;
use windlass_server::driver::NotTaken;
use windlass_server::{Runtime, RuntimeError};
use windlass_simulation::people::{Somebody, actor};
use windlass_simulation::violation::{Violation, ensure, violated};

use crate::plans::Made;
use crate::shared::{Shared, State};
use crate::sharing;

/// How often the other side calls back before it gives up.
const CALLED_BACK_MAX: u32 = 12;

/// Begins a release when it is its time, and again until it is told that it began.
pub(crate) async fn begin(shared: Arc<Shared>, runtime: Runtime, made: Made, after: u64) -> Option<ReleaseId> {
    sleep(after).await;
    let who = {
        let mut state = shared.state();
        actor(state.dice.below(6) as usize)
    };
    loop {
        let begun = async {
            let kept = runtime.keep_nested(made.planned.clone()).await?;
            runtime.begin(&kept, made.parameters.clone(), who.clone()).await
        };
        match begun.await {
            Ok(id) => {
                let is_there = shared.state().releases.contains_key(&id);
                let rule = "what is acknowledged is in the journal";
                shared.judge(ensure(is_there, rule, || format!("{id} was begun")));
                return Some(id);
            }
            Err(error) => {
                shared.tell(|| format!("a release could not be begun: {error}"));
                shared.count("people: could not begin a release");
                sleep(7_000).await;
            }
        }
    }
}

/// People do what comes to their minds, until the days are better.
pub(crate) async fn meddle(shared: Arc<Shared>, runtime: Runtime) {
    loop {
        let after = {
            let mut state = shared.state();
            let most = state.profile.people;
            state.dice.between(1, most)
        };
        sleep(after).await;
        if shared.state().healed {
            return;
        }
        let (of, which) = {
            let mut state = shared.state();
            let ids: Vec<ReleaseId> = state.releases.keys().cloned().collect();
            (state.dice.pick(&ids).cloned(), state.dice.below(100))
        };
        if which < 12 {
            tokio::spawn(use_breakers(shared.clone(), runtime.clone()));
        } else if let Some(id) = of {
            if which < 25 {
                tokio::spawn(watch(shared.clone(), runtime.clone(), id));
            } else {
                tokio::spawn(say_something(shared.clone(), runtime.clone(), id));
            }
        }
    }
}

async fn watch(shared: Arc<Shared>, runtime: Runtime, id: ReleaseId) {
    let _watching = runtime.subscribe(&id);
    shared.count("people: watched a release");
    let after = shared.state().dice.below(200_000);
    sleep(after).await;
}

async fn say_something(shared: Arc<Shared>, runtime: Runtime, id: ReleaseId) {
    // One that cannot be read is not talked about.
    let Ok(release) = runtime.release(&id).await else { return };
    let input = {
        let mut state = shared.state();
        let meddling = state.profile.meddling;
        Somebody { dice: &mut state.dice, plan: release.plan(), meddling }.idea(Some(&release))
    };
    if let Some(input) = input {
        say(shared, runtime, id, input).await;
    }
}

/// Says something, and checks what becomes of it.
pub(crate) async fn say(shared: Arc<Shared>, runtime: Runtime, id: ReleaseId, mut input: Input) {
    let token = {
        let mut state = shared.state();
        let number = state.next_number();
        match &mut input {
            Input::Vote { comment: text, .. } | Input::Intervene { reason: text, .. } if !text.trim().is_empty() => {
                *text = format!("{text} ({number})");
                Some(text.clone())
            }
            _ => None,
        }
    };
    let before = shared.state().records(&id);
    let told = runtime.tell(&id, input.clone()).await;
    shared.tell(|| format!("{id} was told {input:?}: {told:?}"));
    let judged = shared.state().answered(&id, token.as_deref(), &told, before, &input);
    shared.judge(judged);
}

impl State {
    fn records(&self, id: &ReleaseId) -> u64 {
        self.releases.get(id).map_or(0, |it| it.release.records())
    }

    /// Somebody was told what became of what they said.
    fn answered(
        &mut self,
        id: &ReleaseId,
        token: Option<&str>,
        told: &Result<(), RuntimeError>,
        before: u64,
        input: &Input,
    ) -> Result<(), Violation> {
        let is_pending = self.on_the_way.values().any(|it| it.release == *id);
        let Some(seen) = self.releases.get(id) else { return Ok(()) };
        let recorded = token.map(|it| seen.said.get(it).copied().unwrap_or_default());
        match told {
            Ok(()) => {
                self.counts.add("people: were heard");
                ensure(recorded.is_none_or(|it| it == 1), "what is acknowledged is in the journal", || {
                    format!("{token:?} is {recorded:?} times in the journal of {id}")
                })
            }
            Err(RuntimeError::NotTaken(NotTaken::Rejected(_))) => {
                self.counts.add("people: were refused");
                ensure(recorded.unwrap_or_default() == 0, "what is refused changes nothing", || {
                    format!("{token:?} was refused, and is in the journal of {id}")
                })?;
                match &seen.witness {
                    Some(witness) if before == seen.release.records() && !is_pending => witness.refused(input),
                    _ => Ok(()),
                }
            }
            Err(RuntimeError::NotTaken(NotTaken::NotRecorded(_)) | RuntimeError::Store(_)) => {
                self.counts.add("people: were told that the store fails");
                Ok(())
            }
            Err(error) => violated("who asks gets an answer", format!("{id}: {error}")),
        }
    }
}

/// Opens, sets, or closes a breaker.
async fn use_breakers(shared: Arc<Shared>, runtime: Runtime) {
    let chosen = shared.state().choose_breaker();
    if let Some((which, key)) = chosen {
        use_breaker(&shared, &runtime, which, &key).await;
    }
}

impl State {
    /// What is to be done with which breaker.
    fn choose_breaker(&mut self) -> Option<(u64, String)> {
        if self.sharing.connections {
            let at = self.sharing_dice.below(4);
            if at < sharing::CONNECTIONS {
                return Some((self.sharing_dice.below(4), format!("connection:link/c{at}")));
            }
        }
        if !self.profile.breakers {
            return None;
        }
        let names: Vec<String> = self.releases.keys().map(|it| format!("workflow:{}", it.workflow())).collect();
        let which = self.dice.below(4);
        let key = self.dice.pick(&names).cloned().unwrap_or_else(|| "global".to_owned());
        Some((which, if self.dice.permille(500) { key } else { "global".to_owned() }))
    }
}

/// Lets the breakers of connections open and close by themselves.
pub(crate) async fn set_breakers(shared: Arc<Shared>, runtime: Runtime) {
    for at in 0..sharing::CONNECTIONS {
        use_breaker(&shared, &runtime, 1, &format!("connection:link/c{at}")).await;
    }
}

async fn use_breaker(shared: &Arc<Shared>, runtime: &Runtime, which: u64, key: &str) {
    let is_global = key == "global";
    match which {
        0 => {
            let closings = shared.state().closings;
            let tripped = runtime.trip_breaker(key, actor(0), "an incident").await;
            shared.tell(|| format!("{key} is opened: {}", tripped.is_ok()));
            if tripped.is_ok() {
                shared.count("breaker: opened by somebody");
                if is_global {
                    let now = shared.clock.passed();
                    let mut state = shared.state();
                    // Somebody may have closed it before we heard that it is open.
                    state.tripped = (state.closings == closings).then_some(now);
                }
            }
        }
        1 if !is_global => {
            let written = Written {
                failures_percent: 50,
                of: 2,
                within: Span::seconds(600),
                consecutive: Some(1),
                cooldown: Span::seconds(60),
                probes: 1,
            };
            if runtime.set_breaker(key, Some(written), None, actor(0)).await.is_ok() {
                shared.count("breaker: set");
            }
        }
        _ => close(shared, runtime, key).await,
    }
}

/// Closes a breaker, if it is open.
pub(crate) async fn close(shared: &Arc<Shared>, runtime: &Runtime, key: &str) {
    if key == "global" {
        let mut state = shared.state();
        state.tripped = None;
        state.closings += 1;
    }
    let reset = runtime.reset_breaker(key, actor(0), "it is over").await;
    shared.tell(|| format!("{key} is closed: {}", reset.is_ok()));
    if reset.is_ok() {
        shared.count("breaker: closed by somebody");
    }
}

/// The other side calls back after a while, more than once, and perhaps before the call that told it has ended.
pub(crate) fn will_call_back(shared: &Arc<Shared>, topic: String) {
    let (runtime, first) = {
        let mut state = shared.state();
        let early = state.dice.permille(300);
        let after = if early { state.dice.below(50) } else { state.dice.below(60_000) };
        (state.runtime.clone(), after)
    };
    if let Some(runtime) = runtime {
        tokio::spawn(call_back(shared.clone(), runtime, topic, first));
    }
}

async fn call_back(shared: Arc<Shared>, runtime: Runtime, topic: String, first: u64) {
    sleep(first).await;
    for _ in 0..CALLED_BACK_MAX {
        if call_back_once(&shared, &runtime, &topic).await {
            return;
        }
        sleep(10_000).await;
    }
}

/// Calls back; tells whether it need not do so again.
pub(crate) async fn call_back_once(shared: &Arc<Shared>, runtime: &Runtime, topic: &str) -> bool {
    let token = format!("call {}", shared.state().next_number());
    let headers = vec![("x-from".to_owned(), token.clone())];
    match runtime.call_back(topic, headers, topic.as_bytes().to_vec()).await {
        Ok(id) => {
            let mut state = shared.state();
            let times = state.releases.get(&id).and_then(|it| it.said.get(&token).copied()).unwrap_or_default();
            let again = state.dice.permille(300);
            drop(state);
            shared.count("callback: taken");
            shared.judge(ensure(times > 0, "what is acknowledged is in the journal", || {
                format!("{token}, and {id} does not know of it")
            }));
            // It does not hear every answer, and calls again.
            !again
        }
        Err(RuntimeError::NotTaken(NotTaken::Rejected(_))) => {
            let is_there = shared.state().releases.values().any(|it| it.said.contains_key(&token));
            shared.count("callback: refused");
            shared.judge(ensure(!is_there, "what is refused changes nothing", || token.clone()));
            true
        }
        Err(_) => {
            shared.count("callback: the store failed");
            false
        }
    }
}

/// A step that ran a workflow, and that somebody may go on without.
pub(crate) fn inner_that_failed(release: &Release) -> Option<Input> {
    let paused = windlass_simulation::people::runs(release).into_iter().find(|it| {
        let is_workflow = release.definition(*it).uses.action().is_none();
        is_workflow && matches!(release.step(*it).state, StepState::Paused { .. })
    });
    let intervention = Intervention::Skip { step: release.name_of(paused?), output: None };
    Some(Input::Intervene { actor: actor(0), reason: "it is done by hand".to_owned(), intervention })
}

/// Whether a release waits for people.
pub(crate) fn waits_for_people(release: &Release) -> bool {
    use windlass_engine::WaitCause;
    release.waits().iter().any(|it| matches!(it.cause, WaitCause::Approval | WaitCause::Decision | WaitCause::Pause))
}

pub(crate) async fn sleep(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
