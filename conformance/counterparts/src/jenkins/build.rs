//! Builds: what one is at a given time. A build keeps the configuration it was started with.

use super::job::{Job, JobConfiguration, value_class};
use super::{QueueItem, key_of};
use serde_json::{Value, json};

/// A build which has started.
pub(crate) struct Build {
    pub(crate) number: u64,
    pub(crate) queue_id: u64,
    pub(crate) parameters: Vec<(String, Value)>,
    configuration: JobConfiguration,
    user: String,
    started_ms: i64,
    /// When it was stopped and by whom.
    stopped: Option<(i64, String)>,
}

impl Build {
    pub(crate) fn new(configuration: &JobConfiguration, item: &QueueItem, number: u64, started_ms: i64) -> Build {
        Build {
            number,
            queue_id: item.id,
            parameters: item.parameters.clone(),
            configuration: configuration.clone(),
            user: item.user.clone(),
            started_ms,
            stopped: None,
        }
    }

    /// `payments#3`.
    pub(crate) fn target(&self) -> String {
        format!("{}#{}", self.configuration.name.trim_matches('/'), self.number)
    }

    pub(crate) fn key(&self) -> Option<String> {
        key_of(&self.parameters)
    }

    fn planned_ms(&self) -> i64 {
        i64::try_from(self.configuration.duration_ms).unwrap_or(i64::MAX / 4)
    }

    /// When it ends or ended.
    pub(crate) fn end_ms(&self) -> i64 {
        match self.stopped {
            Some((at_ms, _)) => at_ms,
            None => self.started_ms.saturating_add(self.planned_ms()),
        }
    }

    /// How it ended; none while it runs.
    pub(crate) fn result(&self, now_ms: i64) -> Option<&str> {
        if self.stopped.is_some() {
            return Some("ABORTED");
        }
        if now_ms < self.end_ms() {
            return None;
        }
        let must_fail =
            self.configuration.fail_when.iter().any(|(name, value)| {
                self.parameters.iter().any(|(it, given)| it == name && given.as_str() == Some(value))
            });
        let tests_fail = self.configuration.tests.is_some_and(|tests| tests.fail > 0);
        Some(match self.configuration.result.as_str() {
            _ if must_fail => "FAILURE",
            "SUCCESS" if tests_fail => "UNSTABLE",
            result => result,
        })
    }

    /// Stops it, unless it has ended; tells whether it did.
    pub(crate) fn stop(&mut self, now_ms: i64, user: &str) -> bool {
        if self.result(now_ms).is_some() {
            return false;
        }
        self.stopped = Some((now_ms, user.to_owned()));
        true
    }

    /// What it wrote up to now.
    pub(crate) fn console(&self, now_ms: i64) -> String {
        let mut text = format!("Started by user {}\n", self.user);
        let lines = &self.configuration.console;
        let until = now_ms.min(self.end_ms());
        let steps = i64::try_from(lines.len()).unwrap_or(i64::MAX - 1).saturating_add(1);
        for (line, step) in lines.iter().zip(1_i64..) {
            let due = self.planned_ms().saturating_mul(step) / steps;
            if self.started_ms.saturating_add(due) > until {
                break;
            }
            text.push_str(&self.fill(line));
            text.push('\n');
        }
        if let Some((_, user)) = &self.stopped {
            text.push_str(&format!("Aborted by {user}\n"));
        }
        if let Some(result) = self.result(now_ms) {
            text.push_str(&format!("Finished: {result}\n"));
        }
        text
    }

    /// The files it left. A build which failed or was stopped leaves none.
    pub(crate) fn artifacts(&self, now_ms: i64) -> Vec<(&str, String)> {
        match self.result(now_ms) {
            Some("SUCCESS" | "UNSTABLE") => {
                self.configuration.artifacts.iter().map(|(path, text)| (path.as_str(), self.fill(text))).collect()
            }
            _ => Vec::new(),
        }
    }

    fn fill(&self, template: &str) -> String {
        self.parameters.iter().fold(template.to_owned(), |text, (name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.replace(&format!("${{{name}}}"), &value)
        })
    }

