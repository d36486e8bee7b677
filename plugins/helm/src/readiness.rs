//! Whether workloads are ready, by what `helm status --show-resources` shows of them.
//!
//! The rules are those of `kubectl rollout status` and of helm's own `--wait`: a new generation must have been seen,
//! all replicas be of the new revision, available, and none of an old one left.

use crate::helm::Release;
use crate::manifest::documents;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const KINDS: [&str; 6] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod"];
const REASONS_MAX: usize = 3;
/// Reasons of a container that only mean that it is on its way.
const ON_ITS_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// One workload of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Workload {
    /// `Deployment`, `StatefulSet`, `DaemonSet`, `ReplicaSet`, `Job` or `Pod`.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
    /// How many pods it is to have, or completions if it is a job.
    pub(crate) desired: u64,
    /// How many of them are of the new revision and ready.
    pub(crate) ready: u64,
    /// How it stands.
    pub(crate) state: WorkloadState,
    /// What keeps it, by what its pods and conditions say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) reasons: Vec<String>,
}

/// How a workload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WorkloadState {
    /// As it is to be.
    Ready,
    /// Getting there, perhaps.
    Progressing,
    /// The cluster has given it up.
    Failed,
    /// In the manifest but not on the cluster.
    Missing,
}

impl Workload {
    /// `Deployment/pay 1/2 (ImagePullBackOff: …)`
    pub(crate) fn sentence(&self) -> String {
        let state = match self.state {
            WorkloadState::Ready | WorkloadState::Progressing => String::new(),
            WorkloadState::Failed => ", given up".to_owned(),
            WorkloadState::Missing => ", not on the cluster".to_owned(),
        };
        let reasons = if self.reasons.is_empty() { String::new() } else { format!(" ({})", self.reasons.join("; ")) };
        format!("{}/{} {}/{}{state}{reasons}", self.kind, self.name, self.ready, self.desired)
    }
}

/// The workloads of a release as they stand, in the order of their kinds and names.
pub(crate) fn workloads(release: &Release) -> Vec<Workload> {
    let objects: Vec<&Value> = release.info.resources.iter().flatten().flat_map(|(_, objects)| objects).collect();
    let pods: Vec<&Value> = objects
        .iter()
        .filter(|object| text(object, "/kind") == "PodList")
        .filter_map(|list| list.get("items").and_then(Value::as_array))
        .flatten()
        .collect();
    let mut found: Vec<Workload> =
        objects.iter().filter_map(|object| workload(object)).map(|workload| with_reasons(workload, &pods)).collect();
    for identity in documents(&release.manifest).into_keys() {
        let is_it = |workload: &Workload| workload.kind == identity.kind && workload.name == identity.name;
        if KINDS.contains(&identity.kind.as_str()) && !found.iter().any(is_it) {
            found.push(Workload {
                kind: identity.kind,
                name: identity.name,
                desired: 1,
                ready: 0,
                state: WorkloadState::Missing,
                reasons: Vec::new(),
            });
        }
    }
    found.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
    found
}

/// How much of all is ready, 0 to 100.
pub(crate) fn percent(workloads: &[Workload]) -> u8 {
    let (ready, desired) = workloads.iter().fold((0, 0), |(ready, desired), workload| {
        (ready + workload.ready.min(workload.desired), desired + workload.desired)
    });
    (ready * 100).checked_div(desired).and_then(|percent| u8::try_from(percent).ok()).unwrap_or(100)
}

fn workload(object: &Value) -> Option<Workload> {
    let kind = text(object, "/kind");
    let standing = match kind {
        "Deployment" => deployment(object),
        "StatefulSet" => stateful_set(object),
        "DaemonSet" => daemon_set(object),
        "ReplicaSet" => replica_set(object),
        "Job" => job(object),
        "Pod" => pod(object),
        _ => return None,
    };
    let Standing { desired, ready, state, reason } = standing;
    Some(Workload {
        kind: kind.to_owned(),
        name: text(object, "/metadata/name").to_owned(),
        desired,
        ready,
        state,
        reasons: reason.into_iter().collect(),
    })
}

struct Standing {
    desired: u64,
    ready: u64,
    state: WorkloadState,
    reason: Option<String>,
}

impl Standing {
    fn new(desired: u64, ready: u64, is_ready: bool) -> Self {
        let state = if is_ready { WorkloadState::Ready } else { WorkloadState::Progressing };
        Self { desired, ready: ready.min(desired), state, reason: None }
    }

    fn failed(mut self, reason: Option<String>) -> Self {
        self.state = WorkloadState::Failed;
        self.reason = reason;
        self
    }
}

fn deployment(object: &Value) -> Standing {
    let desired = number(object, "/spec/replicas").unwrap_or(1);
    let status = |name: &str| number(object, &format!("/status/{name}")).unwrap_or(0);
    let (replicas, updated, available) = (status("replicas"), status("updatedReplicas"), status("availableReplicas"));
    // Pods of an old revision are available too; they are not what is waited for.
    let ready = available.saturating_sub(replicas.saturating_sub(updated)).min(updated);
    let seen = is_observed(object);
    let paused = object.pointer("/spec/paused").and_then(Value::as_bool).unwrap_or(false);
    let is_ready = seen && (paused || (updated == desired && replicas == updated && available >= updated));
    let standing = Standing::new(desired, if seen { ready } else { 0 }, is_ready);
    match condition(object, "Progressing") {
        Some(progressing) if seen && !is_ready && text(progressing, "/reason") == "ProgressDeadlineExceeded" => {
            standing.failed(said(progressing))
        }
        _ => standing,
    }
}

