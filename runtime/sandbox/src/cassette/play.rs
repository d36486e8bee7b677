//! Plays a call again: what it asks for is answered from its recording, and from nowhere else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use windlass_model::connection::{Authentication, Connection, SecretReference, Tool};
use windlass_model::digest::Digest;
use windlass_model::event::Wake;
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::time::Timestamp;

use super::record::outcome_of;
use super::{
    CassetteError, Content, Exchanged, HttpAnswer, HttpRequest, RecordedCall, RecordedConnection, RecordedOutcome,
    RecordedTool, RecordedWake, Tape, ToolCommand, ToolRan, compare, operation_of,
};
use crate::call::{Access, CallKind, CallRequest};
use crate::host::{Callback, Exchange, LogLine, StepHost};
use crate::plugin::Plugin;
use crate::sandbox::Sandbox;

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A request, or a tool, is made in another way.
    Changed,
    /// One is made that was not recorded; it was not answered, and the call ended.
    NotRecorded,
    /// One that was recorded is not made.
    NotMade,
    /// The call ends in another way.
    Outcome,
    /// The call cannot be played at all.
    Refused,
}

/// One thing that differs between a recording and what was played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What kind of difference.
    pub what: What,
    /// Of what: `POST https://ci.example/job/x/build`, `tool helm status web`, `the outcome`.
    pub of: String,
    /// How it differs, a sentence each.
    pub how: Vec<String>,
}

/// How strictly a call is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Differences {
    /// The first thing that was not recorded as it is now ends the call.
    End,
    /// What is asked for in another way is answered like the nearest that was recorded, as long as it goes to the same
    /// path by the same method, so that all differences are found.
    Collect,
}

/// What came of playing a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    /// What differs; nothing if all is as it was.
    pub differences: Vec<Difference>,
    /// How it ended.
    pub outcome: RecordedOutcome,
    /// What it logged.
    pub lines: Vec<String>,
}

/// What answers the requests of a call that is played.
pub(crate) struct Player {
    recorded: Arc<RecordedCall>,
    mode: Differences,
    /// Whether it stands in for systems, again and again, instead of playing one call once.
    stands_in: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    used: Vec<bool>,
    differences: Vec<Difference>,
}

impl Player {
    pub(crate) fn new(recorded: Arc<RecordedCall>, mode: Differences) -> Self {
        let used = vec![false; recorded.exchanges.len()];
        Self { recorded, mode, stands_in: false, state: Mutex::new(State { used, differences: Vec::new() }) }
    }

    /// One that stands in for the systems that were recorded: what is asked for is answered like the nearest that was,
    /// as long as it goes to the same path by the same method.
    pub(crate) fn stand_in(recorded: Arc<RecordedCall>) -> Self {
        Self { stands_in: true, ..Self::new(recorded, Differences::Collect) }
    }

    /// Whether clocks and randomness are the recording's, too.
    pub(crate) fn plays_clocks(&self) -> bool {
        !self.stands_in
    }

