//! What an operation has in hand: who it works for, and the host's capabilities.

use crate::call::{Call, Operation};
use crate::failure::Failure;
use crate::host::{Begun, CallbackAddress, Connection, Host, Level};
use crate::http::Endpoint;
use crate::manifest::Role;
use crate::tool::ToolRun;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One call, and what the host offers to it.
pub struct Context<'a> {
    host: &'a dyn Host,
    call: &'a Call,
    /// Those that the action declares.
    roles: fn() -> Vec<Role>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(host: &'a dyn Host, call: &'a Call, roles: fn() -> Vec<Role>) -> Self {
        Self { host, call, roles }
    }

    pub(crate) fn call(&self) -> &'a Call {
        self.call
    }

    /// Identifies the release.
    pub fn release(&self) -> &str {
        &self.call.release
    }

    /// Step instance: `deploy` or `deploy[eu-1]`.
    pub fn step(&self) -> &str {
        &self.call.step
    }

    /// From 1; counts the attempts of this operation.
    pub fn attempt(&self) -> u32 {
        self.call.attempt
    }

    /// Which operation this is.
    pub fn operation(&self) -> Operation {
        self.call.operation
    }

    /// The same for the attempts of this operation until one of them has got a definite answer, and for `find`: hand it
    /// to the other system. 32 hex digits.
    pub fn idempotency_key(&self) -> &str {
        &self.call.idempotency_key
    }

    /// When the host will stop this attempt, waits included.
    pub fn deadline(&self) -> Option<SystemTime> {
        self.call.deadline.and_then(|millis| UNIX_EPOCH.checked_add(Duration::from_millis(millis)))
    }

    /// Writes are stopped by the host; an action may say what it would have done.
    pub fn dry_run(&self) -> bool {
        self.call.dry_run
    }

    /// A value of the call's open list: `tenant`, `environment`, `actor`, `traceparent`.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut values = self.call.context.iter();
        values.find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The time of day.
    pub fn now(&self) -> SystemTime {
        self.host.now()
    }

    /// Does something and tells how long it took.
    pub fn measured<T>(&self, work: impl FnOnce() -> T) -> (T, Duration) {
        let before = self.host.monotonic();
        let value = work();
        (value, self.host.monotonic().saturating_sub(before))
    }

    /// Lines for the release's log.
    pub fn log(&self) -> Log<'a> {
        Log { host: self.host, fields: Vec::new() }
    }

    /// What people see while a call runs.
    pub fn progress(&self) -> Progress<'a> {
        Progress { host: self.host }
    }

    /// The connection bound to a role; a failure that says what to do if there is none.
    pub fn connection(&self, role: &str) -> Result<Connection, Failure> {
        self.host.connection(role).ok_or_else(|| {
            let bound = format!("no connection is bound to the role `{role}`: a workflow's step names one in `connection`, a test gives its host one");
            let declared: Vec<String> = (self.roles)().iter().map(|it| format!("`{}`", it.name)).collect();
            let message = match declared.as_slice() {
                [] => format!("the action has no role `{role}`; it declares none"),
                all if !all.contains(&format!("`{role}`")) => {
                    format!("the action has no role `{role}`; it declares {}", all.join(", "))
                }
                _ => bound,
            };
            Failure::invalid("connection-missing", message).never()
        })
    }

    /// The connection bound to an optional role.
    pub fn optional_connection(&self, role: &str) -> Option<Connection> {
        self.host.connection(role)
    }

    /// HTTP to the connection bound to a role.
    pub fn http(&self, role: &str) -> Result<Endpoint<'a>, Failure> {
        let connection = self.connection(role)?;
        Ok(Endpoint::new(self.host, connection, self.call.idempotency_key.clone()))
    }

    /// A native tool of the manifest.
    pub fn tool(&self, name: &str) -> ToolRun<'a> {
        ToolRun::new(self.host, name)
    }

    /// Makes an address that wakes the step when the other side calls it.
    pub fn callback(&self) -> CallbackAddress {
        self.host.callback()
    }

    /// Does a part of this piece of work once: what came back is recorded, and another attempt under the same idempotency
    /// key gets it without doing it again. After a definite answer the key is another, and so is the work. A failure
    /// is not recorded. What `start` did so [`Context::starts`] tells.
    pub fn once<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        part: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.checkpoint(&part_of(name, self.idempotency_key()), part)
    }

    /// The pieces of work that `start` of this step has begun, oldest first; while it goes on the last is its own.
    /// There may be something of each for a rollback to undo, also where the answer never came back.
    pub fn starts(&self) -> Vec<Started<'a>> {
        let own = Some(self.idempotency_key()).filter(|_| self.operation() == Operation::Start);
        let keys = self.value("start-keys").or(own).unwrap_or_default();
        keys.split(' ')
            .filter(|it| !it.is_empty())
            .map(|key| Started { host: self.host, key: key.to_owned() })
            .collect()
    }

    /// Does a part of the step once, however often that is tried: what came back is recorded, and all later attempts and
    /// operations of the step get it without doing it again, until a person has the whole step run again. For what was so
    /// before the step; for what it does there is [`Context::once`]. A failure is not recorded.
    pub fn checkpoint<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        part: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.host.begin(name) {
            Begun::Recorded(recorded) => read(name, &recorded),
            Begun::Fresh(slot) => {
                let value = part()?;
                let recorded = serde_json::to_vec(&value).map_err(|error| unreadable(name, &error.to_string()))?;
                slot.finish(&recorded);
                Ok(value)
            }
        }
    }

    /// What a part of the step came to, if it was done.
    pub fn recorded<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        recorded(self.host, name)
    }
}

