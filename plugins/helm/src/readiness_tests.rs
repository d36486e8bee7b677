//! Readiness of workloads, case by case. The whole answers of a real cluster are in `tests/recorded`.

use super::*;
use serde_json::json;

fn standing(object: Value) -> (u64, u64, WorkloadState) {
    let workload = workload(&object).expect("a workload");
    (workload.ready, workload.desired, workload.state)
}

#[test]
fn deployments_are_ready_when_only_the_new_revision_is_left() {
    use WorkloadState::{Failed, Progressing, Ready};
    let deployment = |generation: u64, status: Value| {
        json!({ "kind": "Deployment", "metadata": { "name": "pay", "generation": generation }, "spec": { "replicas": 2 },
            "status": status })
    };
    let gave_up = json!([{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" }]);
    for (generation, status, expected) in [
        (1, json!({}), (0, 2, Progressing)),
        (
            1,
            json!({ "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 }),
            (2, 2, Ready),
        ),
        (
            2,
            json!({ "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 }),
            (0, 2, Progressing),
        ),
        (
            2,
            json!({ "observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "availableReplicas": 2 }),
            (0, 2, Progressing),
        ),
        (
            2,
            json!({ "observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3 }),
            (2, 2, Progressing),
        ),
        (
            2,
            json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1 }),
            (1, 2, Progressing),
        ),
        (
            2,
            json!({ "observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "availableReplicas": 2, "conditions": gave_up }),
            (0, 2, Failed),
        ),
    ] {
        assert_eq!(standing(deployment(generation, status.clone())), expected, "{status}");
    }
    let none_wanted = json!({ "kind": "Deployment", "metadata": { "generation": 1 }, "spec": { "replicas": 0 },
        "status": { "observedGeneration": 1 } });
    assert_eq!(standing(none_wanted), (0, 0, Ready));
}

#[test]
fn stateful_sets_follow_their_partition() {
    use WorkloadState::{Progressing, Ready};
    let set = |strategy: Value, status: Value| {
        json!({ "kind": "StatefulSet", "metadata": { "name": "db", "generation": 3 },
            "spec": { "replicas": 3, "updateStrategy": strategy }, "status": status })
    };
    let rolling = json!({ "type": "RollingUpdate" });
    let partitioned = json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } });
    for (strategy, status, expected) in [
        (
            &rolling,
            json!({ "observedGeneration": 3, "readyReplicas": 3, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b" }),
            (1, 3, Progressing),
        ),
        (
            &rolling,
            json!({ "observedGeneration": 3, "readyReplicas": 3, "updatedReplicas": 3, "currentRevision": "b", "updateRevision": "b" }),
            (3, 3, Ready),
        ),
        (
            &rolling,
            json!({ "observedGeneration": 2, "readyReplicas": 3, "currentRevision": "a", "updateRevision": "a" }),
            (0, 3, Progressing),
        ),
        (
            &partitioned,
            json!({ "observedGeneration": 3, "readyReplicas": 3, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b" }),
            (3, 3, Ready),
        ),
        (&json!({ "type": "OnDelete" }), json!({ "observedGeneration": 3, "readyReplicas": 3 }), (3, 3, Ready)),
    ] {
        assert_eq!(standing(set(strategy.clone(), status.clone())), expected, "{strategy} {status}");
    }
}

#[test]
fn the_other_kinds_have_their_own_words() {
    use WorkloadState::{Failed, Progressing, Ready};
    for (object, expected) in [
        (
            json!({ "kind": "DaemonSet", "metadata": { "generation": 1 }, "status": { "observedGeneration": 1,
            "desiredNumberScheduled": 4, "updatedNumberScheduled": 4, "numberReady": 3 } }),
            (3, 4, Progressing),
        ),
        (
            json!({ "kind": "DaemonSet", "metadata": { "generation": 1 }, "status": { "observedGeneration": 1,
            "desiredNumberScheduled": 4, "updatedNumberScheduled": 4, "numberReady": 4 } }),
            (4, 4, Ready),
        ),
        (
            json!({ "kind": "ReplicaSet", "metadata": { "generation": 1 }, "spec": { "replicas": 1 },
            "status": { "observedGeneration": 1, "readyReplicas": 1 } }),
            (1, 1, Ready),
        ),
        (json!({ "kind": "Job", "spec": { "completions": 2 }, "status": { "succeeded": 1 } }), (1, 2, Progressing)),
        (
            json!({ "kind": "Job", "spec": {}, "status": { "succeeded": 1, "conditions": [{ "type": "Complete", "status": "True" }] } }),
            (1, 1, Ready),
        ),
        (
            json!({ "kind": "Job", "spec": {}, "status": { "failed": 1, "conditions": [{ "type": "Failed", "status": "True" }] } }),
            (0, 1, Failed),
        ),
        (json!({ "kind": "Pod", "status": { "phase": "Succeeded" } }), (1, 1, Ready)),
        (json!({ "kind": "Pod", "status": { "phase": "Running" } }), (0, 1, Progressing)),
        (json!({ "kind": "Pod", "status": { "phase": "Failed" } }), (0, 1, Failed)),
    ] {
        assert_eq!(standing(object.clone()), expected, "{object}");
    }
    assert!(workload(&json!({ "kind": "Service" })).is_none());
}

fn release(manifest: &str, resources: Value) -> Release {
    serde_json::from_value(json!({ "version": 1, "manifest": manifest,
        "info": { "status": "deployed", "resources": resources } }))
    .expect("a release")
}

#[test]
fn pods_say_why_and_only_for_their_own_workload() {
    let pod = |owner: &str, state: Value| {
        json!({ "metadata": { "ownerReferences": [{ "kind": "ReplicaSet", "name": owner }] },
            "status": { "containerStatuses": [{ "name": "app", "state": state }] } })
    };
    let pulling = json!({ "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } });
    let crashed = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
    let creating = json!({ "waiting": { "reason": "ContainerCreating" } });
    let resources = json!({
        "v1/Deployment": [{ "kind": "Deployment", "metadata": { "name": "pay" }, "spec": { "replicas": 1 } }],
        "v1/Pod(related)": [{ "kind": "PodList", "items": [
            pod("pay-abc", pulling.clone()), pod("pay-abc", pulling), pod("pay-abc", creating),
            pod("pay-worker-def", crashed.clone()), pod("other-abc", crashed),
        ] }],
    });
    let workloads = workloads(&release("", resources));
    assert_eq!(workloads.len(), 1);
    assert_eq!(workloads[0].sentence(), "Deployment/pay 0/1 (ImagePullBackOff: no such image)");
}

#[test]
fn what_the_manifest_names_and_the_cluster_has_not_is_missing() {
    let manifest = "kind: Deployment\nmetadata: {name: pay}\n---\nkind: Service\nmetadata: {name: pay}\n";
    let workloads = workloads(&release(manifest, json!({ "v1/Service": [{ "kind": "Service" }] })));
    let sentences: Vec<String> = workloads.iter().map(Workload::sentence).collect();
    assert_eq!(sentences, ["Deployment/pay 0/1, not on the cluster"]);
    assert_eq!(percent(&workloads), 0);
    assert_eq!(percent(&[]), 100);
}
