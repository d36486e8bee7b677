//! The resources of a release as `helm status --show-resources` shows them: `info.resources`, a map from
//! `version/Kind` to objects with their status, and the pods under `v1/Pod(related)`.

use super::cluster::Settings;
use super::release::Release;
use super::workload::{LiveObject, Progress};
use crate::effect::rfc3339;
use serde_json::{Map, Value, json};

/// The most pods of a workload that are shown.
const PODS_MAX: usize = 100;

/// The map `info.resources`.
pub(crate) fn resources(release: &Release, now_ms: i64, settings: &Settings) -> Value {
    let mut by_kind: Map<String, Value> = Map::new();
    let mut pods = Vec::new();
    for live in &release.live.objects {
        push(&mut by_kind, &kind_key(&live.object), shown(release, live, now_ms, settings));
        if live.kind() != "Pod" {
            pods.extend(pods_of(release, live, now_ms, settings));
        }
    }
    if !pods.is_empty() {
        let list = json!({
            "apiVersion": "v1",
            "items": pods,
            "kind": "PodList",
            "metadata": { "resourceVersion": now_ms.to_string() },
        });
        push(&mut by_kind, "v1/Pod(related)", list);
    }
    Value::Object(by_kind)
}

/// The same for people.
pub(crate) fn table(release: &Release, now_ms: i64, settings: &Settings) -> String {
    let mut text = String::from("RESOURCES:\n");
    for live in &release.live.objects {
        let ready = match live.progress(now_ms, settings) {
            Some(it) => format!("   {}/{} ready, {} updated", it.ready, it.wanted, it.updated),
            None => String::new(),
        };
        text.push_str(&format!("==> {}\n{}{ready}\n\n", kind_key(&live.object), live.name()));
    }
    text
}

/// `v1/Deployment`: the version without its group, and the kind.
fn kind_key(object: &Map<String, Value>) -> String {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let version = text("apiVersion").rsplit('/').next().unwrap_or_default();
    format!("{version}/{}", text("kind"))
}

fn push(by_kind: &mut Map<String, Value>, key: &str, object: Value) {
    let list = by_kind.entry(key.to_owned()).or_insert_with(|| json!([]));
    if let Value::Array(list) = list {
        list.push(object);
    }
}

fn shown(release: &Release, live: &LiveObject, now_ms: i64, settings: &Settings) -> Value {
    let mut object = Value::Object(live.object.clone());
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = json!({});
    }
    for map in ["annotations", "labels"] {
        if !metadata[map].is_object() {
            metadata[map] = json!({});
        }
    }
    metadata["annotations"]["meta.helm.sh/release-name"] = json!(release.name);
    metadata["annotations"]["meta.helm.sh/release-namespace"] = json!(release.namespace);
    metadata["labels"]["app.kubernetes.io/managed-by"] = json!("Helm");
    metadata["creationTimestamp"] = json!(seconds(live.created_ms));
    let progress = live.progress(now_ms, settings);
    if progress.is_some() && live.kind() != "Pod" {
        metadata["generation"] = json!(live.generation);
    }
    metadata["uid"] = json!(live.uid);
    if metadata["namespace"].is_null() {
        metadata["namespace"] = json!(release.namespace);
    }
    if let Some(progress) = progress {
        object["status"] = match live.kind() {
            "Pod" => pod_status(live, progress.ready > 0),
            "DaemonSet" => json!({
                "currentNumberScheduled": 1,
                "desiredNumberScheduled": 1,
                "numberAvailable": progress.ready,
                "numberReady": progress.ready,
                "observedGeneration": progress.observed,
                "updatedNumberScheduled": progress.updated,
            }),
            kind => replicas_status(kind, live, &progress),
        };
    } else if live.kind() == "Service" {
        object["status"] = json!({ "loadBalancer": {} });
    }
    object
}

