//! The host of a step that is tried out: shows what the plugin does, and remembers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use windlass_model::failure::{RetryAdvice, StepError};
use windlass_model::text::part_name;
use windlass_sandbox::{Callback, Exchange, HostCall, LogLevel, LogLine, LogSource, StepHost};

use super::session::{Bytes, Session, Waiting};
use crate::output::{BAD, BUSY, DIM, GOOD, STRONG, WAIT, styled};

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "happened", rename_all = "snake_case")]
pub(crate) enum Happening {
    Called {
        function: String,
        action: String,
    },
    Connection {
        role: String,
        connection: Option<String>,
    },
    Request {
        connection: Option<String>,
        method: String,
        url: String,
        status: Option<u16>,
        request_bytes: u64,
        response_bytes: u64,
        millis: u64,
        denied: Option<String>,
        error: Option<String>,
    },
    Tool {
        tool: String,
        arguments: Vec<String>,
    },
    Log {
        level: &'static str,
        source: String,
        message: String,
        fields: BTreeMap<String, String>,
    },
    Status {
        text: String,
    },
    Percent {
        percent: u8,
    },
    Link {
        title: String,
        url: String,
    },
    Checkpoint {
        name: String,
        /// Whether an earlier call recorded it, so that the part is not done again.
        earlier: bool,
        value: Bytes,
    },
    CallbackMade {
        topic: String,
        url: Option<String>,
    },
    /// What a dry run stopped.
    Stopped {
        what: String,
        body: String,
        body_bytes: u64,
    },
    /// A dry run ended it in its plugin's place.
    EndedByHost {
        note: Option<String>,
    },
    Suspended(Waiting),
    Done {
        output: Value,
    },
    NotFound {},
    Failed {
        error: StepError,
        denials: Vec<String>,
    },
}

/// Where what happens goes: to the screen as it happens, and into a list for programs.
#[derive(Clone)]
pub(crate) struct Shown {
    all: Arc<Mutex<Vec<Happening>>>,
    show: Arc<dyn Fn(&Happening) + Send + Sync>,
}

impl Shown {
    pub(crate) fn new(show: impl Fn(&Happening) + Send + Sync + 'static) -> Self {
        Self { all: Arc::default(), show: Arc::new(show) }
    }

    pub(crate) fn add(&self, happening: Happening) {
        (self.show)(&happening);
        lock(&self.all).push(happening);
    }

    /// Everything so far.
    pub(crate) fn all(&self) -> Vec<Happening> {
        lock(&self.all).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is longer is cut on the screen; the list for programs has all of it.
const SHOWN_CHARS_MAX: usize = 200;

fn cut(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text.to_owned();
    }
    let head: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{head}… ({} bytes)", text.len())
}

/// What happened, as people read it.
pub(crate) fn line(happening: &Happening) -> String {
    match happening {
        Happening::Called { function, action } => styled(STRONG, format!("{action}: {function}")),
        Happening::Connection { role, connection: Some(connection) } => {
            format!("  {} {role} is {connection}", styled(DIM, "connection"))
        }
        Happening::Connection { role, connection: None } => {
            format!("  {} {role} is bound to nothing", styled(DIM, "connection"))
        }
        Happening::Request { method, url, status, request_bytes, response_bytes, millis, denied, error, .. } => {
            let sizes = styled(DIM, format!("{millis} ms, {request_bytes} B out, {response_bytes} B in"));
            let end = match (status, denied, error) {
                (_, Some(denied), _) => return format!("  {} {denied}", styled(BAD, "denied")),
                (Some(status), _, None) => {
                    let style = if *status < 400 { GOOD } else { WAIT };
                    styled(style, status)
                }
                (Some(status), _, Some(error)) => styled(BAD, format!("{status}, then {error}")),
                (None, _, error) => styled(BAD, error.as_deref().unwrap_or("no answer")),
            };
            format!("  {} {method} {url}  {end}  {sizes}", styled(BUSY, "request"))
        }
        Happening::Tool { tool, arguments } => {
            format!("  {} {tool} {}", styled(BUSY, "tool"), cut(&arguments.join(" ")))
        }
        Happening::Log { level, source, message, fields } => {
            let fields: String = fields.iter().map(|(name, value)| format!("  {name}={value}")).collect();
            let source = if source == "plugin" { String::new() } else { format!("{source}: ") };
            format!("  {} {source}{message}{}", styled(DIM, level), styled(DIM, fields))
        }
        Happening::Status { text } => format!("  {} {text}", styled(DIM, "status")),
        Happening::Percent { percent } => format!("  {} {percent} %", styled(DIM, "progress")),
        Happening::Link { title, url } => format!("  {} {title}: {url}", styled(DIM, "link")),
        Happening::Checkpoint { name, earlier, value } => {
            let how = if *earlier { "was recorded before" } else { "recorded" };
            let name = part_name(name);
            format!("  {} {name} {how}: {}", styled(DIM, "checkpoint"), cut(&value.to_string()))
        }
        Happening::CallbackMade { topic, url } => {
            let where_to = url.as_deref().unwrap_or("no address; `--callbacks` gives one");
            format!("  {} {topic}: {where_to}", styled(DIM, "callback"))
        }
        Happening::Stopped { what, body, body_bytes } => {
            let body =
                if body.is_empty() { String::new() } else { format!("\n    {} ({body_bytes} bytes)", cut(body)) };
            format!("  {} {what}{body}", styled(WAIT, "would"))
        }
        Happening::EndedByHost { note } => {
            let note = note.as_ref().map(|it| format!("\n  {it}")).unwrap_or_default();
            let ended = "the dry run ends here, as in a release; the output is made of its schema";
            format!("{}{note}", styled(GOOD, ended))
        }
        Happening::Suspended(Waiting { status, wakes, state, .. }) => format!(
            "{} {status}; wakes {}\n  {} {}",
            styled(WAIT, "suspended:"),
            wakes.join(" or "),
            styled(DIM, "state"),
            cut(&state.to_string())
        ),
        Happening::Done { .. } => styled(GOOD, "done"),
        Happening::NotFound {} => styled(GOOD, "not found: the effect never happened"),
        Happening::Failed { error, denials } => failed(error, denials),
    }
}

fn failed(error: &StepError, denials: &[String]) -> String {
    let mut text = format!("{} {error}", styled(BAD, "failed:"));
    let advice = match error.advice {
        RetryAdvice::ByPolicy => None,
        RetryAdvice::After(span) => Some(format!("may be tried again after {span}")),
        RetryAdvice::Never => Some("trying it again is of no use".to_owned()),
        RetryAdvice::Pause => Some("a person has to look first".to_owned()),
    };
    for line in advice.into_iter().chain(error.details.iter().map(|(name, value)| format!("{name}: {value}"))) {
        text.push_str(&format!("\n  {line}"));
    }
    for denial in denials.iter().filter(|it| !error.message.contains(*it)) {
        text.push_str(&format!("\n  {denial}"));
    }
    text
}

/// The host of one call.
pub(super) struct TrialHost {
    shown: Shown,
    remembered: Mutex<Remembered>,
    callbacks: Option<String>,
}

struct Remembered {
    checkpoints: BTreeMap<String, Bytes>,
    topics: Vec<String>,
}

impl TrialHost {
    pub(super) fn new(shown: Shown, session: &Session, callbacks: Option<String>) -> Self {
        let remembered = Remembered { checkpoints: session.checkpoints.clone(), topics: session.topics.clone() };
        Self { shown, remembered: Mutex::new(remembered), callbacks }
    }

