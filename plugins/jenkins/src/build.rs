//! A build: what Jenkins says of it, and what later steps get to see.

use crate::job::{JobName, text_of};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_sdk::Failure;

/// What the plugin reads of a build.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Build {
    pub(crate) number: u64,
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) building: bool,
    pub(crate) result: Option<String>,
    /// When it began, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub(crate) timestamp: u64,
    #[serde(default)]
    duration: u64,
    /// -1 while Jenkins has nothing to estimate from.
    #[serde(default)]
    pub(crate) estimated_duration: i64,
    #[serde(default)]
    artifacts: Vec<ArtifactEntry>,
    #[serde(default)]
    fingerprint: Vec<Fingerprint>,
    #[serde(default)]
    actions: Vec<Option<ActionEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactEntry {
    file_name: String,
    relative_path: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fingerprint {
    file_name: String,
    hash: String,
}

/// An entry of `actions`, of builds and queue items alike; most say nothing about parameters.
#[derive(Debug, Deserialize)]
pub(crate) struct ActionEntry {
    #[serde(default)]
    parameters: Vec<Parameter>,
}

#[derive(Debug, Deserialize)]
struct Parameter {
    name: String,
    /// Passwords come without.
    value: Option<Value>,
}

/// Tells whether a build or queue item was started with this value of this parameter.
pub(crate) fn carries(actions: &[Option<ActionEntry>], parameter: &str, value: &str) -> bool {
    let mut parameters = actions.iter().flatten().flat_map(|action| &action.parameters);
    parameters.any(|given| given.name == parameter && given.value.as_ref().map(text_of).as_deref() == Some(value))
}

impl Build {
    /// The query's `tree` for what is read here.
    pub(crate) const TREE: &str = "number,url,building,result,timestamp,duration,estimatedDuration,\
        artifacts[fileName,relativePath],fingerprint[fileName,hash]";
    /// The same for finding a build among many.
    pub(crate) const LIST_TREE: &str = "builds[number,url,building,result,actions[parameters[name,value]]]{0,100}";

    pub(crate) fn carries(&self, parameter: &str, value: &str) -> bool {
        carries(&self.actions, parameter, value)
    }

    /// How far it is by Jenkins' own estimate; never 100 while it builds.
    pub(crate) fn percent(&self, now_millis: u64) -> Option<u8> {
        let estimated = u64::try_from(self.estimated_duration).ok().filter(|estimated| *estimated > 0)?;
        let elapsed = now_millis.saturating_sub(self.timestamp);
        Some(u8::try_from(elapsed.saturating_mul(100) / estimated).unwrap_or(99).min(99))
    }

    /// What later steps get.
    pub(crate) fn report(self, job: &JobName, tests: Option<Tests>) -> BuildReport {
        let base = self.url.trim_end_matches('/').to_owned();
        let artifacts = self
            .artifacts
            .into_iter()
            .map(|artifact| {
                let mut fingerprints = self.fingerprint.iter();
                let fingerprint = fingerprints.find(|fingerprint| fingerprint.file_name == artifact.file_name);
                let path = windlass_sdk::http::path(artifact.relative_path.split('/'));
                Artifact {
                    url: format!("{base}/artifact{path}"),
                    name: artifact.file_name,
                    path: artifact.relative_path,
                    md5: fingerprint.map(|fingerprint| fingerprint.hash.clone()),
                }
            })
            .collect();
        BuildReport {
            job: job.to_string(),
            number: self.number,
            url: self.url,
            building: self.building,
            result: self.result,
            duration_ms: self.duration,
            artifacts,
            tests,
        }
    }
}

/// A build.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct BuildReport {
    /// Full name of the job.
    pub(crate) job: String,
    /// Build number.
    pub(crate) number: u64,
    /// The build's page.
    pub(crate) url: String,
    /// Whether it is still going on.
    pub(crate) building: bool,
    /// `SUCCESS`, `UNSTABLE`, `FAILURE`, `ABORTED` or `NOT_BUILT`; none while it is going on.
    pub(crate) result: Option<String>,
    /// How long it took.
    pub(crate) duration_ms: u64,
    /// What it archived.
    pub(crate) artifacts: Vec<Artifact>,
    /// Its test report, if it has one.
    pub(crate) tests: Option<Tests>,
}

/// An archived file.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Artifact {
    /// File name.
    pub(crate) name: String,
    /// Path in the archive.
    pub(crate) path: String,
    /// Where it can be had.
    pub(crate) url: String,
    /// The digest that Jenkins keeps, for fingerprinted files.
    pub(crate) md5: Option<String>,
}

/// A test report in numbers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Tests {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that were skipped.
    pub(crate) skipped: u64,
}

/// A test report as Jenkins gives it: `passCount` for one, `totalCount` for an aggregated one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestReport {
    pass_count: Option<u64>,
    total_count: Option<u64>,
    #[serde(default)]
    fail_count: u64,
    #[serde(default)]
    skip_count: u64,
}

impl From<TestReport> for Tests {
    fn from(report: TestReport) -> Self {
        let rest = || report.total_count.unwrap_or(0).saturating_sub(report.fail_count + report.skip_count);
        Self { passed: report.pass_count.unwrap_or_else(rest), failed: report.fail_count, skipped: report.skip_count }
    }
}

/// What to make of a build that is not stable: its tests failed, but it went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unstable {
    /// The step fails.
    #[default]
    Fail,
    /// The step succeeds.
    Accept,
}

impl BuildReport {
    /// The report itself if the build is good enough, else the failure that it means.
    pub(crate) fn verdict(self, unstable: Unstable) -> Result<Self, Failure> {
        let result = self.result.as_deref().unwrap_or("no result");
        let what = format!("build #{} of `{}`", self.number, self.job);
        let tests = match self.tests {
            Some(Tests { passed, failed, skipped }) if failed > 0 => {
                format!(", {failed} of {} tests failed", passed + failed + skipped)
            }
            _ => String::new(),
        };
        let failure = match result {
            "SUCCESS" => return Ok(self),
            "UNSTABLE" if unstable == Unstable::Accept => return Ok(self),
            "UNSTABLE" => Failure::rejected("build-unstable", format!("{what} is unstable{tests}: see {}", self.url)),
            "FAILURE" => Failure::rejected("build-failed", format!("{what} failed{tests}: see {}", self.url)),
            "NOT_BUILT" => Failure::rejected("build-not-built", format!("{what} was not built: see {}", self.url)),
            "ABORTED" => Failure::canceled("build-aborted", format!("{what} was aborted in Jenkins: see {}", self.url)),
            other => Failure::internal(
                "build-result",
                format!("{what} ended with `{other}`, which is unknown: see {}", self.url),
            ),
        };
        Err(failure.detail("url", &self.url).detail("number", self.number).detail("result", result))
    }
}