/// The status of a Deployment or StatefulSet. As in Kubernetes, a count of nothing is left out.
fn replicas_status(kind: &str, live: &LiveObject, progress: &Progress) -> Value {
    let mut status = Map::new();
    if progress.observed == 0 {
        return Value::Object(status);
    }
    let complete = progress.is_complete(live.generation);
    // A quarter may be missing, rounded down: the default `maxUnavailable`.
    let enough = progress.ready >= progress.wanted - progress.wanted / 4;
    let ready_key = if kind == "StatefulSet" { "currentReplicas" } else { "availableReplicas" };
    for (name, count) in [
        (ready_key, progress.ready),
        ("readyReplicas", progress.ready),
        ("replicas", progress.replicas),
        ("unavailableReplicas", progress.replicas - progress.ready),
        ("updatedReplicas", progress.updated),
    ] {
        if count > 0 && !(kind == "StatefulSet" && name == "unavailableReplicas") {
            status.insert(name.to_owned(), json!(count));
        }
    }
    status.insert("observedGeneration".to_owned(), json!(progress.observed));
    if kind == "Deployment" {
        let at = seconds(live.changed_ms);
        let condition = |kind: &str, status: bool, reason: &str, message: String| {
            json!({
                "lastTransitionTime": at,
                "lastUpdateTime": at,
                "message": message,
                "reason": reason,
                "status": if status { "True" } else { "False" },
                "type": kind,
            })
        };
        let available = if enough {
            condition("Available", true, "MinimumReplicasAvailable", "Deployment has minimum availability.".to_owned())
        } else {
            condition(
                "Available",
                false,
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.".to_owned(),
            )
        };
        let set = replica_set(live);
        let progressing = if complete {
            condition(
                "Progressing",
                true,
                "NewReplicaSetAvailable",
                format!("ReplicaSet \"{set}\" has successfully progressed."),
            )
        } else {
            condition("Progressing", true, "ReplicaSetUpdated", format!("ReplicaSet \"{set}\" is progressing."))
        };
        status.insert("conditions".to_owned(), json!([available, progressing]));
    }
    Value::Object(status)
}

fn replica_set(live: &LiveObject) -> String {
    format!("{}-{}{:04}", live.name(), live.uid.get(..6).unwrap_or_default(), live.generation)
}

/// The pods a workload has: those of the roll-out, and those of the one before while they are needed.
fn pods_of(release: &Release, live: &LiveObject, now_ms: i64, settings: &Settings) -> Vec<Value> {
    let Some(progress) = live.progress(now_ms, settings) else { return Vec::new() };
    let complete = progress.is_complete(live.generation);
    (0..progress.replicas)
        .take(PODS_MAX)
        .map(|index| {
            let new = complete || index >= progress.replicas - progress.updated;
            let ready = complete || !new || progress.observed < live.generation;
            let age = if new { "new" } else { "old" };
            json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": format!("{}-{age}{index}", replica_set(live)),
                    "namespace": release.namespace,
                    "creationTimestamp": seconds(live.changed_ms),
                    "labels": live.object["spec"]["template"]["metadata"]["labels"],
                    "ownerReferences": [owner(live)],
                },
                "spec": live.pod(),
                "status": pod_status(live, ready),
            })
        })
        .collect()
}

/// What a pod belongs to: a deployment's to its replica set, another workload's to itself.
fn owner(live: &LiveObject) -> Value {
    let (kind, name) = match live.kind() {
        "Deployment" => ("ReplicaSet", replica_set(live)),
        kind => (kind, live.name().to_owned()),
    };
    let version = live.object.get("apiVersion").cloned().unwrap_or_default();
    json!({
        "apiVersion": version, "blockOwnerDeletion": true, "controller": true, "kind": kind, "name": name, "uid": live.uid,
    })
}

fn pod_status(live: &LiveObject, ready: bool) -> Value {
    let at = seconds(live.changed_ms);
    let containers = live.pod().map(|pod| pod["containers"].clone()).unwrap_or_default();
    let statuses: Vec<Value> = containers
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(|container| {
            let state = if ready {
                json!({ "running": { "startedAt": at } })
            } else if !live.is_bad() {
                json!({ "waiting": { "reason": "ContainerCreating" } })
            } else {
                json!({ "waiting": {
                    "message": "Back-off pulling image (simulated)",
                    "reason": "ImagePullBackOff",
                } })
            };
            json!({
                "image": container["image"],
                "imageID": "",
                "name": container["name"],
                "ready": ready,
                "restartCount": 0,
                "started": ready,
                "state": state,
            })
        })
        .collect();
    let truth = if ready { "True" } else { "False" };
    json!({
        "phase": if ready { "Running" } else { "Pending" },
        "conditions": [
            { "type": "Ready", "status": truth, "lastTransitionTime": at },
            { "type": "ContainersReady", "status": truth, "lastTransitionTime": at },
        ],
        "containerStatuses": statuses,
    })
}

/// A time as Kubernetes writes it: to the second.
fn seconds(at_ms: i64) -> String {
    rfc3339(at_ms.div_euclid(1_000) * 1_000)
}
