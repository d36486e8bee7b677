//! What a call gives to, and asks of, whoever runs the release.

use futures::future::BoxFuture;
use windlass_model::name::ConnectionName;

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// The finest detail.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// For everybody.
    Info,
    /// Something to look at.
    Warn,
    /// Something went wrong.
    Error,
}

/// Who wrote a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// The plugin, through `log`.
    Plugin,
    /// The plugin's standard output.
    Stdout,
    /// The plugin's standard error.
    Stderr,
    /// A native tool, by name.
    Tool(String),
    /// This host, about something that the plugin did.
    Host,
}

/// One line for the release's log, credentials removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// Its text.
    pub message: String,
    /// More, by name.
    pub fields: Vec<(String, String)>,
    /// Who wrote it.
    pub source: LogSource,
}

/// One HTTP request of a call and what came of it, credentials removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The connection whose credential was used.
    pub connection: Option<ConnectionName>,
    /// Method.
    pub method: String,
    /// Where to.
    pub url: String,
    /// The answer's status, where one came.
    pub status: Option<u16>,
    /// Bytes of the request's body that were sent.
    pub request_bytes: u64,
    /// Bytes of the response's body that were read.
    pub response_bytes: u64,
    /// Milliseconds until the body was read or given up.
    pub millis: u64,
    /// Why it was not sent, where it was denied.
    pub denied: Option<String>,
    /// Why no whole answer came.
    pub error: Option<String>,
}

/// Something that a plugin asked of the host and that leaves no other mark on a [`StepHost`], credentials removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostCall {
    /// It looked at what is bound to a role.
    Connection {
        /// The role.
        role: String,
        /// What is bound to it.
        connection: Option<ConnectionName>,
    },
    /// It asked for a native tool to be run; whether that is granted is not told.
    Tool {
        /// The tool.
        tool: String,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

/// An address that wakes a suspended step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// What the plugin names in its wake-ups.
    pub topic: String,
    /// What it hands to the other side; none where no callbacks are taken from the network.
    pub url: Option<String>,
}

/// One step's side of a call: where its lines go, what it remembers.
///
/// The methods that return at once must not block: they are called on the thread that runs the guest.
pub trait StepHost: Send + Sync {
    /// Takes a log line.
    fn log(&self, line: LogLine);
    /// Takes what the step is doing now.
    fn status(&self, text: String);
    /// Takes how far the step is, 0 to 100.
    fn percent(&self, percent: u8);
    /// Takes a place to look at; always `http` or `https`.
    fn link(&self, title: String, url: String);
    /// What was recorded for the part `name` of this step.
    fn checkpoint(&self, name: &str) -> Option<Vec<u8>>;
    /// Records a part of this step; durable when it answers.
    fn record_checkpoint(&self, name: String, value: Vec<u8>) -> BoxFuture<'_, Result<(), String>>;
    /// Makes a callback address for this step.
    fn create_callback(&self) -> BoxFuture<'_, Result<Callback, String>>;
    /// Whether `topic` is a callback of this step.
    fn has_callback(&self, topic: &str) -> bool;
    /// Takes what a request came to.
    fn trace(&self, exchange: Exchange);
    /// A text that may be kept for good: without what only this host knows to be a secret, callback topics for example.
    /// The same secret always has the same in its place.
    fn hide(&self, text: String) -> String {
        text
    }
    /// Takes what else the plugin asked for; for whoever watches each call, so most do nothing.
    fn host_call(&self, _call: HostCall) {}
}
