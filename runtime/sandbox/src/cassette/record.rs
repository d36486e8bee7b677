//! Writes down what a call asks its host for, and what it gets.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use serde_json::Value;
use windlass_model::failure::StepError;

use super::{
    Clocks, Content, EXCHANGES_MAX, Exchanged, HttpAnswer, HttpRequest, RECORDED_BYTES_MAX, RecordedArguments,
    RecordedCall, RecordedOutcome, RecordedTool, ToolCommand, ToolRan, hidden, millis, recorded_connection, wake,
};
use crate::call::{CallKind, CallRequest};
use crate::outcome::{CallOutcome, WakeUp};
use crate::scrub::Scrubber;

/// Readings of a clock that are kept; a call that looks more often is played with a clock that goes on from there.
const READINGS_MAX: usize = 100_000;

/// What is written down of a call while it runs.
pub(crate) struct Recorder {
    seed: [u8; 16],
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    exchanges: Vec<Raw>,
    bytes: usize,
    incomplete: Option<String>,
    clocks: Clocks,
}

/// An exchange as bytes: what is a secret of it is known for certain only at the call's end.
enum Raw {
    Http { request: (String, String, Vec<(String, Vec<u8>)>), body: Vec<u8>, answer: RawAnswer, answer_body: Vec<u8> },
    Tool { command: ToolCommand, stdout: Vec<u8>, stderr: Vec<u8>, ran: Option<ToolRan> },
    Other(Exchanged),
}

enum RawAnswer {
    None,
    Response(u16, Vec<(String, Vec<u8>)>),
    Error(String),
    Denied(String),
}

/// Which exchange something belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(usize);