    /// Hands over what is remembered now.
    pub(super) fn hand_over(&self, session: &mut Session) {
        let Remembered { checkpoints, topics } = &*lock(&self.remembered);
        session.checkpoints = checkpoints.clone();
        session.topics = topics.clone();
    }
}

impl StepHost for TrialHost {
    fn log(&self, line: LogLine) {
        let level = match line.level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        };
        let source = match line.source {
            LogSource::Plugin => "plugin".to_owned(),
            LogSource::Stdout => "stdout".to_owned(),
            LogSource::Stderr => "stderr".to_owned(),
            LogSource::Tool(name) => name,
            LogSource::Host => "host".to_owned(),
        };
        let fields = line.fields.into_iter().collect();
        self.shown.add(Happening::Log { level, source, message: line.message, fields });
    }

    fn status(&self, text: String) {
        self.shown.add(Happening::Status { text });
    }

    fn percent(&self, percent: u8) {
        self.shown.add(Happening::Percent { percent });
    }

    fn link(&self, title: String, url: String) {
        self.shown.add(Happening::Link { title, url });
    }

    fn checkpoint(&self, name: &str) -> Option<Vec<u8>> {
        let value = lock(&self.remembered).checkpoints.get(name).cloned()?;
        self.shown.add(Happening::Checkpoint { name: name.to_owned(), earlier: true, value: value.clone() });
        Some(value.into())
    }

    fn record_checkpoint(&self, name: String, value: Vec<u8>) -> BoxFuture<'_, Result<(), String>> {
        let value = Bytes::from(value);
        lock(&self.remembered).checkpoints.insert(name.clone(), value.clone());
        self.shown.add(Happening::Checkpoint { name, earlier: false, value });
        Box::pin(std::future::ready(Ok(())))
    }

    fn create_callback(&self) -> BoxFuture<'_, Result<Callback, String>> {
        let mut remembered = lock(&self.remembered);
        let topic = format!("topic-{}", remembered.topics.len() + 1);
        remembered.topics.push(topic.clone());
        drop(remembered);
        let url = self.callbacks.as_ref().map(|it| format!("{it}/callbacks/{topic}"));
        self.shown.add(Happening::CallbackMade { topic: topic.clone(), url: url.clone() });
        Box::pin(std::future::ready(Ok(Callback { topic, url })))
    }

    fn has_callback(&self, topic: &str) -> bool {
        lock(&self.remembered).topics.iter().any(|it| it == topic)
    }

    fn trace(&self, exchange: Exchange) {
        let Exchange { connection, method, url, status, request_bytes, response_bytes, millis, denied, error } =
            exchange;
        let connection = connection.map(|it| it.to_string());
        self.shown.add(Happening::Request {
            connection,
            method,
            url,
            status,
            request_bytes,
            response_bytes,
            millis,
            denied,
            error,
        });
    }

    fn host_call(&self, call: HostCall) {
        self.shown.add(match call {
            HostCall::Connection { role, connection } => {
                Happening::Connection { role, connection: connection.map(|it| it.to_string()) }
            }
            HostCall::Tool { tool, arguments } => Happening::Tool { tool, arguments },
        });
    }
}
