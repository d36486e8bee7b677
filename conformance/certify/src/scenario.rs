//! Which scenarios a check has for a case.

use serde_json::Value;
use windlass_model::manifest::Action;
use windlass_sandbox::cassette::RecordedCall;

use crate::Check;
use crate::between::{self, Done, Mishap};
use crate::file::{Case, Ends};
use crate::input::{Variant, variants};
use crate::proxy::{self, Fault};
use crate::scene::{Finish, Interruption, Seen};
use crate::transcript::Event;

/// Positions of a run at which something goes wrong; of a longer run the first are taken.
const POSITIONS_MAX: usize = 24;

/// What a case comes to when nothing goes wrong.
pub(crate) struct Reference {
    pub(crate) finish: Finish,
    pub(crate) before: Seen,
    pub(crate) after: Seen,
    pub(crate) calls: Vec<Call>,
    /// The function that was called last.
    pub(crate) last_function: &'static str,
    pub(crate) input: Value,
}

/// A call of it, and what came of it.
pub(crate) struct Call {
    pub(crate) recorded: RecordedCall,
    pub(crate) did: Did,
}

/// What a call does, as far as another one may do the same.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Did {
    function: String,
    /// `POST /jobs`, in order.
    requests: Vec<String>,
    /// Runs of tools, in order.
    runs: Vec<ToolRun>,
    /// Whether it ended in a wait.
    waits: bool,
}

impl Did {
    /// What each call did, of what happened in order.
    pub(crate) fn of(events: &[Event], is_halfway: impl Fn(&str, &str) -> bool) -> Vec<Self> {
        let mut calls = Vec::<Self>::new();
        for event in events {
            if let Event::Called { function, .. } = event {
                calls.push(Self { function: function.clone(), ..Self::default() });
            }
            let Some(call) = calls.last_mut() else { continue };
            match event {
                Event::Requested { method, path, .. } => {
                    call.requests.push(format!("{method} {}", path.split('?').next().unwrap_or_default()));
                }
                Event::Ran { tool, arguments, .. } => {
                    let first = arguments.first().map_or("", String::as_str);
                    call.runs.push(ToolRun { is: format!("{tool} {first}"), halfway: is_halfway(tool, first) });
                }
                Event::Suspended { .. } => call.waits = true,
                _ => {}
            }
        }
        calls
    }
}

/// Where it is worth trying something: everywhere, but in calls that only do once more what the two before them did. Those look
/// for the end of something, and how often depends on how long that takes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Positions<'r> {
    /// Calls, from 0.
    calls: Vec<usize>,
    /// Requests, from 1.
    requests: Vec<(usize, &'r str)>,
    /// Runs of tools, from 1.
    runs: Vec<(usize, &'r ToolRun)>,
    /// Waits, from 1.
    waits: Vec<usize>,
}

impl<'r> Positions<'r> {
    fn of(calls: &[&'r Did]) -> Self {
        let mut positions = Self::default();
        let (mut requests, mut runs, mut waits) = (0, 0, 0);
        for (at, call) in calls.iter().enumerate() {
            waits += usize::from(call.waits);
            if at < 2 || calls[at - 2..at] != [*call, *call] {
                positions.calls.push(at);
                positions.requests.extend((requests + 1..).zip(call.requests.iter().map(String::as_str)));
                positions.runs.extend((runs + 1..).zip(&call.runs));
                positions.waits.extend(call.waits.then_some(waits));
            }
            requests += call.requests.len();
            runs += call.runs.len();
        }
        positions.requests.truncate(POSITIONS_MAX);
        positions.runs.truncate(POSITIONS_MAX);
        positions.waits.truncate(POSITIONS_MAX);
        positions
    }
}

/// A run of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToolRun {
    /// `helm upgrade`.
    pub(crate) is: String,
    /// Whether it ends in the middle of its work when it is asked to.
    pub(crate) halfway: bool,
}

/// Among which requests, or runs, one is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// All of the scenario.
    All,
    /// Those since `rollback` was called first.
    Rollback,
}

/// Where something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// At a request.
    Request(proxy::Plan),
    /// At a run of a tool.
    Run(between::Plan),
}

/// One thing to try.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) position: String,
    pub(crate) plan: Option<Plan>,
    pub(crate) play: Play,
}