    pub(crate) fn recorded(&self) -> &RecordedCall {
        &self.recorded
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The recorded answer to a request, or why there is none.
    pub(crate) fn http(&self, now: &HttpRequest) -> Result<HttpAnswer, StepError> {
        let recorded = self.recorded.exchanges.iter().enumerate().filter_map(|(at, it)| match it {
            // What was denied then is denied now, before it comes here.
            Exchanged::Http { answer: HttpAnswer::Denied(_), .. } => None,
            Exchanged::Http { request, answer } => Some((at, request, answer)),
            _ => None,
        });
        let of = format!("{} {}", now.method, now.url);
        let is_near = |it: &HttpRequest| {
            let path = |url: &str| url.split('?').next().unwrap_or_default().to_owned();
            it.method == now.method && path(&it.url) == path(&now.url)
        };
        let near = |it: &HttpRequest| compare::nearness(it, now);
        let name = |it: &HttpRequest| format!("{} {}", it.method, it.url);
        self.choose(recorded, &of, &|it| compare::requests(it, now), &is_near, &near, &name)
    }

    /// What a command came to when it was recorded, or why that is not known.
    pub(crate) fn tool(&self, now: &ToolCommand) -> Result<ToolRan, StepError> {
        let recorded = self.recorded.exchanges.iter().enumerate().filter_map(|(at, it)| match it {
            Exchanged::Tool { ran: ToolRan::Denied(_), .. } => None,
            Exchanged::Tool { command, ran } => Some((at, command, ran)),
            _ => None,
        });
        let name = |it: &ToolCommand| format!("tool {} {}", it.tool, it.arguments.join(" "));
        let is_near = |it: &ToolCommand| it.tool == now.tool && it.arguments.first() == now.arguments.first();
        let near = |it: &ToolCommand| {
            let same = it.arguments.iter().filter(|argument| now.arguments.contains(argument)).count();
            u32::try_from(same).unwrap_or(u32::MAX)
        };
        self.choose(recorded, &name(now), &|it| compare::commands(it, now), &is_near, &near, &name)
    }

    /// Finds the first that is the same and was not asked for yet; else the nearest says what differs.
    fn choose<'a, T: 'a, A: Clone + 'a>(
        &self,
        recorded: impl Iterator<Item = (usize, &'a T, &'a A)>,
        of: &str,
        differences: &dyn Fn(&T) -> Vec<String>,
        is_near: &dyn Fn(&T) -> bool,
        nearness: &dyn Fn(&T) -> u32,
        name: &dyn Fn(&T) -> String,
    ) -> Result<A, StepError> {
        let mut state = self.state();
        let all: Vec<(usize, &T, &A)> = recorded.collect();
        let unused = || all.iter().filter(|(at, ..)| !state.used[*at]);
        if let Some((at, _, answer)) = unused().find(|(_, it, _)| differences(it).is_empty()) {
            let (at, answer) = (*at, A::clone(answer));
            state.used[at] = true;
            return Ok(answer);
        }
        // Of equals the first. Who stands in for a system is asked again what it was asked before.
        let again = || all.iter().filter(|_| self.stands_in).rev().filter(|(_, it, _)| is_near(it));
        let nearest = unused().rev().max_by_key(|(_, it, _)| nearness(it));
        let nearest =
            nearest.filter(|(_, it, _)| is_near(it) || !self.stands_in).or_else(|| again().next()).or(nearest);
        match nearest {
            Some((at, it, answer)) if self.mode == Differences::Collect && is_near(it) => {
                let (at, how, answer) = (*at, differences(it), A::clone(answer));
                state.used[at] = true;
                state.differences.push(Difference { what: What::Changed, of: of.to_owned(), how });
                Ok(answer)
            }
            nearest => {
                let mut how = vec![match nearest {
                    Some((_, it, _)) => format!("nearest in the recording is {}", name(it)),
                    None if all.is_empty() => "the recording has none".to_owned(),
                    None => "all that were recorded have been made".to_owned(),
                }];
                how.extend(nearest.map(|(_, it, _)| differences(it)).unwrap_or_default());
                let message =
                    format!("{of} is not in the recording, and nothing is asked in its place; {}", how.join("; "));
                state.differences.push(Difference { what: What::NotRecorded, of: of.to_owned(), how });
                Err(StepError::host(FailureClass::Internal, "not-recorded", message))
            }
        }
    }

    /// All that differs, what was not made included.
    fn finish(&self) -> Vec<Difference> {
        let State { used, mut differences } = std::mem::take(&mut *self.state());
        let left = self.recorded.exchanges.iter().zip(used).filter(|(_, used)| !used).filter_map(|(it, _)| match it {
            Exchanged::Http { answer: HttpAnswer::Denied(_), .. } | Exchanged::Tool { ran: ToolRan::Denied(_), .. } => {
                None
            }
            Exchanged::Http { request, .. } => Some(format!("{} {}", request.method, request.url)),
            Exchanged::Tool { command, .. } => Some(format!("tool {} {}", command.tool, command.arguments.join(" "))),
            Exchanged::Known { .. } | Exchanged::Checkpoint { .. } | Exchanged::Callback { .. } => None,
        });
        differences.extend(left.map(|of| Difference { what: What::NotMade, of, how: Vec::new() }));
        differences
    }
}

/// The host of a call that is played.
struct PlayedHost {
    checkpoints: Mutex<BTreeMap<String, Vec<u8>>>,
    callbacks: Mutex<VecDeque<Callback>>,
    lines: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StepHost for PlayedHost {
    fn log(&self, line: LogLine) {
        lock(&self.lines).push(line.message);
    }
    fn status(&self, _text: String) {}
    fn percent(&self, _percent: u8) {}
    fn link(&self, _title: String, _url: String) {}
    fn checkpoint(&self, name: &str) -> Option<Vec<u8>> {
        lock(&self.checkpoints).get(name).cloned()
    }
    fn record_checkpoint(&self, name: String, value: Vec<u8>) -> BoxFuture<'_, Result<(), String>> {
        lock(&self.checkpoints).insert(name, value);
        Box::pin(std::future::ready(Ok(())))
    }
    fn create_callback(&self) -> BoxFuture<'_, Result<Callback, String>> {
        let next = lock(&self.callbacks).pop_front();
        Box::pin(std::future::ready(next.ok_or_else(|| "the recording has no more callbacks".to_owned())))
    }
    fn has_callback(&self, _topic: &str) -> bool {
        true
    }
    fn trace(&self, _exchange: Exchange) {}
}

/// Plays a recorded call with a plugin.
pub async fn replay(
    sandbox: &Sandbox,
    plugin: &Arc<Plugin>,
    action: &str,
    recorded: Arc<RecordedCall>,
    mode: Differences,
) -> Played {
    let host = Arc::new(host_of(&recorded));
    let request = match request_of(action, &recorded, host.clone()) {
        Ok(request) => request,
        Err(why) => {
            let how = vec![why];
            let of = "the recording".to_owned();
            let outcome = RecordedOutcome::NotFound;
            let differences = vec![Difference { what: What::Refused, of, how }];
            return Played { differences, outcome, lines: Vec::new() };
        }
    };
    let player = Arc::new(Player::new(recorded.clone(), mode));
    let report = sandbox.play(plugin, request, player.clone()).await;
    let mut differences = player.finish();
    let outcome = outcome_of(&report.result, &|text| text);
    let is_cut_off = differences.iter().any(|it| it.what == What::NotRecorded);
    if outcome != recorded.outcome && !is_cut_off {
        let value = |it: &RecordedOutcome| serde_json::to_value(it).unwrap_or_default();
        let how = compare::values("it", &value(&recorded.outcome), &value(&outcome));
        differences.push(Difference { what: What::Outcome, of: "the outcome".to_owned(), how });
    }
    Played { differences, outcome, lines: std::mem::take(&mut *lock(&host.lines)) }
}

