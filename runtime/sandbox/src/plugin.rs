//! A component that is compiled, linked and checked: what calls are made on.

use std::collections::BTreeMap;

use serde_json::Value;
use windlass_bindings::PluginPre;
use windlass_model::digest::Digest;
use windlass_model::manifest::{Action, EffectiveLimits, Manifest, compile_schema, schema_problems};
use windlass_model::name::ActionName;
use windlass_model::schema_cost;

use crate::state::CallState;

/// A plugin that is ready to be called.
pub struct Plugin {
    pub(crate) digest: Digest,
    pub(crate) manifest: Manifest,
    pub(crate) actions: BTreeMap<ActionName, ReadyAction>,
    pub(crate) pre: PluginPre<CallState>,
    /// Permits that one instance takes of the pools.
    pub(crate) weight: u32,
}

/// An action with its schemas compiled and its limits bounded.
pub(crate) struct ReadyAction {
    pub(crate) action: Action,
    pub(crate) input: Schema,
    pub(crate) output: Schema,
    pub(crate) limits: EffectiveLimits,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plugin({} {}, {})", self.manifest.name, self.manifest.version, self.digest.short())
    }
}

impl Plugin {
    /// The digest of the component's bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What the plugin says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What is wrong with an output for `action` that somebody wrote by hand; none when it is as the manifest says.
    pub fn output_problems(&self, action: &str, output: &Value) -> Option<String> {
        let Some(action) = self.actions.get(action) else { return Some(format!("there is no action `{action}`")) };
        let bytes = output.to_string().len() as u64;
        let bytes_max = action.limits.output_bytes;
        if bytes > bytes_max {
            return Some(format!("it has {bytes} bytes; {bytes_max} are the most"));
        }
        action.output.problems(output)
    }

    /// The limits of one call of `action`, the operator's bound applied.
    pub fn limits(&self, action: &str) -> Option<EffectiveLimits> {
        self.actions.get(action).map(|it| it.limits)
    }
}

impl ReadyAction {
    pub(crate) fn new(action: &Action, bound: &EffectiveLimits) -> Result<Self, String> {
        Ok(Self {
            action: action.clone(),
            input: Schema::new(&action.input)?,
            output: Schema::new(&action.output)?,
            limits: action.limits.effective(bound),
        })
    }
}

/// A compiled schema.
pub(crate) enum Schema {
    /// One that everything satisfies; nothing is checked.
    Anything,
    /// Any other, with what it can cost for each thing in a value.
    Checked(Box<jsonschema::Validator>, u64),
}

/// Places that a message names.
const PROBLEMS_MAX: usize = 10;

/// What holding one value against a schema may cost: some seconds.
const CHECK_COST_MAX: u64 = 50_000_000;

impl Schema {
    fn new(schema: &Value) -> Result<Self, String> {
        let trivial = match schema {
            Value::Bool(anything) => *anything,
            Value::Object(members) => {
                members.keys().all(|it| matches!(it.as_str(), "$schema" | "title" | "description" | "$id"))
            }
            _ => false,
        };
        if trivial {
            return Ok(Self::Anything);
        }
        Ok(Self::Checked(Box::new(compile_schema(schema)?), schema_cost::cost(schema)?))
    }

    /// How `value` breaks it, with the places; none if it does not.
    pub(crate) fn problems(&self, value: &Value) -> Option<String> {
        match self {
            Self::Anything => None,
            Self::Checked(_, cost) if cost.saturating_mul(things_in(value)) > CHECK_COST_MAX => {
                Some(format!("it holds {} values, too many to check each against so large a schema", things_in(value)))
            }
            Self::Checked(schema, _) if schema.is_valid(value) => None,
            Self::Checked(schema, _) => {
                let mut problems = schema_problems(schema, value);
                if problems.len() > PROBLEMS_MAX {
                    problems.truncate(PROBLEMS_MAX);
                    problems.push("and more".to_owned());
                }
                Some(problems.join("; "))
            }
        }
    }
}

/// How many values there are in a value, itself included. What JSON is read into is not deep.
fn things_in(value: &Value) -> u64 {
    match value {
        Value::Array(items) => items.iter().map(things_in).sum::<u64>() + 1,
        Value::Object(members) => members.values().map(things_in).sum::<u64>() + 1,
        // Long texts take longer to match.
        Value::String(text) => 1 + text.len() as u64 / 1024,
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Neither is too large alone; together they would take minutes.
    #[test]
    fn a_large_value_is_not_held_against_a_large_schema() {
        let parts: Vec<Value> = (0..5_000).map(|it| json!({"minimum": it})).collect();
        let schema = Schema::new(&json!({"items": {"anyOf": parts}})).expect("a schema");
        assert_eq!(schema.problems(&json!([1, 2, 3])), None);
        let said = schema.problems(&Value::Array(vec![json!(-1); 20_000])).expect("refused");
        assert!(said.contains("it holds 20001 values, too many"), "{said}");
        let plain = Schema::new(&json!({"items": {"minimum": 0}})).expect("a schema");
        assert_eq!(plain.problems(&Value::Array(vec![json!(1); 200_000])), None);
    }
}