/// A piece of work that `start` has begun, under an idempotency key of its own.
#[derive(Clone)]
pub struct Started<'a> {
    host: &'a dyn Host,
    key: String,
}

impl Started<'_> {
    /// Its idempotency key, by which the other system knows it.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What [`Context::once`] came to in it, if it was done.
    pub fn recorded<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        recorded(self.host, &part_of(name, &self.key))
    }
}

/// The checkpoint of a part of one piece of work.
fn part_of(name: &str, key: &str) -> String {
    format!("{name}/{key}")
}

fn recorded<T: DeserializeOwned>(host: &dyn Host, name: &str) -> Result<Option<T>, Failure> {
    match host.begin(name) {
        Begun::Recorded(recorded) => read(name, &recorded).map(Some),
        Begun::Fresh(_) => Ok(None),
    }
}

fn read<T: DeserializeOwned>(name: &str, recorded: &[u8]) -> Result<T, Failure> {
    crate::decode::json(recorded).map_err(|problem| unreadable(name, &problem))
}

fn unreadable(name: &str, problem: &str) -> Failure {
    Failure::internal("checkpoint", format!("the checkpoint `{name}`: {problem}")).never()
}

/// Writes log lines, with fields if some were given.
#[must_use = "a log line ends with `.info(…)` or another level"]
pub struct Log<'a> {
    host: &'a dyn Host,
    fields: Vec<(String, String)>,
}

macro_rules! levels {
    ($( $(#[$doc:meta])* $name:ident => $level:ident; )*) => {
        $( $(#[$doc])*
        pub fn $name(&self, message: impl AsRef<str>) {
            self.host.log(Level::$level, message.as_ref(), &self.fields);
        } )*
    };
}

impl Log<'_> {
    /// Adds a field to the lines that follow.
    pub fn field(mut self, name: impl Into<String>, value: impl Display) -> Self {
        self.fields.push((name.into(), value.to_string()));
        self
    }

    levels! {
        /// Only for whoever debugs the plugin.
        trace => Trace;
        /// Only for whoever debugs the step.
        debug => Debug;
        /// What happens.
        info => Info;
        /// What might go wrong.
        warn => Warn;
        /// What went wrong.
        error => Error;
    }
}

/// What people see while a call runs; the last value of each stands.
pub struct Progress<'a> {
    host: &'a dyn Host,
}

impl Progress<'_> {
    /// One short sentence.
    pub fn status(&self, text: impl AsRef<str>) -> &Self {
        self.host.status(text.as_ref());
        self
    }

    /// 0 to 100.
    pub fn percent(&self, value: u8) -> &Self {
        self.host.percent(value.min(100));
        self
    }

    /// A place to look at, kept with the step.
    pub fn link(&self, title: impl AsRef<str>, url: impl AsRef<str>) -> &Self {
        self.host.link(title.as_ref(), url.as_ref());
        self
    }
}