fn host_of(recorded: &RecordedCall) -> PlayedHost {
    let mut checkpoints = BTreeMap::new();
    let mut callbacks = VecDeque::new();
    for exchanged in &recorded.exchanges {
        match exchanged {
            Exchanged::Known { checkpoint, value } => {
                checkpoints.insert(checkpoint.clone(), value.bytes().unwrap_or_default());
            }
            Exchanged::Callback { topic, url } => {
                callbacks.push_back(Callback { topic: topic.clone(), url: url.clone() });
            }
            Exchanged::Http { .. } | Exchanged::Tool { .. } | Exchanged::Checkpoint { .. } => {}
        }
    }
    PlayedHost { checkpoints: Mutex::new(checkpoints), callbacks: Mutex::new(callbacks), lines: Mutex::default() }
}

fn request_of(action: &str, recorded: &RecordedCall, host: Arc<PlayedHost>) -> Result<CallRequest, String> {
    if let Some(why) = &recorded.incomplete {
        return Err(CassetteError::Incomplete { call: 1, why: why.clone() }.to_string());
    }
    let bytes = |content: &Content| content.bytes().ok_or("it holds bytes that are no base64".to_owned());
    let call = &recorded.call;
    let state = call.state.as_ref().map(bytes).transpose()?;
    let wake = match &call.wake {
        Some(RecordedWake::Callback { topic, headers, body }) => {
            Wake::Callback { topic: topic.clone(), headers: headers.clone(), body: bytes(body)? }
        }
        Some(RecordedWake::Timer) | None => Wake::Timer,
    };
    let kind = match recorded.function.as_str() {
        "start" => CallKind::Start,
        "resume" => CallKind::Resume { state: state.ok_or("a `resume` has the state that was suspended with")?, wake },
        "cancel" => CallKind::Cancel { state },
        "rollback" => CallKind::Rollback,
        "find" => CallKind::Find,
        other => return Err(format!("`{other}` is no function of plugins")),
    };
    let operation = operation_of(&call.operation).ok_or_else(|| format!("`{}` is no operation", call.operation))?;
    let connections = recorded.connections.iter().map(|(role, it)| Ok((role.clone(), connection_of(it)?)));
    let tools = recorded.tools.iter().map(|(name, it)| (name.clone(), tool_of(name.as_str(), it, recorded)));
    let access = Access { connections: connections.collect::<Result<_, String>>()?, tools: tools.collect() };
    Ok(CallRequest {
        kind,
        operation,
        action: action.parse().map_err(|_| format!("`{action}` is no action's name"))?,
        release: call.release.clone(),
        step: call.step.clone(),
        attempt: call.attempt,
        idempotency_key: call.idempotency_key.clone(),
        deadline: call.deadline.map(Timestamp),
        dry_run: call.dry_run,
        input: Arc::new(call.input.clone()),
        output: call.output.clone().map(Arc::new),
        context: call.context.clone(),
        access: Arc::new(access),
        host,
        tape: Tape::Off,
    })
}

/// A connection that leads nowhere: its address is only compared.
fn connection_of(recorded: &RecordedConnection) -> Result<Connection, String> {
    let nowhere = SecretReference::Environment("WINDLASS_PLAYED".to_owned());
    let authentication = match recorded.authentication.as_str() {
        "kubeconfig" => Authentication::Kubeconfig { kubeconfig: nowhere },
        _ => Authentication::None,
    };
    Ok(Connection {
        name: recorded.name.parse().map_err(|_| format!("`{}` is no connection's name", recorded.name))?,
        base_url: recorded.base_url.clone(),
        authentication,
        properties: recorded.properties.clone(),
        allow: Vec::new(),
        reads: Vec::new(),
        plugins: Vec::new(),
        private_network: true,
        needs_rollback_trigger: false,
    })
}

/// A tool that is not there: it is never started.
fn tool_of(name: &str, recorded: &RecordedTool, call: &RecordedCall) -> Tool {
    Tool {
        name: name.parse().expect("it was one"),
        path: std::path::PathBuf::new(),
        digest: Digest::of(&[]),
        subcommands: recorded.subcommands.clone(),
        dry_run: recorded.dry_run.clone(),
        connections: call.connections.values().filter_map(|it| it.name.parse().ok()).collect(),
        plugins: Vec::new(),
        wall_ms: Tool::default_wall_ms(),
        output_bytes: Tool::default_output_bytes(),
    }
}
