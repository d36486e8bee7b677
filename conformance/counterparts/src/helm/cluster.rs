//! The simulated cluster: a folder which a kubeconfig names.
//!
//! `releases/NAMESPACE/NAME.json` holds a release, `settings.json` how the cluster behaves, and `effects.jsonl` what
//! was done to it, one line each, for tests that count.

use super::chart::yaml;
use super::command::Global;
use super::release::Release;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// How a cluster behaves, from its `settings.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// How long a workload takes to get ready.
    pub(crate) ready_ms: i64,
    /// How long its controller takes to see a change.
    pub(crate) observe_ms: i64,
    /// How long an operation stays pending before it does anything.
    pub(crate) apply_ms: u64,
    /// The token a kubeconfig must have.
    pub(crate) token: Option<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { ready_ms: 1_500, observe_ms: 50, apply_ms: 0, token: None }
    }
}

/// A cluster that can be reached.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    pub(crate) settings: Settings,
    /// The namespace of the call.
    pub(crate) namespace: String,
}

/// Namespaces every cluster has.
const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

impl Cluster {
    /// Finds the cluster of a call, or says in helm's words that it cannot be reached.
    pub(crate) fn reach(global: &Global) -> Result<Cluster, String> {
        let unreachable = |why: String| format!("Kubernetes cluster unreachable: {why}");
        let path = global.kubeconfig.as_deref().filter(|path| !path.as_os_str().is_empty());
        let path = path.ok_or_else(|| {
            unreachable(
                "Get \"http://localhost:8080/version\": dial tcp 127.0.0.1:8080: connect: connection refused"
                    .to_owned(),
            )
        })?;
        let text = fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => unreachable(format!("stat {}: no such file or directory", path.display())),
            _ => unreachable(format!("{}: {error}", path.display())),
        })?;
        let config = yaml(&text).map_err(|error| unreachable(format!("error loading config file: {error}")))?;
        let named = |list: &str, name: &str, inner: &str| -> Value {
            let entries = config[list].as_array().map(Vec::as_slice).unwrap_or_default();
            let entry = entries.iter().find(|entry| entry["name"] == name);
            entry.map_or(Value::Null, |entry| entry[inner].clone())
        };
        let wanted = global.kube_context.as_deref();
        let current = wanted.or(config["current-context"].as_str()).unwrap_or_default();
        let context = named("contexts", current, "context");
        if context.is_null() {
            return Err(unreachable(format!("context {current:?} does not exist")));
        }
        let cluster = named("clusters", context["cluster"].as_str().unwrap_or_default(), "cluster");
        let user = named("users", context["user"].as_str().unwrap_or_default(), "user");
        let server = cluster["server"].as_str().unwrap_or_default();
        let folder = url::Url::parse(server)
            .ok()
            .filter(|url| url.scheme() == "file")
            .and_then(|url| url.to_file_path().ok())
            .ok_or_else(|| {
                unreachable(format!("the stand-in for helm knows only clusters at file:///, not {server:?}"))
            })?;
        if !folder.is_dir() {
            return Err(unreachable(format!("{}: no such folder", folder.display())));
        }
        let settings = match fs::read_to_string(folder.join("settings.json")) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|error| unreachable(format!("settings.json of the stand-in: {error}")))?,
            Err(_) => Settings::default(),
        };
        if settings.token.is_some() && settings.token.as_deref() != user["token"].as_str() {
            let why = "the server has asked for the client to provide credentials";
            return Err(unreachable(why.to_owned()));
        }
        let namespace = global
            .namespace
            .clone()
            .or_else(|| context["namespace"].as_str().map(str::to_owned))
            .filter(|namespace| !namespace.is_empty())
            .unwrap_or_else(|| "default".to_owned());
        if !is_label(&namespace) {
            return Err(format!("invalid namespace {namespace:?}"));
        }
        Ok(Cluster { folder, settings, namespace })
    }

    pub(crate) fn has_namespace(&self) -> bool {
        NAMESPACES.contains(&self.namespace.as_str()) || self.namespace_folder().is_dir()
    }

    pub(crate) fn create_namespace(&self) -> Result<(), String> {
        let folder = self.namespace_folder();
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))
    }

    fn namespace_folder(&self) -> PathBuf {
        self.folder.join("releases").join(&self.namespace)
    }

    /// The release with a name in the call's namespace.
    pub(crate) fn load(&self, name: &str) -> Result<Option<Release>, String> {
        check_name(name)?;
        read(&self.namespace_folder().join(format!("{name}.json")))
    }

    /// All releases, of the call's namespace or of all, by namespace and name.
    pub(crate) fn all(&self, all_namespaces: bool) -> Result<Vec<Release>, String> {
        let folders =
            if all_namespaces { entries(&self.folder.join("releases")) } else { vec![self.namespace_folder()] };
        let mut releases = Vec::new();
        for file in folders.iter().flat_map(|folder| entries(folder)) {
            if file.extension().is_some_and(|extension| extension == "json") {
                releases.extend(read(&file)?);
            }
        }
        releases.sort_by(|one: &Release, other| (&one.name, &one.namespace).cmp(&(&other.name, &other.namespace)));
        Ok(releases)
    }

    /// Changes a release under the cluster's lock; nothing is written when `change` fails. With `effect`, a line
    /// about it is added to the cluster's effects.
    pub(crate) fn change<T>(
        &self,
        name: &str,
        effect: Option<&str>,
        change: impl FnOnce(&mut Option<Release>) -> Result<T, String>,
    ) -> Result<T, String> {
        let failed = |error: std::io::Error| format!("the stand-in cannot write its cluster: {error}");
        let lock = File::create(self.folder.join("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut release = self.load(name)?;
        let done = change(&mut release)?;
        fs::create_dir_all(self.namespace_folder()).map_err(failed)?;
        let path = self.namespace_folder().join(format!("{name}.json"));
        match &release {
            Some(release) => {
                let text = serde_json::to_vec_pretty(release).map_err(|error| error.to_string())?;
                let temporary = path.with_extension("json.new");
                let mut file = File::create(&temporary).map_err(failed)?;
                file.write_all(&text).map_err(failed)?;
                file.sync_all().map_err(failed)?;
                fs::rename(&temporary, &path).map_err(failed)?;
            }
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            },
        }
        if let Some(kind) = effect {
            let last = release.as_ref().and_then(Release::last);
            self.record(&json!({
                "at": jiff::Timestamp::now().to_string(),
                "kind": kind,
                "target": format!("{}/{name}", self.namespace),
                "revision": last.map(|it| it.revision),
                "chart": last.map(|it| it.chart.full_name()),
            }))
            .map_err(failed)?;
        }
        Ok(done)
    }

    fn record(&self, effect: &Value) -> std::io::Result<()> {
        let path = self.folder.join("effects.jsonl");
        fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(format!("{effect}\n").as_bytes())
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn read(path: &Path) -> Result<Option<Release>, String> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| format!("the stand-in's {} is damaged: {error}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Refuses names which helm refuses; what is left is also safe as a file's name.
fn check_name(name: &str) -> Result<(), String> {
    if name.len() <= 53 && name.split('.').all(is_label) {
        return Ok(());
    }
    Err("invalid release name, must match regex \
         ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$ \
         and the length must not be longer than 53"
        .to_owned())
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-')
}
