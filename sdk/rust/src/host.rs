//! What a plugin needs of its host, as a trait: in a component it is the contract's imports, in tests
//! [`crate::testing::MockHost`]. Plugin authors use [`crate::Context`] instead.
//!
//! **Invariant:** nothing here carries a credential; the host adds it on the wire.

use crate::failure::Failure;
use crate::http::{Method, TransportError};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only for whoever debugs the plugin.
    Trace,
    /// Only for whoever debugs the step.
    Debug,
    /// What happens.
    Info,
    /// What might go wrong.
    Warn,
    /// What went wrong.
    Error,
}

/// What a plugin may know of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The connection's name.
    pub name: String,
    /// Without a slash at the end.
    pub base_url: String,
    /// Public settings: project, account, namespace, …
    pub properties: Vec<(String, String)>,
}

impl Connection {
    /// A public setting.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An address to hand to the other side; calling it wakes the step. A checkpoint can hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackAddress {
    /// Names it in a suspension.
    pub topic: String,
    /// Where the other side sends a `POST`: signed, single use, ends with the operation that made it. None where the
    /// installation takes no callbacks from the network; [`CallbackAddress::required_url`] makes a failure of that.
    pub url: Option<String>,
}

impl CallbackAddress {
    /// The URL; where there is none, a failure that says what the operator has to do, and pauses the step until then.
    pub fn required_url(&self) -> Result<&str, Failure> {
        self.url.as_deref().ok_or_else(|| {
            let message = "this installation takes no callbacks from the network: `windlass serve --callbacks ADDRESS:PORT` does; then try the step again";
            Failure::invalid("no-callback-url", message).pause()
        })
    }
}

/// What is known of a part of a step.
pub enum Begun {
    /// Not done before.
    Fresh(Box<dyn Slot>),
    /// Done in an earlier attempt or operation: its recorded answer.
    Recorded(Vec<u8>),
}

/// A part that has begun and is not recorded yet.
pub trait Slot {
    /// Records the answer durably before returning.
    fn finish(self: Box<Self>, value: &[u8]);
}

/// A request, complete.
#[derive(Clone, Debug, PartialEq)]
pub struct WireRequest {
    /// Method.
    pub method: Method,
    /// Full address.
    pub url: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Option<Vec<u8>>,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for the first and for each next byte.
    pub read_timeout: Duration,
}

/// A response's head, and its body to come.
pub struct WireResponse {
    /// Status code.
    pub status: u16,
    /// Headers; values that are no text are left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Box<dyn BodyReader>,
}

/// A response's body.
pub trait BodyReader {
    /// The next bytes; none at the end.
    fn read(&mut self) -> Result<Option<Vec<u8>>, TransportError>;
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCommand {
    /// A tool of the manifest.
    pub tool: String,
    /// The first that is no flag is the subcommand.
    pub arguments: Vec<String>,
    /// Role whose credential the tool receives.
    pub connection: Option<String>,
    /// Written to the tool's working directory.
    pub files: Vec<(String, Vec<u8>)>,
    /// Standard input.
    pub stdin: Vec<u8>,
}

/// What only the host can say of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolError {
    /// Which grant is missing, and the line that would give it.
    Denied(String),
    /// The program could not be started, or its digest is not the declared one.
    NotStarted(String),
    /// Killed at the time limit.
    TimedOut,
    /// Killed at the output limit.
    OutputLimit,
    /// Ended by a signal that the host did not send.
    Killed(String),
}

/// Which of a tool's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A tool that was started; dropping it kills it.
pub trait ToolProcess {
    /// The next bytes of either output as they come; none when both have ended.
    fn read(&mut self) -> Option<(ToolStream, Vec<u8>)>;
    /// Waits for the end: the exit code.
    fn wait(&mut self) -> Result<i32, ToolError>;
}

/// The host as the SDK uses it.
pub trait Host {
    /// Writes one log line.
    fn log(&self, level: Level, message: &str, fields: &[(String, String)]);
    /// Says in a sentence what is going on.
    fn status(&self, text: &str);
    /// Says how much is done, 0 to 100.
    fn percent(&self, value: u8);
    /// Keeps a link with the step.
    fn link(&self, title: &str, url: &str);
    /// The connection bound to a role.
    fn connection(&self, role: &str) -> Option<Connection>;
    /// Begins a part of the step.
    fn begin(&self, name: &str) -> Begun;
    /// Makes a callback address.
    fn callback(&self) -> CallbackAddress;
    /// Sends a request.
    fn send(&self, request: WireRequest) -> Result<WireResponse, TransportError>;
    /// Starts a tool.
    fn run_tool(&self, command: ToolCommand) -> Result<Box<dyn ToolProcess>, ToolError>;
    /// The time of day.
    fn now(&self) -> SystemTime;
    /// A clock for measuring, from an arbitrary start.
    fn monotonic(&self) -> Duration;
}
