//! What happened in one scenario, in order, for people to read and for the suite to look for secrets in.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_model::failure::StepError;
use windlass_sandbox::Scrubber;

use crate::Check;
use crate::file::Only;

/// The version of a transcript's written form.
pub const TRANSCRIPT_VERSION: u32 = 1;

/// Bytes that are kept of what the plugin says, keeps or sends, and looked through for credentials: as much as a state has.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// Bytes that are kept of an answer.
const ANSWER_BYTES_MAX: usize = 2_000;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "happened")]
pub enum Event {
    /// The suite asked the counterpart for something beside the plugin.
    Prepared {
        /// What it asked.
        request: String,
        /// What the answer was.
        status: u16,
    },
    /// The suite ran a tool beside the plugin.
    PreparedBy {
        /// The tool and its arguments.
        run: String,
    },
    /// The host called the plugin.
    Called {
        /// `start`, `resume`, `cancel`, `rollback` or `find`.
        function: String,
        /// The idempotency key.
        key: String,
        /// Whether writes were to be stopped.
        dry_run: bool,
        /// What it was resumed or canceled with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<String>,
    },
    /// The host ended the call in the middle of a request.
    CutOff {},
    /// A request reached the suite's proxy.
    Requested {
        /// Which of the scenario, from 1.
        number: usize,
        /// The method.
        method: String,
        /// The path with its query.
        path: String,
        /// Headers that the plugin gave.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// What came of a request.
    Answered {
        /// Of which.
        number: usize,
        /// The status, where there was one.
        status: Option<u16>,
        /// The body that the counterpart gave.
        body: String,
        /// What was done to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<String>,
    },
    /// A native tool was run; told when the call has ended.
    Ran {
        /// Which run of the scenario, from 1.
        number: usize,
        /// The tool.
        tool: String,
        /// Its arguments.
        arguments: Vec<String>,
        /// What was done to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mishap: Option<String>,
    },
    /// A log line, a status, a link.
    Said {
        /// What of these.
        what: String,
        /// What it says.
        text: String,
    },
    /// A part of the step was recorded.
    Checkpoint {
        /// Its name.
        name: String,
        /// What was recorded.
        value: String,
    },
    /// A callback address was made.
    CallbackMade {
        /// Its topic.
        topic: String,
    },
    /// The call ended with a wait.
    Suspended {
        /// What people read.
        status: String,
        /// What is kept.
        state: String,
    },
    /// The operation ended.
    Done {
        /// Its output.
        output: Value,
    },
    /// `find` found nothing.
    NotFound {},
    /// The attempt failed.
    Failed {
        /// With what.
        error: StepError,
    },
    /// The counterpart was asked what has been done to it.
    Probed {
        /// When.
        when: String,
        /// What the probes said, by name.
        seen: Value,
    },
}

/// A failed scenario, written so that it can be run again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// The version of this form.
    pub transcript: u32,
    /// The plugin and its version.
    pub plugin: String,
    /// The component's digest.
    pub component: String,
    /// Which scenario: what `windlass plugin certify --replay` runs again.
    pub only: Only,
    /// Where in it.
    pub position: String,
    /// What was expected.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// All that happened, credentials removed.
    pub events: Vec<Event>,
}

impl Transcript {
    /// Its written form.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a transcript holds only what JSON can hold");
        text.push('\n');
        text
    }

    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(text)
            .map_err(|error| format!("it is no transcript of `windlass plugin certify`: {error}"))?;
        if read.transcript != TRANSCRIPT_VERSION {
            return Err(format!("it is of version {}; {TRANSCRIPT_VERSION} can be read", read.transcript));
        }
        Ok(read)
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        let Only { action, case, check, at } = &self.only;
        let parts = [
            action.as_ref().map(ToString::to_string),
            case.clone(),
            check.map(Check::name).map(str::to_owned),
            at.map(|it| it.to_string()),
        ];
        let name: Vec<String> = parts.into_iter().flatten().collect();
        let plain = |it: char| if it.is_ascii_alphanumeric() || it == '-' || it == '.' { it } else { '-' };
        format!("{}.json", name.join(".").chars().map(plain).collect::<String>())
    }

    /// As people read it.
    pub fn told(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "{}\n  expected: {}\n  seen:     {}", self.position, self.expected, self.seen);
        for event in &self.events {
            let _ = writeln!(text, "    {}", line(event));
        }
        text
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

fn line(event: &Event) -> String {
    match event {
        Event::Prepared { request, status } => format!("beside it    {request} → {status}"),
        Event::PreparedBy { run } => format!("beside it    {}", cut(run)),
        Event::Called { function, key, dry_run, state } => {
            let state = state.as_deref().map(|it| format!(" with {}", cut(it))).unwrap_or_default();
            let dry_run = if *dry_run { " (dry run)" } else { "" };
            format!("call         {function}{dry_run}, key {key}{state}")
        }
        Event::CutOff {} => "cut off      the host ended the call".to_owned(),
        Event::Requested { number, method, path, body, .. } => {
            format!("request {number:<4} {method} {path} {}", cut(body))
        }
        Event::Answered { number, status, body, fault } => {
            let status = status.map_or_else(|| "no answer".to_owned(), |it| it.to_string());
            let fault = fault.as_deref().map(|it| format!(" ← {it}")).unwrap_or_default();
            format!("answer {number:<5} {status} {}{fault}", cut(body))
        }
        Event::Ran { number, tool, arguments, mishap } => {
            let mishap = mishap.as_deref().map(|it| format!(" ← {it}")).unwrap_or_default();
            format!("run {number:<8} {tool} {}{mishap}", cut(&arguments.join(" ")))
        }
        Event::Said { what, text } => format!("{what:<12} {}", cut(text)),
        Event::Checkpoint { name, value } => format!("checkpoint   {name}: {}", cut(value)),
        Event::CallbackMade { topic } => format!("callback     {topic}"),
        Event::Suspended { status, state } => format!("suspended    {status}; state {}", cut(state)),
        Event::Done { output } => format!("done         {}", cut(&output.to_string())),
        Event::NotFound {} => "not found".to_owned(),
        Event::Failed { error } => format!("failed       {error}; advice {:?}", error.advice),
        Event::Probed { when, seen } => format!("probe        {when}: {seen}"),
    }
}

/// What happens, as it is written down.
#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<Event>>>);

impl Record {
    pub(crate) fn add(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    pub(crate) fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Bytes of the plugin's as they are kept.
pub(crate) fn shown(bytes: &[u8]) -> String {
    first(bytes, KEPT_BYTES_MAX)
}

/// Bytes of an answer as they are kept.
pub(crate) fn answered(bytes: &[u8]) -> String {
    first(bytes, ANSWER_BYTES_MAX)
}

fn first(bytes: &[u8], most: usize) -> String {
    let head = &bytes[..bytes.len().min(most)];
    let more = if head.len() < bytes.len() { format!("… ({} bytes)", bytes.len()) } else { String::new() };
    format!("{}{more}", String::from_utf8_lossy(head))
}

/// Takes secrets out of everything.
pub(crate) fn scrubbed(events: Vec<Event>, scrubber: &Scrubber) -> Vec<Event> {
    let scrub = |event: Event| {
        let value = serde_json::to_value(&event).map(|it| scrubber.value(it));
        value.and_then(serde_json::from_value).unwrap_or(event)
    };
    events.into_iter().map(scrub).collect()
}
