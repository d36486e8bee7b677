//! Recordings of calls, and playing them again without the world.
//!
//! A [`RecordedCall`] holds all that one call got from its host and gave to it, credentials removed: what it was called
//! with, every request with its answer, every tool that ran, checkpoints, callbacks, clocks and the seed of its
//! randomness, and how it ended. The calls of an attempt make a [`Cassette`], a file that people read and commit.
//!
//! A call that is played again runs in the sandbox like any other, but nothing behind the choke points is asked: what
//! it asks for has to be in the recording, or is told with what comes nearest.
//!
//! **Invariant:** credentials are removed before anything is kept, by what removes them from answers and logs.
//! **Invariant:** a call that is neither recorded nor played again pays a look at an empty option, nothing else.

mod clock;
mod compare;
mod play;
mod record;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_model::connection::Connection;
use windlass_model::event::{Operation, Wake};
use windlass_model::failure::StepError;
use windlass_model::name::{RoleName, ToolName};
use windlass_model::time::Timestamp;

pub(crate) use self::clock::{PlayedClock, PlayedMonotonic, RecordedClock, RecordedMonotonic, Seeded};
pub(crate) use self::play::Player;
pub use self::play::{Difference, Differences, Played, What, replay};
pub(crate) use self::record::{Arguments, Recorder, Slot, outcome_of};

/// The version of the written form.
pub const CASSETTE_VERSION: u32 = 1;

/// Bytes of bodies, outputs and files of one call; a call with more is recorded as incomplete.
pub const RECORDED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Requests, tools and other exchanges of one call.
const EXCHANGES_MAX: usize = 1_000;

/// How much is recorded, or played again, of a call.
#[derive(Clone, Default)]
pub enum Tape {
    /// Nothing: the usual.
    #[default]
    Off,
    /// Everything is recorded.
    Record,
    /// What the call asks for is answered from recorded exchanges, and from nowhere else.
    StandIn(Arc<RecordedCall>),
}

/// What stands between a call and the world, beside the choke points.
pub(crate) enum Deck {
    /// Nothing.
    None,
    /// All of it is written down.
    Recorder(Arc<Recorder>),
    /// It is asked instead of the world.
    Player(Arc<Player>),
}

/// A recorded attempt of a step's operation: a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cassette {
    /// The version of this form, [`CASSETTE_VERSION`].
    pub cassette: u32,
    /// The plugin and its version: `jenkins@0.1.0`.
    pub plugin: String,
    /// Digest of the component that was recorded.
    pub component: String,
    /// The action.
    pub action: String,
    /// Of which release.
    pub release: String,
    /// Of which step, or item of one.
    pub step: String,
    /// `start`, `cancel` or `rollback`.
    pub operation: String,
    /// From 1.
    pub attempt: u32,
    /// Its calls in order: the first, and one for each time it was resumed.
    pub calls: Vec<RecordedCall>,
}

/// One call of a component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedCall {
    /// `start`, `resume`, `cancel`, `rollback` or `find`.
    pub function: String,
    /// Why it is not the whole call, if it is not: then it cannot be played again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
    /// What it was called with.
    pub call: RecordedArguments,
    /// Whom it could reach.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub connections: BTreeMap<RoleName, RecordedConnection>,
    /// Tools that were declared, with the subcommands that were allowed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<ToolName, RecordedTool>,
    /// What it asked for, in order, and what it got.
    pub exchanges: Vec<Exchanged>,
    /// What its clocks said, reading by reading.
    #[serde(default)]
    pub clocks: Clocks,
    /// The seed of its randomness, in hex digits.
    pub seed: String,
    /// How it ended.
    pub outcome: RecordedOutcome,
}

impl RecordedCall {
    /// One of which nothing was recorded.
    pub fn nothing() -> Self {
        Self {
            function: "start".to_owned(),
            incomplete: None,
            call: RecordedArguments {
                release: String::new(),
                step: String::new(),
                attempt: 1,
                operation: "start".to_owned(),
                idempotency_key: String::new(),
                deadline: None,
                dry_run: false,
                input: Value::Null,
                output: None,
                context: Vec::new(),
                state: None,
                wake: None,
            },
            connections: BTreeMap::new(),
            tools: BTreeMap::new(),
            exchanges: Vec::new(),
            clocks: Clocks::default(),
            seed: String::new(),
            outcome: RecordedOutcome::NotFound,
        }
    }
}

/// What a call was made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedArguments {
    /// The release.
    pub release: String,
    /// The step.
    pub step: String,
    /// The attempt.
    pub attempt: u32,
    /// `start`, `cancel` or `rollback`.
    pub operation: String,
    /// The key.
    pub idempotency_key: String,
    /// The deadline, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// Whether it was in a dry run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The input.
    pub input: Value,
    /// The forward operation's output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The context.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<(String, String)>,
    /// What it suspended with before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Content>,
    /// What woke it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<RecordedWake>,
}

/// What woke a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedWake {
    /// Its timer.
    Timer,
    /// A callback.
    Callback {
        /// The topic; a name that stands for it.
        topic: String,
        /// The request's headers.
        headers: Vec<(String, String)>,
        /// Its body.
        body: Content,
    },
}

/// A connection without its credential.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedConnection {
    /// Its name.
    pub name: String,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// How the host authenticated: `basic`.
    pub authentication: String,
    /// Its public settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

/// A tool, without its program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedTool {
    /// Subcommands that were allowed.
    pub subcommands: Vec<String>,
    /// Forms that were allowed in a dry run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<String>,
}