    /// The test report, once the build has ended and has one.
    pub(crate) fn test_report(&self, now_ms: i64) -> Option<Value> {
        let tests = self.configuration.tests?;
        if !matches!(self.result(now_ms), Some("SUCCESS" | "UNSTABLE" | "FAILURE")) {
            return None;
        }
        let case = |status: &'static str| {
            move |number: u32| {
                let failed = status == "FAILED";
                json!({
                    "age": u8::from(failed),
                    "className": "simulated.PaymentsTest",
                    "duration": 0.001,
                    "errorDetails": failed.then_some("simulated failure"),
                    "errorStackTrace": null,
                    "failedSince": if failed { self.number } else { 0 },
                    "name": format!("{}_{number}", status.to_lowercase()),
                    "skipped": status == "SKIPPED",
                    "status": status,
                })
            }
        };
        let cases: Vec<Value> = (1..=tests.pass)
            .map(case("PASSED"))
            .chain((1..=tests.fail).map(case("FAILED")))
            .chain((1..=tests.skip).map(case("SKIPPED")))
            .collect();
        Some(json!({
            "_class": "hudson.tasks.junit.TestResult",
            "duration": 0.001 * f64::from(tests.pass + tests.fail),
            "empty": cases.is_empty(),
            "failCount": tests.fail,
            "passCount": tests.pass,
            "skipCount": tests.skip,
            "suites": [{
                "cases": cases,
                "duration": 0.001 * f64::from(tests.pass + tests.fail),
                "name": "simulated.PaymentsTest",
            }],
        }))
    }

    pub(crate) fn url(&self, job: &Job, root: &str) -> String {
        format!("{}{}/", job.url(root), self.number)
    }

    /// How a build is named inside something else.
    pub(crate) fn reference(&self, job: &Job, root: &str) -> Value {
        json!({
            "_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun",
            "number": self.number,
            "url": self.url(job, root),
        })
    }

    pub(crate) fn to_json(&self, job: &Job, root: &str, now_ms: i64) -> Value {
        let result = self.result(now_ms);
        let artifacts: Vec<Value> = self
            .artifacts(now_ms)
            .iter()
            .map(|(path, _)| {
                let file = path.rsplit('/').next().unwrap_or(path);
                json!({ "displayPath": file, "fileName": file, "relativePath": path })
            })
            .collect();
        let mut actions = Vec::new();
        if !self.parameters.is_empty() {
            actions.push(parameters_action(&self.parameters));
        }
        actions.push(cause_action(&self.user));
        if let Some(tests) = self.configuration.tests.filter(|_| result.is_some()) {
            actions.push(json!({
                "_class": "hudson.tasks.junit.TestResultAction",
                "failCount": tests.fail,
                "skipCount": tests.skip,
                "totalCount": tests.pass + tests.fail + tests.skip,
                "urlName": "testReport",
            }));
        }
        let neighbour = |number: Option<u64>| {
            number
                .and_then(|number| job.builds.iter().find(|build| build.number == number))
                .map_or(Value::Null, |build| json!({ "number": build.number, "url": build.url(job, root) }))
        };
        json!({
            "_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun",
            "actions": actions,
            "artifacts": artifacts,
            "building": result.is_none(),
            "description": null,
            "displayName": format!("#{}", self.number),
            "duration": if result.is_some() { self.end_ms() - self.started_ms } else { 0 },
            "estimatedDuration": self.planned_ms(),
            "executor": null,
            "fullDisplayName": format!("{} #{}", job.full_name().replace('/', " » "), self.number),
            "id": self.number.to_string(),
            "keepLog": false,
            "number": self.number,
            "queueId": self.queue_id,
            "result": result,
            "timestamp": self.started_ms,
            "url": self.url(job, root),
            "changeSets": [],
            "culprits": [],
            "inProgress": result.is_none(),
            "nextBuild": neighbour(self.number.checked_add(1)),
            "previousBuild": neighbour(self.number.checked_sub(1)),
        })
    }
}

pub(crate) fn parameters_action(parameters: &[(String, Value)]) -> Value {
    let values: Vec<Value> = parameters
        .iter()
        .map(|(name, value)| json!({ "_class": value_class(value), "name": name, "value": value }))
        .collect();
    json!({ "_class": "hudson.model.ParametersAction", "parameters": values })
}

pub(crate) fn cause_action(user: &str) -> Value {
    json!({
        "_class": "hudson.model.CauseAction",
        "causes": [{
            "_class": "hudson.model.Cause$UserIdCause",
            "shortDescription": format!("Started by user {user}"),
            "userId": user,
            "userName": user,
        }],
    })
}
