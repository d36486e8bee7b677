//! Jobs: how one is configured, and what Jenkins says of it.

use super::build::Build;
use crate::http::encode_segment;
use crate::simulator::SimulatorOptions;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a job does, as given to `POST /_sim/jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobConfiguration {
    /// The full name; slashes make folders.
    pub name: String,
    /// What the job's page says.
    #[serde(default)]
    pub description: String,
    /// The declared parameters; others are ignored, as Jenkins does.
    #[serde(default)]
    pub parameters: Vec<ParameterDefinition>,
    /// How long a build waits in the queue.
    #[serde(default)]
    pub queue_ms: u64,
    /// How long a build runs.
    #[serde(default)]
    pub duration_ms: u64,
    /// What a build writes, spread over its duration; `${NAME}` is the parameter's value.
    #[serde(default)]
    pub console: Vec<String>,
    /// The files a build leaves, by path; `${NAME}` as above.
    #[serde(default)]
    pub artifacts: BTreeMap<String, String>,
    /// The test report of a build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestCounts>,
    /// How a build ends.
    #[serde(default = "success")]
    pub result: String,
    /// A build with one of these parameter values ends as FAILURE.
    #[serde(default)]
    pub fail_when: BTreeMap<String, String>,
    /// Whether builds run side by side.
    #[serde(default = "yes")]
    pub concurrent: bool,
    /// A disabled job refuses builds.
    #[serde(default)]
    pub disabled: bool,
}

/// A declared parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterDefinition {
    /// The name.
    pub name: String,
    /// `string`, `text`, `boolean`, `choice` or `password`.
    #[serde(default = "string", rename = "type")]
    pub kind: String,
    /// The value when none is given; the first choice for a choice.
    #[serde(default)]
    pub default: Value,
    /// The values of a choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// What the form says.
    #[serde(default)]
    pub description: String,
}

/// How many tests a build reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestCounts {
    /// Passed.
    #[serde(default)]
    pub pass: u32,
    /// Failed; with any, a successful build becomes UNSTABLE.
    #[serde(default)]
    pub fail: u32,
    /// Skipped.
    #[serde(default)]
    pub skip: u32,
}

fn success() -> String {
    "SUCCESS".to_owned()
}

fn string() -> String {
    "string".to_owned()
}

fn yes() -> bool {
    true
}

impl JobConfiguration {
    /// The default job, which the demo builds.
    pub(crate) fn payments(options: &SimulatorOptions) -> JobConfiguration {
        let parameter = |name: &str, description: &str| ParameterDefinition {
            name: name.to_owned(),
            kind: string(),
            default: json!(""),
            choices: Vec::new(),
            description: description.to_owned(),
        };
        let milliseconds = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        JobConfiguration {
            name: "payments".to_owned(),
            description: "Simulated: builds nothing, but looks like a build.".to_owned(),
            parameters: vec![
                parameter("VERSION", "What to build"),
                parameter("WINDLASS_KEY", "The key which makes a repeated request recognisable"),
            ],
            queue_ms: milliseconds(options.queue),
            duration_ms: milliseconds(options.duration),
            console: [
                "[simulated] no compiler runs here",
                "checking out payments ${VERSION}",
                "compiling 128 sources",
                "running 42 tests",
                "42 tests passed",
                "building image example.test/payments:${VERSION}",
                "archiving 2 artifacts",
            ]
            .map(str::to_owned)
            .to_vec(),
            artifacts: BTreeMap::from([
                (
                    "build/image.json".to_owned(),
                    r#"{"image":"example.test/payments:${VERSION}","simulated":true}"#.to_owned(),
                ),
                (
                    "build/sbom.json".to_owned(),
                    r#"{"name":"payments","version":"${VERSION}","components":[]}"#.to_owned(),
                ),
            ]),
            tests: Some(TestCounts { pass: 42, fail: 0, skip: 0 }),
            result: success(),
            fail_when: options.fail_version.iter().map(|version| ("VERSION".to_owned(), version.clone())).collect(),
            concurrent: true,
            disabled: false,
        }
    }
}

impl ParameterDefinition {
    fn class(&self) -> &'static str {
        match self.kind.as_str() {
            "boolean" => "hudson.model.BooleanParameterDefinition",
            "choice" => "hudson.model.ChoiceParameterDefinition",
            "password" => "hudson.model.PasswordParameterDefinition",
            "text" => "hudson.model.TextParameterDefinition",
            _ => "hudson.model.StringParameterDefinition",
        }
    }

    /// The value when a build is asked for without one.
    pub(crate) fn default_value(&self) -> Value {
        match self.kind.as_str() {
            "boolean" => json!(self.default == json!(true) || self.default == json!("true")),
            "choice" => json!(self.choices.first().cloned().unwrap_or_default()),
            _ => match &self.default {
                Value::Null => json!(""),
                Value::String(text) => json!(text),
                other => json!(other.to_string()),
            },
        }
    }

    /// The value a form field stands for.
    pub(crate) fn value(&self, text: &str) -> Result<Value, String> {
        match self.kind.as_str() {
            "boolean" => Ok(json!(matches!(text, "true" | "on"))),
            "choice" if !self.choices.iter().any(|choice| choice == text) => {
                Err(format!("Illegal choice for parameter {}: {text}", self.name))
            }
            _ => Ok(json!(text)),
        }
    }

    fn to_json(&self) -> Value {
        let mut definition = json!({
            "_class": self.class(),
            "defaultParameterValue": {
                "_class": value_class(&self.default_value()),
                "name": self.name,
                "value": self.default_value(),
            },
            "description": self.description,
            "name": self.name,
            "type": self.class().trim_start_matches("hudson.model."),
        });
        if self.kind == "choice" {
            definition["choices"] = json!(self.choices);
        }
        definition
    }
}

pub(crate) fn value_class(value: &Value) -> &'static str {
    if value.is_boolean() { "hudson.model.BooleanParameterValue" } else { "hudson.model.StringParameterValue" }
}

/// A job and its builds, oldest first.
pub(crate) struct Job {
    pub(crate) configuration: JobConfiguration,
    pub(crate) builds: Vec<Build>,
}

/// The path of a job below the root, with a slash at the end.
pub(crate) fn job_path(full_name: &str) -> String {
    full_name.split('/').map(|part| format!("job/{}/", encode_segment(part))).collect()
}

impl Job {
    pub(crate) fn full_name(&self) -> &str {
        self.configuration.name.trim_matches('/')
    }

    pub(crate) fn short_name(&self) -> &str {
        self.full_name().rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn url(&self, root: &str) -> String {
        format!("{root}{}", job_path(self.full_name()))
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.builds.last().map_or(1, |build| build.number + 1)
    }

    /// The build with a number or a permalink such as `lastBuild`.
    pub(crate) fn build(&self, name: &str, now_ms: i64) -> Option<&Build> {
        let newest = |wanted: &dyn Fn(&Build) -> bool| self.builds.iter().rev().find(|build| wanted(build));
        match name {
            "lastBuild" => self.builds.last(),
            "lastCompletedBuild" => newest(&|build| build.result(now_ms).is_some()),
            "lastSuccessfulBuild" => newest(&|build| matches!(build.result(now_ms), Some("SUCCESS" | "UNSTABLE"))),
            "lastStableBuild" => newest(&|build| build.result(now_ms) == Some("SUCCESS")),
            "lastUnstableBuild" => newest(&|build| build.result(now_ms) == Some("UNSTABLE")),
            "lastFailedBuild" => newest(&|build| build.result(now_ms) == Some("FAILURE")),
            "lastUnsuccessfulBuild" => newest(&|build| build.result(now_ms).is_some_and(|result| result != "SUCCESS")),
            number => {
                let number: u64 = number.parse().ok()?;
                self.builds.iter().find(|build| build.number == number)
            }
        }
    }

    /// The ball beside the name.
    pub(crate) fn color(&self, now_ms: i64) -> String {
        if self.configuration.disabled {
            return "disabled".to_owned();
        }
        let ended = self.builds.iter().rev().find_map(|build| build.result(now_ms));
        let color = match ended {
            None => "notbuilt",
            Some("SUCCESS") => "blue",
            Some("UNSTABLE") => "yellow",
            Some("ABORTED") => "aborted",
            Some(_) => "red",
        };
        let running = self.builds.last().is_some_and(|build| build.result(now_ms).is_none());
        if running { format!("{color}_anime") } else { color.to_owned() }
    }

    /// How a job is named inside something else.
    pub(crate) fn reference(&self, root: &str, now_ms: i64) -> Value {
        json!({
            "_class": "org.jenkinsci.plugins.workflow.job.WorkflowJob",
            "name": self.short_name(),
            "url": self.url(root),
            "color": self.color(now_ms),
        })
    }

    /// The job itself. With `full`, builds are whole, from which a `tree` then takes what it names.
    pub(crate) fn to_json(&self, root: &str, now_ms: i64, full: bool, waiting: Option<Value>) -> Value {
        let build = |build: Option<&Build>| match build {
            Some(build) if full => build.to_json(self, root, now_ms),
            Some(build) => build.reference(self, root),
            None => Value::Null,
        };
        let permalink = |name: &str| build(self.build(name, now_ms));
        let newest_first: Vec<Value> = self.builds.iter().rev().map(|it| build(Some(it))).collect();
        let definitions: Vec<Value> = self.configuration.parameters.iter().map(ParameterDefinition::to_json).collect();
        let property = if definitions.is_empty() {
            json!([])
        } else {
            json!([{
                "_class": "hudson.model.ParametersDefinitionProperty",
                "parameterDefinitions": definitions,
            }])
        };
        let mut job = json!({
            "_class": "org.jenkinsci.plugins.workflow.job.WorkflowJob",
            "actions": [],
            "description": self.configuration.description,
            "displayName": self.short_name(),
            "displayNameOrNull": null,
            "fullDisplayName": self.full_name().replace('/', " » "),
            "fullName": self.full_name(),
            "name": self.short_name(),
            "url": self.url(root),
            "buildable": !self.configuration.disabled,
            "builds": newest_first.iter().take(100).collect::<Vec<_>>(),
            "color": self.color(now_ms),
            "firstBuild": build(self.builds.first()),
            "healthReport": [],
            "inQueue": waiting.is_some(),
            "keepDependencies": false,
            "nextBuildNumber": self.next_number(),
            "property": property,
            "queueItem": waiting,
            "concurrentBuild": self.configuration.concurrent,
            "inProgress": self.builds.last().is_some_and(|it| it.result(now_ms).is_none()),
            "resumeBlocked": false,
        });
        for name in [
            "lastBuild",
            "lastCompletedBuild",
            "lastFailedBuild",
            "lastStableBuild",
            "lastSuccessfulBuild",
            "lastUnstableBuild",
            "lastUnsuccessfulBuild",
        ] {
            job[name] = permalink(name);
        }
        if full {
            job["allBuilds"] = json!(newest_first);
        }
        job
    }
}
