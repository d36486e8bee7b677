//! Charts in a folder: metadata, default values, templates, and what they render to.

use super::command::Values;
use super::overrides::{Reading, overlay, set, set_json};
use super::release::{ChartMetadata, Hook};
use super::template::render;
use base64::Engine;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A chart read from its folder.
pub(crate) struct Chart {
    pub(crate) metadata: ChartMetadata,
    /// All of `Chart.yaml`.
    raw: Value,
    pub(crate) values: Value,
    /// Path below the chart and text, by path.
    templates: Vec<(String, String)>,
}

/// What a chart renders to.
pub(crate) struct Rendered {
    pub(crate) manifest: String,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) notes: String,
}

/// For whom a chart is rendered.
pub(crate) struct For<'a> {
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) revision: u64,
    pub(crate) upgrade: bool,
}

/// The order in which helm installs kinds, as far as they are common.
const KINDS: &[&str] = &[
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
];

impl Chart {
    /// Reads a chart.
    pub(crate) fn load(folder: &Path) -> Result<Chart, String> {
        if !folder.is_dir() {
            return Err(format!("path {:?} not found", folder.display().to_string()));
        }
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        let raw = yaml(&read("Chart.yaml").map_err(|_| "Chart.yaml file is missing".to_owned())?)
            .map_err(|error| format!("cannot load Chart.yaml: {error}"))?;
        let field = |name: &str| match &raw[name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let metadata = ChartMetadata {
            name: field("name"),
            version: field("version"),
            app_version: field("appVersion"),
            description: field("description"),
        };
        for (name, value) in [("name", &metadata.name), ("version", &metadata.version)] {
            if value.is_empty() {
                return Err(format!("validation: chart.metadata.{name} is required"));
            }
        }
        let values = if folder.join("values.yaml").exists() {
            let values = yaml(&read("values.yaml")?).map_err(|error| format!("cannot load values.yaml: {error}"))?;
            if values.is_null() { json!({}) } else { values }
        } else {
            json!({})
        };
        let mut paths = Vec::new();
        find_files(&folder.join("templates"), &mut paths)?;
        let mut templates = Vec::new();
        for path in paths {
            let below = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).map_err(|error| format!("{below}: {error}"))?;
            templates.push((below, text));
        }
        templates.sort();
        Ok(Chart { metadata, raw, values, templates })
    }

    /// The chart's values under those a user supplied.
    pub(crate) fn computed(&self, config: &Value) -> Value {
        let mut computed = self.values.clone();
        if config.is_object() {
            overlay(&mut computed, config);
        }
        computed
    }

    /// Renders all templates.
    pub(crate) fn render(&self, config: &Value, whom: &For<'_>) -> Result<Rendered, String> {
        let root = json!({
            "Values": self.computed(config),
            "Release": {
                "Name": whom.name,
                "Namespace": whom.namespace,
                "Service": "Helm",
                "Revision": whom.revision,
                "IsInstall": !whom.upgrade,
                "IsUpgrade": whom.upgrade,
            },
            "Chart": {
                "Name": self.metadata.name,
                "Version": self.metadata.version,
                "AppVersion": self.metadata.app_version,
                "Description": self.metadata.description,
            },
        });
        let mut notes = String::new();
        let mut documents = Vec::new();
        let mut hooks = Vec::new();
        for (path, text) in &self.templates {
            let file = path.rsplit('/').next().unwrap_or(path);
            let source = format!("{}/{path}", self.metadata.name);
            if file.starts_with('_') {
                continue;
            }
            let rendered = render(&source, text, &root)?;
            if file == "NOTES.txt" {
                notes = rendered;
                continue;
            }
            if !(file.ends_with(".yaml") || file.ends_with(".yml")) {
                continue;
            }
            for document in documents_of(&rendered) {
                let object = yaml(&document).map_err(|error| format!("YAML parse error on {source}: {error}"))?;
                let kind = object["kind"].as_str().unwrap_or_default().to_owned();
                if kind.is_empty() {
                    continue;
                }
                let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                match object["metadata"]["annotations"]["helm.sh/hook"].as_str() {
                    Some(events) => hooks.push(Hook {
                        name,
                        kind,
                        path: source.clone(),
                        manifest: document,
                        events: events.split(',').map(|it| it.trim().to_owned()).collect(),
                        started_at: String::new(),
                        completed_at: String::new(),
                        phase: String::new(),
                    }),
                    None => {
                        let order = KINDS.iter().position(|it| *it == kind).unwrap_or(KINDS.len());
                        documents.push((order, source.clone(), document));
                    }
                }
            }
        }
        documents.sort_by_key(|(order, _, _)| *order);
        let manifest =
            documents.iter().map(|(_, source, document)| format!("---\n# Source: {source}\n{document}\n")).collect();
        Ok(Rendered { manifest, hooks, notes })
    }

    /// The chart as `install -o json` shows it.
    pub(crate) fn to_json(&self) -> Value {
        let templates: Vec<Value> = self
            .templates
            .iter()
            .map(|(name, text)| {
                let data = base64::engine::general_purpose::STANDARD.encode(text);
                json!({ "name": name, "data": data })
            })
            .collect();
        json!({
            "metadata": self.raw,
            "lock": null,
            "templates": templates,
            "values": self.values,
            "schema": null,
            "files": null,
        })
    }
}

impl Values {
    /// The values a user supplies: files first, then JSON, typed and text settings, each over those before.
    pub(crate) fn read(&self) -> Result<Value, String> {
        let mut values = json!({});
        for path in &self.files {
            let text = if path.as_os_str() == "-" {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).map(|_| text)
            } else {
                fs::read_to_string(path)
            };
            let text = text.map_err(|_| format!("open {}: no such file or directory", path.display()))?;
            let over = yaml(&text).map_err(|error| format!("failed to parse {}: {error}", path.display()))?;
            match over {
                Value::Null => {}
                Value::Object(_) => overlay(&mut values, &over),
                _ => return Err(format!("failed to parse {}: not a map", path.display())),
            }
        }
        for text in &self.set_json {
            set_json(&mut values, text)?;
        }
        for text in &self.set {
            set(&mut values, text, Reading::Typed)?;
        }
        for text in &self.set_string {
            set(&mut values, text, Reading::Text)?;
        }
        Ok(values)
    }
}

/// Reads one YAML document.
pub(crate) fn yaml(text: &str) -> Result<Value, String> {
    let bare = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if bare {
        return Ok(Value::Null);
    }
    serde_saphyr::from_str::<Value>(text).map_err(|error| error.to_string())
}

/// The objects of a manifest.
pub(crate) fn objects(manifest: &str) -> Vec<Map<String, Value>> {
    documents_of(manifest)
        .iter()
        .filter_map(|document| match yaml(document) {
            Ok(Value::Object(object)) => Some(object),
            _ => None,
        })
        .collect()
}

/// Cuts at lines of three dashes.
fn documents_of(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" {
            documents.push(String::new());
        } else if let Some(document) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    documents
        .into_iter()
        .map(|document| document.trim_matches('\n').to_owned())
        .filter(|document| !document.trim().is_empty())
        .collect()
}

fn find_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), String> {
    if !folder.is_dir() {
        return Ok(());
    }
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            find_files(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}
