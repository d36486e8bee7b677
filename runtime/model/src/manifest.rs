//! What a plugin says of itself: actions, schemas, effects, roles, tools, limits.
//!
//! The written form is JSON, embedded in the component; its published schema is
//! `wit/0.1/manifest.schema.json`, made from these types by a test.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{ActionName, PluginName, RoleName, ToolName};
use crate::schema_cost;

/// A plugin's description of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The plugin's name.
    #[schemars(with = "String", regex(pattern = r"^[a-z][a-z0-9_-]{0,62}$"))]
    pub name: PluginName,
    /// The plugin's version, `1.2.3`.
    pub version: semver::Version,
    /// The contract it is built for, `0.1`.
    #[schemars(regex(pattern = r"^0\.1$"))]
    pub contract: String,
    /// One sentence for a catalogue.
    pub description: String,
    /// What it can do, by name.
    #[schemars(with = "BTreeMap<String, Action>")]
    pub actions: BTreeMap<ActionName, Action>,
}

/// One thing that a plugin can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// One sentence for a catalogue.
    pub description: String,
    /// JSON Schema (2020-12) of the input.
    pub input: serde_json::Value,
    /// JSON Schema (2020-12) of the output.
    pub output: serde_json::Value,
    /// What repeating it would do.
    pub effect: Effect,
    /// Whether `cancel` is implemented.
    #[serde(default)]
    pub cancel: bool,
    /// Whether `rollback` is implemented.
    #[serde(default)]
    pub rollback: bool,
    /// Whether `find` is implemented.
    #[serde(default)]
    pub find: bool,
    /// The connections it needs, by role.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, Role>")]
    pub connections: BTreeMap<RoleName, Role>,
    /// The native tools it needs, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ToolNeed>")]
    pub tools: BTreeMap<ToolName, ToolNeed>,
    /// Limits of one call that differ from the defaults; the operator's bound still holds.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

/// What repeating an action would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing changes; repeat at will.
    Read,
    /// The other side recognises the repetition.
    IdempotentWrite,
    /// It would happen twice.
    Write,
}

/// A connection that an action needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// What it is for.
    pub description: String,
    /// Whether a step must bind it.
    #[serde(default = "yes")]
    pub required: bool,
    /// The requests it makes; anything else is denied. A role whose credential only goes to a tool
    /// has none.
    #[serde(default)]
    pub requests: Vec<RequestRule>,
}

fn yes() -> bool {
    true
}

/// Requests that are allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestRule {
    /// HTTP methods in capitals.
    #[schemars(length(min = 1))]
    pub methods: Vec<String>,
    /// Path below the connection's address: `*` stands for one segment or a part of it, `**` for any
    /// number of segments.
    #[schemars(regex(pattern = r"^/"))]
    pub path: String,
}

/// A native tool that an action needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolNeed {
    /// What it is for.
    pub description: String,
    /// The subcommands it runs; anything else is denied.
    #[schemars(length(min = 1))]
    pub subcommands: Vec<String>,
    /// How commands begin that it runs in a dry run and that change nothing: `history`, `upgrade --dry-run=server`.
    /// The operator has to say the same; anything else is not run there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<String>,
}

