//! A job: its place among folders, and the parameters that it declares.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use windlass_sdk::{Failure, http};

/// A job's full name: `payments` or `team/payments`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobName(Vec<String>);

impl JobName {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let segments: Vec<String> = text.trim_matches('/').split('/').map(str::to_owned).collect();
        if segments.iter().any(|segment| matches!(segment.as_str(), "" | "." | "..")) {
            let message = format!("`{text}` names no job: write its full name, for example `team/payments`");
            return Err(Failure::invalid("job-name", message).never());
        }
        Ok(Self(segments))
    }

    /// The job's path: `/job/team/job/payments`.
    pub(crate) fn path(&self) -> String {
        http::path(self.0.iter().flat_map(|segment| ["job", segment.as_str()]))
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("/"))
    }
}

/// A build parameter's value as a workflow writes it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ParameterValue {
    /// Text.
    Text(String),
    /// A boolean parameter's `true` or `false`.
    Flag(bool),
    /// A number, handed over as text.
    Number(serde_json::Number),
}

impl fmt::Display for ParameterValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Flag(flag) => write!(formatter, "{flag}"),
            Self::Number(number) => write!(formatter, "{number}"),
        }
    }
}

/// What the plugin reads of a job.
#[derive(Debug, Deserialize)]
pub(crate) struct Job {
    /// False when it is disabled, none for what cannot be built.
    buildable: Option<bool>,
    #[serde(default)]
    property: Vec<Property>,
}

#[derive(Debug, Deserialize)]
struct Property {
    #[serde(default, rename = "parameterDefinitions")]
    parameters: Vec<ParameterDefinition>,
}

#[derive(Debug, Deserialize)]
struct ParameterDefinition {
    name: String,
    /// Of a choice parameter.
    choices: Option<Vec<Value>>,
}

impl Job {
    /// The query's `tree` for what is read here.
    pub(crate) const TREE: &str = "buildable,property[parameterDefinitions[name,type,choices]]";

    fn parameters(&self) -> impl Iterator<Item = &ParameterDefinition> {
        self.property.iter().flat_map(|property| &property.parameters)
    }

    pub(crate) fn declares(&self, parameter: &str) -> bool {
        self.parameters().any(|declared| declared.name == parameter)
    }

    pub(crate) fn has_parameters(&self) -> bool {
        self.parameters().next().is_some()
    }

    /// Refuses what Jenkins would drop in silence: parameters that the job does not declare, and unknown choices.
    pub(crate) fn check(&self, name: &JobName, given: &BTreeMap<String, ParameterValue>) -> Result<(), Failure> {
        match self.buildable {
            Some(true) => {}
            Some(false) => {
                let message = format!("job `{name}` is disabled");
                return Err(Failure::rejected("job-disabled", message).pause());
            }
            None => {
                let message = format!("`{name}` is no job that can be built: is it a folder?");
                return Err(Failure::invalid("not-a-job", message).never());
            }
        }
        let undeclared: Vec<String> = given
            .keys()
            .filter(|parameter| !self.declares(parameter))
            .map(|parameter| format!("`{parameter}`"))
            .collect();
        if !undeclared.is_empty() {
            let declared: Vec<&str> = self.parameters().map(|declared| declared.name.as_str()).collect();
            let declared = if declared.is_empty() { "none".to_owned() } else { declared.join(", ") };
            let message = format!("job `{name}` does not declare {}; it declares: {declared}", undeclared.join(", "));
            return Err(Failure::invalid("undeclared-parameter", message).never());
        }
        for declared in self.parameters() {
            let (Some(value), Some(choices)) = (given.get(&declared.name), &declared.choices) else {
                continue;
            };
            let value = value.to_string();
            let choices: Vec<String> = choices.iter().map(text_of).collect();
            if !choices.contains(&value) {
                let message = format!(
                    "parameter `{}` of job `{name}` cannot be `{value}`; it can be: {}",
                    declared.name,
                    choices.join(", ")
                );
                return Err(Failure::invalid("unknown-choice", message).never());
            }
        }
        Ok(())
    }
}

/// A JSON value as Jenkins would show it.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