/// What the host does, and what is looked at.
#[derive(Debug, Clone)]
pub(crate) enum Play {
    /// It tries again as advised; all has to come to the same.
    Same(Interruption),
    /// One attempt, which must not crash.
    Declared,
    /// The same, and it has to end by itself.
    Understood,
    /// One attempt, which must not crash, and is done only if all came to the same.
    Noticed,
    /// The first failure must be worth another attempt; then all has to come to the same.
    WorthAnother,
    /// The failure must not be worth another attempt.
    NotWorthAnother,
    /// It is stopped where its call is cut off.
    CancelCutOff,
    /// It is stopped while it waits.
    CancelWaiting(usize),
    /// What was done is taken back, so many times.
    RollBack(usize),
    /// Somebody else changes things after it was done; taking it back must leave that alone.
    RollBackOvertaken,
    /// What a call that was cut off did is taken back.
    RollBackCutOff,
    /// After an answer that makes another attempt new work, what both did is taken back.
    RollBackBoth,
    /// A request of the rollback itself is refused: what says that it is done has done it.
    RollBackRefused,
    /// Nothing may be written.
    DryRun,
    /// The host must refuse the input, or the plugin understand it.
    Input(Variant),
    /// The plugin is handed what it never wrote.
    Garbage(Value),
    /// A recorded call is played again.
    Replay(usize),
    /// The credential must not be taken from where it is repeated.
    Echoed,
}

fn plain(position: impl Into<String>, play: Play) -> Scenario {
    Scenario { position: position.into(), plan: None, play }
}

/// Requests of a rollback, and runs, that are refused, one in each scenario.
const ROLLBACK_POSITIONS: usize = 3;

const HELD: [Fault; 2] = [Fault::Hold { delivered: false }, Fault::Hold { delivered: true }];
const HELD_RUNS: [Mishap; 3] = [Mishap::Hold(Done::Nothing), Mishap::Hold(Done::Half), Mishap::Hold(Done::All)];

