//! What is in the simulated cluster of a release, and how far it is.
//!
//! A workload gets ready some time after it was rolled out. One whose image tag ends in `bad` never does; while it
//! fails to, the pods of the roll-out before it go on, as with a rolling update.

use super::cluster::Settings;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The objects of a release which are in the cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Live {
    pub(crate) objects: Vec<LiveObject>,
}

/// An object in the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LiveObject {
    pub(crate) object: Map<String, Value>,
    pub(crate) uid: String,
    pub(crate) generation: u64,
    pub(crate) created_ms: i64,
    /// When what it runs was last changed.
    pub(crate) changed_ms: i64,
    /// How many pods were ready then; they stay until the new ones are.
    pub(crate) ready_before: u64,
}

/// How far a workload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) wanted: u64,
    pub(crate) replicas: u64,
    pub(crate) updated: u64,
    pub(crate) ready: u64,
    /// The generation its controller has seen.
    pub(crate) observed: u64,
}

impl Progress {
    pub(crate) fn is_complete(&self, generation: u64) -> bool {
        self.observed == generation
            && self.updated == self.wanted
            && self.ready == self.wanted
            && self.replicas == self.wanted
    }
}

impl Live {
    /// Makes the cluster hold these objects and no others of the release.
    pub(crate) fn apply(&mut self, objects: Vec<Map<String, Value>>, now_ms: i64, settings: &Settings) {
        let mut before = std::mem::take(&mut self.objects);
        for object in objects {
            let same = before.iter().position(|it| it.identity() == identity(&object));
            self.objects.push(match same {
                None => LiveObject {
                    object,
                    uid: uid(),
                    generation: 1,
                    created_ms: now_ms,
                    changed_ms: now_ms,
                    ready_before: 0,
                },
                Some(at) => before.swap_remove(at).changed_to(object, now_ms, settings),
            });
        }
    }

    /// Whether everything is ready.
    pub(crate) fn is_ready(&self, now_ms: i64, settings: &Settings) -> bool {
        self.objects.iter().all(|it| it.is_ready(now_ms, settings))
    }
}

impl LiveObject {
    fn changed_to(mut self, object: Map<String, Value>, now_ms: i64, settings: &Settings) -> LiveObject {
        if self.object.get("spec") != object.get("spec") {
            self.ready_before = self.progress(now_ms, settings).map_or(0, |it| it.ready);
            self.generation += 1;
            self.changed_ms = now_ms;
        }
        self.object = object;
        self
    }

    fn identity(&self) -> (&str, &str, &str) {
        identity(&self.object)
    }

    pub(crate) fn kind(&self) -> &str {
        text(&self.object, "kind")
    }

    pub(crate) fn name(&self) -> &str {
        self.object.get("metadata").and_then(|it| it["name"].as_str()).unwrap_or_default()
    }

    /// The template of its pods; a bare pod is its own.
    pub(crate) fn pod(&self) -> Option<&Value> {
        let spec = self.object.get("spec")?;
        match self.kind() {
            "Deployment" | "StatefulSet" | "ReplicaSet" | "DaemonSet" => Some(&spec["template"]["spec"]),
            "Pod" => Some(spec),
            _ => None,
        }
    }

    /// Whether its image never gets ready.
    pub(super) fn is_bad(&self) -> bool {
        self.pod().is_some_and(never_ready)
    }

    pub(crate) fn wanted(&self) -> u64 {
        match self.kind() {
            "Deployment" | "StatefulSet" | "ReplicaSet" => {
                self.object.get("spec").and_then(|spec| spec["replicas"].as_u64()).unwrap_or(1)
            }
            _ => 1,
        }
    }

    /// How far it is; none for what has no pods.
    pub(crate) fn progress(&self, now_ms: i64, settings: &Settings) -> Option<Progress> {
        self.pod()?;
        let wanted = self.wanted();
        let age_ms = now_ms.saturating_sub(self.changed_ms);
        let before = self.ready_before;
        // Until its controller has seen the change, everything is as it was.
        if age_ms < settings.observe_ms {
            return Some(Progress {
                wanted,
                replicas: before,
                updated: before,
                ready: before,
                observed: self.generation - 1,
            });
        }
        let done = age_ms >= settings.ready_ms && !self.is_bad();
        Some(if done {
            Progress { wanted, replicas: wanted, updated: wanted, ready: wanted, observed: self.generation }
        } else if before > 0 {
            Progress { wanted, replicas: before + 1, updated: 1, ready: before, observed: self.generation }
        } else {
            Progress { wanted, replicas: wanted, updated: wanted, ready: 0, observed: self.generation }
        })
    }

    pub(crate) fn is_ready(&self, now_ms: i64, settings: &Settings) -> bool {
        self.progress(now_ms, settings).is_none_or(|it| it.is_complete(self.generation))
    }
}

/// Whether a pod with this specification never gets ready.
pub(crate) fn never_ready(pod: &Value) -> bool {
    let containers = pod["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    containers.iter().any(|container| {
        let image = container["image"].as_str().unwrap_or_default();
        let last = image.rsplit('/').next().unwrap_or_default();
        last.rsplit_once(':').is_some_and(|(_, tag)| tag.ends_with("bad"))
    })
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn identity(object: &Map<String, Value>) -> (&str, &str, &str) {
    let name = object.get("metadata").and_then(|it| it["name"].as_str()).unwrap_or_default();
    (text(object, "apiVersion"), text(object, "kind"), name)
}

/// An identifier as Kubernetes gives one.
pub(crate) fn uid() -> String {
    let bytes = hex::encode(rand::random::<[u8; 16]>());
    format!("{}-{}-4{}-a{}-{}", &bytes[..8], &bytes[8..12], &bytes[13..16], &bytes[17..20], &bytes[20..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(image: &str) -> Vec<Map<String, Value>> {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" },
            "spec": { "replicas": 2, "template": { "spec": { "containers": [{ "image": image }] } } },
        });
        object.as_object().cloned().into_iter().collect()
    }

    #[test]
    fn a_bad_image_keeps_the_pods_of_before() {
        let settings = Settings { ready_ms: 1_000, observe_ms: 100, ..Settings::default() };
        let mut live = Live::default();
        live.apply(deployment("registry:5000/a:1"), 0, &settings);
        assert!(!live.is_ready(999, &settings));
        assert!(live.is_ready(1_000, &settings));
        live.apply(deployment("registry:5000/a:1"), 2_000, &settings);
        assert!(live.is_ready(2_000, &settings), "nothing changed");
        live.apply(deployment("a:2-bad"), 3_000, &settings);
        let progress = |live: &Live, at| live.objects[0].progress(at, &settings);
        let seen = progress(&live, 3_050);
        assert_eq!(seen.map(|it| (it.observed, it.ready)), Some((1, 2)), "not yet seen");
        let later = progress(&live, 1_000_000);
        assert_eq!(later.map(|it| (it.observed, it.ready, it.updated, it.replicas)), Some((2, 2, 1, 3)));
        live.apply(deployment("registry:5000/a:1"), 2_000_000, &settings);
        assert!(live.is_ready(2_001_000, &settings));
        live.apply(Vec::new(), 3_000_000, &settings);
        assert_eq!(live.objects, []);
    }
}