fn headers_of(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

impl Recorder {
    pub(crate) fn new(seed: [u8; 16]) -> Self {
        Self { seed, kept: Mutex::default() }
    }

    pub(crate) fn seed(&self) -> [u8; 16] {
        self.seed
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wall(&self, nanos: u64) {
        let wall = &mut self.kept().clocks.wall;
        if wall.len() < READINGS_MAX {
            wall.push(nanos);
        }
    }

    pub(crate) fn monotonic(&self, nanos: u64) {
        let monotonic = &mut self.kept().clocks.monotonic;
        if monotonic.len() < READINGS_MAX {
            monotonic.push(nanos);
        }
    }

    fn add(&self, raw: Raw) -> Option<Slot> {
        let mut kept = self.kept();
        if kept.exchanges.len() >= EXCHANGES_MAX {
            kept.incomplete.get_or_insert(format!("it asked its host for more than {EXCHANGES_MAX} things"));
            return None;
        }
        kept.exchanges.push(raw);
        Some(Slot(kept.exchanges.len() - 1))
    }

    fn change(&self, slot: Option<Slot>, change: impl FnOnce(&mut Raw)) {
        let mut kept = self.kept();
        if let Some(raw) = slot.and_then(|it| kept.exchanges.get_mut(it.0)) {
            change(raw);
        }
    }

    /// Adds bytes, as long as there is room.
    fn extend(&self, slot: Option<Slot>, data: &[u8], into: impl FnOnce(&mut Raw) -> Option<&mut Vec<u8>>) {
        let Some(slot) = slot else { return };
        let mut kept = self.kept();
        if kept.bytes + data.len() > RECORDED_BYTES_MAX {
            kept.incomplete.get_or_insert(format!("it moved more than {RECORDED_BYTES_MAX} bytes"));
            return;
        }
        kept.bytes += data.len();
        if let Some(buffer) = kept.exchanges.get_mut(slot.0).and_then(into) {
            buffer.extend_from_slice(data);
        }
    }

    pub(crate) fn http(&self, method: &str, url: &str, headers: &HeaderMap) -> Option<Slot> {
        let request = (method.to_owned(), url.to_owned(), headers_of(headers));
        self.add(Raw::Http { request, body: Vec::new(), answer: RawAnswer::None, answer_body: Vec::new() })
    }

    /// The body of a request that is sent a second time is the same.
    pub(crate) fn http_again(&self, slot: Option<Slot>) {
        self.change(slot, |it| {
            if let Raw::Http { body, .. } = it {
                body.clear();
            }
        });
    }

    pub(crate) fn http_sent(&self, slot: Option<Slot>, data: &[u8]) {
        self.extend(slot, data, |it| if let Raw::Http { body, .. } = it { Some(body) } else { None });
    }

    pub(crate) fn http_got(&self, slot: Option<Slot>, data: &[u8]) {
        self.extend(slot, data, |it| if let Raw::Http { answer_body, .. } = it { Some(answer_body) } else { None });
    }

    fn answer(&self, slot: Option<Slot>, given: RawAnswer) {
        self.change(slot, |it| {
            if let Raw::Http { answer, .. } = it {
                *answer = given;
            }
        });
    }

    pub(crate) fn http_answered(&self, slot: Option<Slot>, status: u16, headers: &HeaderMap) {
        self.answer(slot, RawAnswer::Response(status, headers_of(headers)));
    }

    pub(crate) fn http_failed(&self, slot: Option<Slot>, error: &str) {
        self.answer(slot, RawAnswer::Error(error.to_owned()));
    }

    pub(crate) fn http_denied(&self, slot: Option<Slot>, why: &str) {
        self.answer(slot, RawAnswer::Denied(why.to_owned()));
    }

    pub(crate) fn tool(&self, command: ToolCommand) -> Option<Slot> {
        self.add(Raw::Tool { command, stdout: Vec::new(), stderr: Vec::new(), ran: None })
    }

    pub(crate) fn tool_printed(&self, slot: Option<Slot>, is_error: bool, data: &[u8]) {
        self.extend(slot, data, |it| match it {
            Raw::Tool { stderr, .. } if is_error => Some(stderr),
            Raw::Tool { stdout, .. } => Some(stdout),
            _ => None,
        });
    }

    /// A tool that ended; what it printed is added at the call's end.
    pub(crate) fn tool_ended(&self, slot: Option<Slot>, end: Result<i32, String>) {
        let nothing = || Content::Text(String::new());
        self.tool_was(slot, ToolRan::Ended { stdout: nothing(), stderr: nothing(), end });
    }

    pub(crate) fn tool_was(&self, slot: Option<Slot>, given: ToolRan) {
        self.change(slot, |it| {
            if let Raw::Tool { ran, .. } = it {
                *ran = Some(given);
            }
        });
    }

    pub(crate) fn other(&self, exchanged: Exchanged) {
        self.add(Raw::Other(exchanged));
    }

    /// What was written down, without secrets.
    pub(crate) fn finish(
        &self,
        arguments: Arguments,
        outcome: RecordedOutcome,
        scrubber: &Scrubber,
        hide: &dyn Fn(String) -> String,
    ) -> RecordedCall {
        let Kept { exchanges, mut incomplete, clocks, .. } = std::mem::take(&mut *self.kept());
        let text = |text: String| hide(scrubber.text(text));
        let content = |bytes: &[u8]| hidden(Content::of(&scrubber.bytes(bytes)), hide);
        let body = |bytes: &[u8]| (!bytes.is_empty()).then(|| content(bytes));
        let headers = |given: Vec<(String, Vec<u8>)>| {
            let given = given.into_iter();
            given.map(|(name, value)| (text(name), text(String::from_utf8_lossy(&value).into_owned()))).collect()
        };
        let mut clean = Vec::with_capacity(exchanges.len());
        for raw in exchanges {
            clean.push(match raw {
                Raw::Http { request: (method, url, given), body: sent, answer, answer_body } => Exchanged::Http {
                    request: HttpRequest { method, url: text(url), headers: headers(given), body: body(&sent) },
                    answer: match answer {
                        RawAnswer::Response(status, given) => {
                            HttpAnswer::Response { status, headers: headers(given), body: body(&answer_body) }
                        }
                        RawAnswer::Error(error) => HttpAnswer::Error(text(error)),
                        RawAnswer::Denied(why) => HttpAnswer::Denied(text(why)),
                        RawAnswer::None => {
                            incomplete.get_or_insert("it ended before an answer came".to_owned());
                            HttpAnswer::Error("no answer came".to_owned())
                        }
                    },
                },
                Raw::Tool { command, stdout, stderr, ran } => Exchanged::Tool {
                    command,
                    ran: match ran {
                        Some(ToolRan::Ended { end, .. }) => ToolRan::Ended {
                            stdout: content(&stdout),
                            stderr: content(&stderr),
                            end: end.map_err(text),
                        },
                        Some(ToolRan::NotStarted(why)) => ToolRan::NotStarted(text(why)),
                        Some(ToolRan::Denied(why)) => ToolRan::Denied(text(why)),
                        None => {
                            incomplete.get_or_insert("it ended before a tool did".to_owned());
                            ToolRan::NotStarted("its end was not seen".to_owned())
                        }
                    },
                },
                Raw::Other(other) => other,
            });
        }
        let Arguments { function, call, connections, tools } = arguments;
        let seed = hex::encode(self.seed);
        let whole =
            RecordedCall { function, incomplete, call, connections, tools, exchanges: clean, clocks, seed, outcome };
        without(whole, scrubber, hide)
    }
}

/// Whatever text is left anywhere, inputs, outcomes and commands among them.
fn without(call: RecordedCall, scrubber: &Scrubber, hide: &dyn Fn(String) -> String) -> RecordedCall {
    let value = serde_json::to_value(&call).expect("a call holds only what JSON can hold");
    let value = hide_all(scrubber.value(value), hide);
    // What is scrubbed may not be what it was, a number for example; then nothing of it is kept.
    serde_json::from_value(value).unwrap_or_else(|error| RecordedCall {
        incomplete: Some(format!("it cannot be kept without what must not be: {error}")),
        exchanges: Vec::new(),
        outcome: RecordedOutcome::NotFound,
        call: RecordedArguments { input: Value::Null, output: None, state: None, wake: None, ..call.call },
        ..call
    })
}

fn hide_all(value: Value, hide: &dyn Fn(String) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(hide(text)),
        Value::Array(items) => items.into_iter().map(|it| hide_all(it, hide)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, it)| (name, hide_all(it, hide))).collect(),
        other => other,
    }
}