/// The scenarios of a check, or why there are none.
pub(crate) fn scenarios(
    check: Check,
    case: &Case,
    action: &Action,
    reference: &Reference,
) -> Result<Vec<Scenario>, String> {
    let did: Vec<&Did> = reference.calls.iter().map(|it| &it.did).collect();
    let positions = Positions::of(&did);
    let at_each = |faults: &[Fault], on: bool, play: Play| -> Vec<Scenario> {
        let all = if on { " and all after it" } else { "" };
        let each = positions.requests.iter().flat_map(|it| faults.iter().map(move |fault| (it, *fault)));
        each.map(|((at, request), fault)| Scenario {
            position: format!("request {at}{all} (`{request}`): {}", fault.words()),
            plan: Some(Plan::Request(proxy::Plan { at: *at, of: Of::All, fault, on })),
            play: play.clone(),
        })
        .collect()
    };
    let at_each_run = |mishaps: &[Mishap], play: Play| -> Vec<Scenario> {
        let each = positions.runs.iter().flat_map(|(at, run)| mishaps.iter().map(move |it| (*at, *run, *it)));
        let each = each.filter(|(_, run, mishap)| run.halfway || !mishap.is_halfway());
        each.map(|(at, run, mishap)| Scenario {
            position: format!("run {at} (`{}`): {}", run.is, mishap.words()),
            plan: Some(Plan::Run(between::Plan { at, of: Of::All, mishap })),
            play: play.clone(),
        })
        .collect()
    };
    let needs_positions = |scenarios: Vec<Scenario>| {
        let is_any = !positions.requests.is_empty() || !positions.runs.is_empty();
        let tools = if action.tools.is_empty() { "" } else { " and runs no tools" };
        if is_any { Ok(scenarios) } else { Err(format!("it makes no requests{tools}")) }
    };
    let same = Play::Same(Interruption::default());
    let is_done = matches!(case.ends, Ends::Done);
    match check {
        // Judged by the reference itself.
        Check::Run => Ok(Vec::new()),
        Check::Schemas => {
            let inputs = variants(&action.input, &reference.input).into_iter();
            let mut all: Vec<Scenario> = inputs.map(|it| plain(it.what.clone(), Play::Input(it))).collect();
            for (what, state) in [("nothing", ""), ("what is no JSON", "\u{1}certify"), ("an empty object", "{}")] {
                all.push(plain(
                    format!("resumed with a state of {what}, and an input that is a list"),
                    Play::Garbage(Value::String(state.to_owned())),
                ));
            }
            Ok(all)
        }
        Check::Resume if positions.waits.is_empty() => Err("it never waits".to_owned()),
        Check::Resume => Ok(positions
            .waits
            .iter()
            .map(|at| {
                let interruption = Interruption { twice_at: Some(*at), ..Interruption::default() };
                plain(
                    format!("wait {at}: resumed, cut off before that was recorded, resumed again"),
                    Play::Same(interruption),
                )
            })
            .collect()),
        Check::Replay => Ok(positions
            .calls
            .iter()
            .map(|at| plain(format!("call {} (`{}`)", at + 1, did[*at].function), Play::Replay(*at)))
            .collect()),
        Check::Once => {
            let mut all = at_each(&[Fault::LoseResponse, Fault::CutBody], false, same.clone());
            all.extend(at_each_run(&[Mishap::Killed, Mishap::Halfway, Mishap::Lost, Mishap::CutOutput], same));
            needs_positions(all)
        }
        Check::Retry => {
            let mut all = at_each(&[Fault::Status(429), Fault::Status(503)], false, Play::WorthAnother);
            all.extend(at_each(&[Fault::Status(403)], true, Play::NotWorthAnother));
            all.extend(at_each(&[Fault::NotJson], false, Play::Understood));
            all.extend(at_each_run(&[Mishap::Page], Play::Understood));
            all.extend(at_each_run(&[Mishap::Fails], Play::Noticed));
            needs_positions(all)
        }
        Check::Cancel if !action.cancel => Err("it has no `cancel`".to_owned()),
        Check::Cancel => {
            let mut all = at_each(&HELD, false, Play::CancelCutOff);
            // Half of its work does not go on: it is for a rollback.
            all.extend(at_each_run(&[Mishap::Hold(Done::Nothing), Mishap::Hold(Done::All)], Play::CancelCutOff));
            all.extend(positions.waits.iter().map(|at| plain(format!("wait {at}"), Play::CancelWaiting(*at))));
            Ok(all)
        }
        Check::Rollback if !action.rollback => Err("it has no `rollback`".to_owned()),
        Check::Rollback if !is_done => Err("the case does not end well".to_owned()),
        Check::Rollback => {
            let mut all = vec![plain("after it was done", Play::RollBack(1)), plain("twice", Play::RollBack(2))];
            if !case.before_rollback.is_empty() {
                all.push(plain("after somebody else changed things (`before_rollback`)", Play::RollBackOvertaken));
            }
            all.extend(at_each(&HELD, false, Play::RollBackCutOff));
            all.extend(at_each_run(&HELD_RUNS, Play::RollBackCutOff));
            all.extend(at_each(&[Fault::Status(404)], false, Play::RollBackBoth));
            all.extend(at_each_run(&[Mishap::Fails, Mishap::FailsAfter], Play::RollBackBoth));
            let refused =
                |position: String, plan: Plan| Scenario { position, plan: Some(plan), play: Play::RollBackRefused };
            let asks = action.connections.values().any(|it| !it.requests.is_empty());
            all.extend((1..=ROLLBACK_POSITIONS).filter(|_| asks).map(|number| {
                let fault = Fault::Status(500);
                let plan = proxy::Plan { at: number, of: Of::Rollback, fault, on: false };
                refused(format!("request {number} of the rollback: {}", fault.words()), Plan::Request(plan))
            }));
            all.extend((1..=ROLLBACK_POSITIONS).filter(|_| !action.tools.is_empty()).map(|number| {
                let mishap = Mishap::Fails;
                let plan = between::Plan { at: number, of: Of::Rollback, mishap };
                refused(format!("run {number} of the rollback: {}", mishap.words()), Plan::Run(plan))
            }));
            Ok(all)
        }
        Check::DryRun => Ok(vec![plain("from its beginning to its first wait", Play::DryRun)]),
        Check::Limits => {
            let mut all = at_each(&[Fault::Endless], false, Play::Declared);
            let silent = at_each(&[Fault::Silence], false, same.clone());
            all.extend(silent.into_iter().take(1));
            all.extend(at_each_run(&[Mishap::Endless], Play::Declared));
            all.extend(at_each_run(&[Mishap::Silent], same).into_iter().take(1));
            needs_positions(all)
        }
        Check::Secrets => {
            let mut all = at_each(&[Fault::EchoCredential], false, Play::Echoed);
            all.extend(at_each_run(&[Mishap::Echo], Play::Echoed));
            all.push(plain("when nothing goes wrong", Play::Echoed));
            Ok(all)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn did(function: &str, requests: &[&str], waits: bool) -> Did {
        let requests = requests.iter().map(|it| (*it).to_owned()).collect();
        Did { function: function.to_owned(), requests, runs: Vec::new(), waits }
    }

    #[test]
    fn a_call_that_does_what_the_two_before_it_did_is_passed_over() {
        let (begun, looks) = (did("start", &["POST /jobs"], true), did("resume", &["GET /jobs/1", "GET /log"], true));
        let (other, ends) = (did("resume", &["GET /jobs/2"], true), did("resume", &["GET /jobs/2"], false));
        let calls = [&begun, &looks, &looks, &looks, &looks, &other, &looks, &ends];
        let positions = Positions::of(&calls);
        assert_eq!(positions.calls, [0, 1, 2, 5, 6, 7]);
        assert_eq!(positions.waits, [1, 2, 3, 6, 7]);
        let numbers: Vec<usize> = positions.requests.iter().map(|(at, _)| *at).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 10, 11, 12, 13]);
        assert_eq!(positions.requests[5], (10, "GET /jobs/2"));
    }

    #[test]
    fn of_a_long_run_the_first_positions_are_taken() {
        let calls: Vec<Did> = (0..40).map(|it| did("resume", &[&format!("GET /{it}")], true)).collect();
        let positions = Positions::of(&calls.iter().collect::<Vec<_>>());
        assert_eq!((positions.requests.len(), positions.waits.len()), (POSITIONS_MAX, POSITIONS_MAX));
        assert_eq!(positions.requests.last(), Some(&(POSITIONS_MAX, "GET /23")));
    }
}