fn stateful_set(object: &Value) -> Standing {
    let desired = number(object, "/spec/replicas").unwrap_or(1);
    let status = |name: &str| number(object, &format!("/status/{name}")).unwrap_or(0);
    let (updated, ready) = (status("updatedReplicas"), status("readyReplicas"));
    let seen = is_observed(object);
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        // Its pods change when a person deletes them; there is nothing to wait for.
        return Standing::new(desired, ready, seen && ready >= desired);
    }
    let kept_back = number(object, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    let to_update = desired.saturating_sub(kept_back);
    let same_revision = text(object, "/status/currentRevision") == text(object, "/status/updateRevision");
    // `updatedReplicas` is zero on some servers once the update is through.
    let is_updated = if kept_back == 0 { same_revision } else { updated >= to_update };
    let of_new = if is_updated { ready } else { updated.min(ready) };
    Standing::new(desired, if seen { of_new } else { 0 }, seen && is_updated && ready >= desired)
}

fn daemon_set(object: &Value) -> Standing {
    let status = |name: &str| number(object, &format!("/status/{name}")).unwrap_or(0);
    let desired = status("desiredNumberScheduled");
    let (updated, ready) = (status("updatedNumberScheduled"), status("numberReady"));
    let seen = is_observed(object);
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Standing::new(desired, ready, seen && ready >= desired);
    }
    let ready = if seen { updated.min(ready) } else { 0 };
    Standing::new(desired, ready, seen && ready >= desired)
}

fn replica_set(object: &Value) -> Standing {
    let desired = number(object, "/spec/replicas").unwrap_or(1);
    let ready = number(object, "/status/readyReplicas").unwrap_or(0);
    let seen = is_observed(object);
    Standing::new(desired, if seen { ready } else { 0 }, seen && ready >= desired)
}

fn job(object: &Value) -> Standing {
    let desired = number(object, "/spec/completions").unwrap_or(1);
    let succeeded = number(object, "/status/succeeded").unwrap_or(0);
    let is = |kind: &str| condition(object, kind).filter(|condition| text(condition, "/status") == "True");
    let suspended = object.pointer("/spec/suspend").and_then(Value::as_bool).unwrap_or(false);
    let standing = Standing::new(desired, succeeded, is("Complete").is_some() || suspended);
    match is("Failed") {
        Some(failed) => standing.failed(said(failed)),
        None => standing,
    }
}

fn pod(object: &Value) -> Standing {
    let phase = text(object, "/status/phase");
    let is_ready = condition(object, "Ready").is_some_and(|ready| text(ready, "/status") == "True");
    let is_ready = phase == "Succeeded" || (phase == "Running" && is_ready);
    let standing = Standing::new(1, u64::from(is_ready), is_ready);
    if phase == "Failed" { standing.failed(None) } else { standing }
}

/// Whether the controller has seen the newest specification.
fn is_observed(object: &Value) -> bool {
    let generation = number(object, "/metadata/generation").unwrap_or(0);
    number(object, "/status/observedGeneration").unwrap_or(0) >= generation
}

fn with_reasons(mut workload: Workload, pods: &[&Value]) -> Workload {
    if workload.state == WorkloadState::Ready {
        return workload;
    }
    let told: Vec<String> = pods.iter().filter(|pod| belongs(pod, &workload)).flat_map(|pod| reasons_of(pod)).collect();
    for reason in told {
        if workload.reasons.len() < REASONS_MAX && !workload.reasons.contains(&reason) {
            workload.reasons.push(reason);
        }
    }
    workload
}

fn belongs(pod: &Value, workload: &Workload) -> bool {
    if workload.kind == "Pod" {
        return text(pod, "/metadata/name") == workload.name;
    }
    let owners = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().any(|owner| {
        let (kind, name) = (text(owner, "/kind"), text(owner, "/name"));
        // A deployment's pods belong to its replica sets, named after it with a hash.
        let replica_set_of = |deployment: &str| {
            let hash = name.strip_prefix(deployment).and_then(|rest| rest.strip_prefix('-'));
            kind == "ReplicaSet" && hash.is_some_and(|hash| !hash.is_empty() && !hash.contains('-'))
        };
        (kind == workload.kind && name == workload.name)
            || (workload.kind == "Deployment" && replica_set_of(&workload.name))
    })
}

/// Why a pod is not ready, as far as it says so.
fn reasons_of(pod: &Value) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(scheduled) = condition(pod, "PodScheduled")
        && text(scheduled, "/status") == "False"
    {
        reasons.extend(said(scheduled));
    }
    for list in ["/status/initContainerStatuses", "/status/containerStatuses"] {
        for status in pod.pointer(list).and_then(Value::as_array).into_iter().flatten() {
            if let Some(waiting) = status.pointer("/state/waiting")
                && !ON_ITS_WAY.contains(&text(waiting, "/reason"))
            {
                reasons.extend(said(waiting));
            }
            let ended = status.pointer("/state/terminated").or_else(|| status.pointer("/lastState/terminated"));
            if let Some(code) = ended.and_then(|ended| number(ended, "/exitCode")).filter(|code| *code != 0) {
                let reason = ended.map_or("", |ended| text(ended, "/reason"));
                reasons.push(
                    format!("container {} ended with code {code} {reason}", text(status, "/name")).trim().to_owned(),
                );
            }
        }
    }
    reasons
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array)?;
    conditions.iter().find(|condition| text(condition, "/type") == kind)
}

/// `reason: message`, as far as there are any.
fn said(value: &Value) -> Option<String> {
    let parts = [text(value, "/reason"), text(value, "/message")];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

#[cfg(test)]
#[path = "readiness_tests.rs"]
mod tests;
