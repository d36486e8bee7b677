//! What a plugin says of itself: the manifest's vocabulary and its JSON.

use crate::http::Method;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The version of the plugin contract that this SDK speaks.
pub const CONTRACT: &str = "0.1";

/// What repeating an action does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Repeating is harmless.
    Read,
    /// The other system recognises the idempotency key, or setting the same thing twice is setting it once.
    IdempotentWrite,
    /// Must not be repeated blindly: after a crash the host asks `find`, or a person.
    Write,
}

/// A connection role: what an action calls the endpoint that the workflow binds.
#[derive(Clone, Debug)]
pub struct Role {
    pub(crate) name: &'static str,
    description: &'static str,
    required: bool,
    requests: Vec<(Vec<Method>, &'static str)>,
}

impl Role {
    /// A role that has to be bound.
    pub fn required(name: &'static str, description: &'static str) -> Self {
        Self { name, description, required: true, requests: Vec::new() }
    }

    /// A role that may be left unbound.
    pub fn optional(name: &'static str, description: &'static str) -> Self {
        Self { required: false, ..Self::required(name, description) }
    }

    /// Asks for requests below the connection's base URL: `*` matches within a segment, `**` any number of segments.
    pub fn allow(mut self, methods: &[Method], path: &'static str) -> Self {
        self.requests.push((methods.to_vec(), path));
        self
    }

    fn json(&self) -> Value {
        let requests: Vec<Value> = self
            .requests
            .iter()
            .map(|(methods, path)| {
                let methods: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
                json!({ "methods": methods, "path": path })
            })
            .collect();
        json!({ "description": self.description, "required": self.required, "requests": requests })
    }
}

/// A native tool that an action runs.
#[derive(Clone, Debug)]
pub struct Tool {
    name: &'static str,
    description: &'static str,
    subcommands: Vec<&'static str>,
    dry_run: Vec<&'static str>,
}

impl Tool {
    /// A tool by the name that the operator declares it with, and the subcommands used.
    pub fn new(name: &'static str, description: &'static str, subcommands: &[&'static str]) -> Self {
        Self { name, description, subcommands: subcommands.to_vec(), dry_run: Vec::new() }
    }

    /// How commands begin that change nothing, `status`, `upgrade --dry-run=server`: the only ones that run in a dry
    /// run, and only where the operator says the same. Their words come first in the command, in this order.
    pub fn dry_run(mut self, forms: &[&'static str]) -> Self {
        self.dry_run = forms.to_vec();
        self
    }

    fn json(&self) -> Value {
        let mut tool = json!({ "description": self.description, "subcommands": self.subcommands });
        if !self.dry_run.is_empty() {
            tool["dry_run"] = json!(self.dry_run);
        }
        tool
    }
}

/// What one call may use; what is not said has the host's default.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Limits {
    /// Processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wall_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_requests: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<u64>,
}

macro_rules! limits {
    ($( $(#[$doc:meta])* $name:ident => $field:ident; )*) => {
        $( $(#[$doc])*
        pub fn $name(mut self, value: u64) -> Self {
            self.$field = Some(value);
            self
        } )*
    };
}

impl Limits {
    /// Processor time of one call (5 s if not said).
    pub fn cpu(mut self, time: Duration) -> Self {
        self.cpu_ms = Some(millis(time));
        self
    }

    /// Time of one call with all it waits for (60 s if not said).
    pub fn wall(mut self, time: Duration) -> Self {
        self.wall_ms = Some(millis(time));
        self
    }

    limits! {
        /// Memory in total (64 MiB if not said).
        memory_bytes => memory_bytes;
        /// The output's JSON (1 MiB if not said).
        output_bytes => output_bytes;
        /// Log lines of one call (1 MiB if not said).
        log_bytes => log_bytes;
        /// A suspension's state (64 KiB if not said, which also is the most).
        state_bytes => state_bytes;
        /// Requests of one call (100 if not said).
        http_requests => http_requests;
        /// Request bodies of one call (16 MiB if not said).
        request_bytes => request_bytes;
        /// Response bodies of one call (16 MiB if not said).
        response_bytes => response_bytes;
        /// Tools started by one call (10 if not said).
        tool_calls => tool_calls;
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What is needed to write one action's entry.
pub(crate) struct ActionDescription {
    pub(crate) description: &'static str,
    pub(crate) input: Value,
    pub(crate) output: Value,
    pub(crate) effect: Effect,
    pub(crate) cancel: bool,
    pub(crate) rollback: bool,
    pub(crate) find: bool,
    pub(crate) connections: Vec<Role>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) limits: Limits,
}

impl ActionDescription {
    pub(crate) fn json(&self) -> Value {
        let connections: Map<String, Value> =
            self.connections.iter().map(|role| (role.name.to_owned(), role.json())).collect();
        let tools: Map<String, Value> = self.tools.iter().map(|tool| (tool.name.to_owned(), tool.json())).collect();
        json!({
            "description": self.description,
            "input": self.input,
            "output": self.output,
            "effect": self.effect,
            "cancel": self.cancel,
            "rollback": self.rollback,
            "find": self.find,
            "connections": connections,
            "tools": tools,
            "limits": self.limits,
        })
    }

    /// The state's bound, which the SDK reports before the host has to.
    pub(crate) fn state_bytes(limits: &Limits) -> usize {
        limits.state_bytes.map_or(65_536, |bytes| bytes.min(65_536)) as usize
    }
}

/// Schema of what is read from JSON: fields with defaults are optional.
pub(crate) fn input_schema<T: JsonSchema>() -> Value {
    schema::<T>(settings().for_deserialize().into_generator())
}

/// Schema of what is written as JSON.
pub(crate) fn output_schema<T: JsonSchema>() -> Value {
    schema::<T>(settings().for_serialize().into_generator())
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    })
}

fn schema<T: JsonSchema>(generator: SchemaGenerator) -> Value {
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    if let Some(object) = schema.as_object_mut() {
        // The Rust type's name says nothing to who reads the manifest.
        object.remove("title");
    }
    schema
}

/// Tells whether a plugin, action, role or tool may be called so.
pub(crate) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 63
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_')
}