macro_rules! limits {
    ($($(#[$doc:meta])* $field:ident: $default:expr, max $max:expr;)*) => {
        /// Limits of one call of a component; those not given are the defaults.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Limits {
            $($(#[$doc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $field: Option<u64>,)*
        }

        impl Limits {
            /// Whether nothing differs from the defaults.
            pub fn is_empty(&self) -> bool {
                *self == Self::default()
            }

            /// Every limit by name, with what is given and with `others`' value of it.
            pub fn named(&self, others: &EffectiveLimits) -> Vec<(&'static str, Option<u64>, u64)> {
                vec![$((stringify!($field), self.$field, others.$field),)*]
            }

            /// The limits in force: what is given, else the default, at most the operator's bound.
            pub fn effective(&self, bound: &EffectiveLimits) -> EffectiveLimits {
                EffectiveLimits { $($field: self.$field.unwrap_or(EffectiveLimits::DEFAULT.$field).min(bound.$field),)* }
            }
        }

        /// Limits in force for one call of a component.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub struct EffectiveLimits {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl EffectiveLimits {
            /// What holds when a manifest says nothing.
            pub const DEFAULT: Self = Self { $($field: $default,)* };
            /// The operator's bound unless configured otherwise.
            pub const BOUND: Self = Self { $($field: $max,)* };
        }
    };
}

const MIB: u64 = 1024 * 1024;

limits! {
    /// Milliseconds of processor time.
    cpu_ms: 5_000, max 60_000;
    /// Milliseconds from start to end, host calls included.
    wall_ms: 60_000, max 600_000;
    /// Bytes of memory and tables in total.
    memory_bytes: 64 * MIB, max 512 * MIB;
    /// Bytes of the output or the failure.
    output_bytes: MIB, max 16 * MIB;
    /// Bytes of log lines, standard output and standard error.
    log_bytes: MIB, max 16 * MIB;
    /// Bytes of a suspension's state.
    state_bytes: 64 * 1024, max 64 * 1024;
    /// HTTP requests.
    http_requests: 100, max 10_000;
    /// Bytes of all request bodies.
    request_bytes: 16 * MIB, max 256 * MIB;
    /// Bytes of all response bodies.
    response_bytes: 16 * MIB, max 256 * MIB;
    /// Runs of native tools.
    tool_calls: 10, max 100;
}

/// What is wrong with a manifest, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the manifest is not acceptable: {}", .0.join("; "))]
pub struct InvalidManifest(pub Vec<String>);

/// The largest manifest.
pub const MANIFEST_BYTES_MAX: usize = 1024 * 1024;

/// The contract version this host speaks.
pub const CONTRACT: &str = "0.1";

impl Manifest {
    /// The subcommands of a tool that any of its actions asks for, each once and in order.
    pub fn subcommands_of(&self, tool: &ToolName) -> BTreeSet<String> {
        let needs = self.actions.values().filter_map(|it| it.tools.get(tool));
        needs.flat_map(|it| it.subcommands.iter().cloned()).collect()
    }

    /// How commands of a tool begin that any of its actions says to change nothing, each once and in order.
    pub fn dry_runs_of(&self, tool: &ToolName) -> BTreeSet<String> {
        let needs = self.actions.values().filter_map(|it| it.tools.get(tool));
        needs.flat_map(|it| it.dry_run.iter().cloned()).collect()
    }

    /// Reads and checks a manifest; all problems at once.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidManifest> {
        if json.len() > MANIFEST_BYTES_MAX {
            return Err(InvalidManifest(vec![format!(
                "it has {} bytes; {MANIFEST_BYTES_MAX} are the most",
                json.len()
            )]));
        }
        let mut reader = serde_json::Deserializer::from_slice(json);
        let read: Result<Self, _> = serde_path_to_error::deserialize(&mut reader);
        let manifest = read.map_err(|error| {
            let place = error.path().to_string();
            let place = if place == "." { String::new() } else { format!("`{place}`: ") };
            let told = error.inner().to_string();
            // Nobody wrote this JSON: the path says more than a line and a column of it.
            let told = match told.rsplit_once(" at line ") {
                Some((told, _)) if error.inner().is_data() || !place.is_empty() => told,
                _ => &told,
            };
            let hint = if place == "`version`: " { "; write three numbers, for example 0.1.0" } else { "" };
            InvalidManifest(vec![format!("{place}{told}{hint}")])
        })?;
        reader.end().map_err(|error| InvalidManifest(vec![error.to_string()]))?;
        let mut problems = Vec::new();
        if manifest.contract != CONTRACT {
            problems.push(format!("`contract` is `{}`; this host speaks `{CONTRACT}`", manifest.contract));
        }
        if manifest.actions.is_empty() {
            problems.push("`actions` is empty; a plugin has at least one".to_owned());
        }
        for (name, action) in &manifest.actions {
            action.check(name, &mut problems);
        }
        if problems.is_empty() { Ok(manifest) } else { Err(InvalidManifest(problems)) }
    }
}

impl Action {
    fn check(&self, name: &ActionName, problems: &mut Vec<String>) {
        for (which, schema) in [("input", &self.input), ("output", &self.output)] {
            if let Err(error) = compile_schema(schema) {
                problems.push(format!("action `{name}`: the {which} schema: {error}"));
            }
        }
        for (tool, need) in &self.tools {
            for form in &need.dry_run {
                let subcommand = form.split_whitespace().next().unwrap_or_default();
                if !need.subcommands.iter().any(|it| it == subcommand) {
                    problems.push(format!(
                        "action `{name}`, tool `{tool}`: `dry_run` has `{form}`, which begins with none of its subcommands"
                    ));
                }
            }
        }
        for (role, need) in &self.connections {
            for rule in &need.requests {
                if !rule.path.starts_with('/') {
                    problems
                        .push(format!("action `{name}`, role `{role}`: path `{}` does not start with `/`", rule.path));
                }
                for method in &rule.methods {
                    if method.is_empty() || !method.bytes().all(|it| it.is_ascii_uppercase()) {
                        problems.push(format!(
                            "action `{name}`, role `{role}`: `{method}` is no method; methods are capitals, `GET`"
                        ));
                    }
                }
                if rule.methods.is_empty() {
                    problems.push(format!("action `{name}`, role `{role}`: `methods` of `{}` is empty", rule.path));
                }
            }
        }
    }
}

/// Compiles a JSON Schema without ever fetching a reference. One that could take for ever to check is refused, see
/// [`schema_cost`].
pub fn compile_schema(schema: &serde_json::Value) -> Result<jsonschema::Validator, String> {
    schema_cost::cost(schema)?;
    jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(schema).map_err(|error| error.to_string())
}

/// Ways in which a value breaks a schema that are told.
pub const SCHEMA_PROBLEMS_MAX: usize = 100;

/// What of one is told: it repeats what it is about.
const SCHEMA_PROBLEM_CHARS_MAX: usize = 500;

/// In which ways `value` breaks `schema`, each with its place: `/parameters/VERSION: …`. The first
/// [`SCHEMA_PROBLEMS_MAX`], and none longer than a person reads.
pub fn schema_problems(schema: &jsonschema::Validator, value: &serde_json::Value) -> Vec<String> {
    schema
        .iter_errors(value)
        .take(SCHEMA_PROBLEMS_MAX)
        .map(|error| {
            let place = error.instance_path().to_string();
            let said = if place.is_empty() { error.to_string() } else { format!("`{place}`: {error}") };
            match said.char_indices().nth(SCHEMA_PROBLEM_CHARS_MAX) {
                Some((end, _)) => format!("{} …", &said[..end]),
                None => said,
            }
        })
        .collect()
}