/// What a call was made with, taken before it is.
pub(crate) struct Arguments {
    function: String,
    call: RecordedArguments,
    connections: std::collections::BTreeMap<windlass_model::name::RoleName, super::RecordedConnection>,
    tools: std::collections::BTreeMap<windlass_model::name::ToolName, RecordedTool>,
}

impl Arguments {
    pub(crate) fn of(request: &CallRequest) -> Self {
        let host = request.host.clone();
        let hide = |text: String| host.hide(text);
        let (function, state, woken) = match &request.kind {
            CallKind::Start => ("start", None, None),
            CallKind::Resume { state, wake: woken } => ("resume", Some(state.clone()), Some(wake(woken, &hide))),
            CallKind::Cancel { state } => ("cancel", state.clone(), None),
            CallKind::Rollback => ("rollback", None, None),
            CallKind::Find => ("find", None, None),
        };
        let call = RecordedArguments {
            release: request.release.clone(),
            step: request.step.clone(),
            attempt: request.attempt,
            operation: request.operation.name().to_owned(),
            idempotency_key: request.idempotency_key.clone(),
            deadline: millis(request.deadline),
            dry_run: request.dry_run,
            input: Value::clone(&request.input),
            output: request.output.as_deref().cloned(),
            context: request.context.clone(),
            state: state.map(|it| hidden(Content::of(&it), &hide)),
            wake: woken,
        };
        let connections = request.access.connections.iter().map(|(role, it)| (role.clone(), recorded_connection(it)));
        let tools = request.access.tools.iter().map(|(name, it)| {
            (name.clone(), RecordedTool { subcommands: it.subcommands.clone(), dry_run: it.dry_run.clone() })
        });
        Self { function: function.to_owned(), call, connections: connections.collect(), tools: tools.collect() }
    }
}

/// An end, as it is kept and compared.
pub(crate) fn outcome_of(result: &Result<CallOutcome, StepError>, hide: &dyn Fn(String) -> String) -> RecordedOutcome {
    match result {
        Ok(CallOutcome::Done(output)) => RecordedOutcome::Done(hide_all(output.clone(), hide)),
        Ok(CallOutcome::Suspended { state, wakes, status }) => RecordedOutcome::Suspended {
            state: hidden(Content::of(state), hide),
            wakes: wakes
                .iter()
                .map(|it| match it {
                    WakeUp::After(span) => format!("after {span}"),
                    // The host moves times that are past.
                    WakeUp::At(_) => "at a time".to_owned(),
                    WakeUp::Callback(topic) => hide(format!("callback {topic}")),
                })
                .collect(),
            status: hide(status.clone()),
        },
        Ok(CallOutcome::NotFound) => RecordedOutcome::NotFound,
        // What it did outside is what the exchanges say.
        Err(error) => RecordedOutcome::Failed(StepError { without_effect: false, ..error.clone() }),
    }
}