/// Bytes as people read them: a text where they are one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// A text.
    Text(String),
    /// Anything else.
    Bytes {
        /// In base64.
        base64: String,
    },
}

impl Content {
    /// Of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes { base64: STANDARD.encode(bytes) },
        }
    }

    /// The bytes; none if it is no base64.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.as_bytes().to_vec()),
            Self::Bytes { base64 } => STANDARD.decode(base64).ok(),
        }
    }
}

/// Something that a call asked its host for, and what it got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exchanged {
    /// An HTTP request.
    Http {
        /// The request.
        request: HttpRequest,
        /// The answer.
        answer: HttpAnswer,
    },
    /// A native tool.
    Tool {
        /// The command.
        command: ToolCommand,
        /// What came of it.
        ran: ToolRan,
    },
    /// A part of the step that was done before: what was known of it.
    Known {
        /// The part.
        checkpoint: String,
        /// Its answer.
        value: Content,
    },
    /// A part of the step that was recorded.
    Checkpoint {
        /// The part.
        checkpoint: String,
        /// Its answer.
        value: Content,
    },
    /// A callback address that was made.
    Callback {
        /// Its topic; a name that stands for it.
        topic: String,
        /// Its address, with that name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
}

/// An HTTP request as the plugin made it: what the host adds is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    /// The method.
    pub method: String,
    /// Where to.
    pub url: String,
    /// Headers, by name and in their order.
    pub headers: Vec<(String, String)>,
    /// The body; none if it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Content>,
}

/// What a request came to, as the plugin saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpAnswer {
    /// A response.
    Response {
        /// The status.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// The body, as far as it came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<Content>,
    },
    /// None: the error's name and what it says.
    Error(String),
    /// It was denied.
    Denied(String),
}

/// A command for a native tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCommand {
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The role whose credential it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Files in its folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<(String, Content)>,
    /// Its standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Content>,
}

/// What a tool did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolRan {
    /// It ran.
    Ended {
        /// Its standard output.
        stdout: Content,
        /// Its standard error.
        stderr: Content,
        /// Its exit code, or how it ended: `timed out`.
        end: Result<i32, String>,
    },
    /// It did not start.
    NotStarted(String),
    /// It was denied.
    Denied(String),
}

/// What clocks said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clocks {
    /// The wall clock: nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wall: Vec<u64>,
    /// The other one: nanoseconds since its first reading.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub monotonic: Vec<u64>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedOutcome {
    /// With an output.
    Done(Value),
    /// With a wait.
    Suspended {
        /// The state.
        state: Content,
        /// What ends the wait, in words.
        wakes: Vec<String>,
        /// What people read.
        status: String,
    },
    /// `find` found nothing.
    NotFound,
    /// With a failure.
    Failed(StepError),
}

/// A cassette that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CassetteError {
    /// It is no cassette.
    #[error("it is no cassette: {0}; `windlass plugin test --from-release RELEASE --step STEP` writes one")]
    Unreadable(String),
    /// It is of a version that this one does not know.
    #[error("it is of version {0}, and {CASSETTE_VERSION} is the only one that can be read")]
    Version(u64),
    /// A part of it is missing.
    #[error("call {call} was not recorded to its end: {why}")]
    Incomplete {
        /// Which, from 1.
        call: usize,
        /// Why.
        why: String,
    },
}

impl Cassette {
    /// Reads one.
    pub fn parse(text: &[u8]) -> Result<Self, CassetteError> {
        let value: Value =
            serde_json::from_slice(text).map_err(|error| CassetteError::Unreadable(error.to_string()))?;
        match value.get("cassette").and_then(Value::as_u64) {
            None => return Err(CassetteError::Unreadable("it has no `cassette` with its version".to_owned())),
            Some(version) if version != u64::from(CASSETTE_VERSION) => return Err(CassetteError::Version(version)),
            Some(_) => {}
        }
        let cassette: Self =
            serde_json::from_value(value).map_err(|error| CassetteError::Unreadable(error.to_string()))?;
        if cassette.calls.is_empty() {
            return Err(CassetteError::Unreadable("it has no calls".to_owned()));
        }
        Ok(cassette)
    }

    /// Its written form.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a cassette holds only what JSON can hold");
        text.push('\n');
        text
    }
}

fn wake(wake: &Wake, hide: &dyn Fn(String) -> String) -> RecordedWake {
    match wake {
        Wake::Timer => RecordedWake::Timer,
        Wake::Callback { topic, headers, body } => RecordedWake::Callback {
            topic: hide(topic.clone()),
            headers: headers.iter().map(|(name, value)| (name.clone(), hide(value.clone()))).collect(),
            body: hidden(Content::of(body), hide),
        },
    }
}

fn hidden(content: Content, hide: &dyn Fn(String) -> String) -> Content {
    match content {
        Content::Text(text) => Content::Text(hide(text)),
        bytes @ Content::Bytes { .. } => bytes,
    }
}

fn operation_of(name: &str) -> Option<Operation> {
    [Operation::Start, Operation::Cancel, Operation::Rollback].into_iter().find(|it| it.name() == name)
}

fn millis(timestamp: Option<Timestamp>) -> Option<u64> {
    timestamp.map(Timestamp::as_millis)
}

fn recorded_connection(connection: &Connection) -> RecordedConnection {
    RecordedConnection {
        name: connection.name.to_string(),
        base_url: connection.base_url.clone(),
        authentication: connection.authentication.kind().to_owned(),
        properties: connection.properties.clone(),
    }
}
