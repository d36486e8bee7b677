//! Recorded attempts: what steps of a release asked for, and got, where somebody wanted that kept.
//!
//! A file beside the release's log, one call a line, and like it for people and not the truth about a release: it is
//! written without syncs, a line that is cut off is passed over, and it is removed with the release.
//!
//! **Invariant:** the sandbox has removed credentials, and the topics of callbacks, before anything gets here.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_model::name::{ActionName, ReleaseId, StepName};
use windlass_sandbox::Plugin;
use windlass_sandbox::cassette::{CASSETTE_VERSION, Cassette, RecordedCall};

use crate::runtime::{Inner, Runtime, RuntimeError};

/// How many attempts of a component are given at once, the newest ones.
pub const ATTEMPTS_MAX: usize = 200;

/// A call, with what its attempt is of.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    plugin: String,
    component: String,
    action: String,
    #[serde(flatten)]
    call: RecordedCall,
}

/// Where the recordings of a release are.
pub(crate) fn file(logs: &Path, release: &ReleaseId) -> PathBuf {
    logs.join(format!("{release}.recorded"))
}

impl Inner {
    /// Keeps a call. One that cannot be written is lost, and the step goes on.
    pub(crate) async fn keep_recording(
        &self,
        release: &ReleaseId,
        step: &StepName,
        plugin: &Arc<Plugin>,
        action: &ActionName,
        call: RecordedCall,
    ) {
        let manifest = plugin.manifest();
        let line = Line {
            plugin: format!("{}@{}", manifest.name, manifest.version),
            component: plugin.digest().to_string(),
            action: action.to_string(),
            call,
        };
        let path = file(&self.state.logs(), release);
        let written = tokio::task::spawn_blocking(move || append(&path, &line)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::warn!(%release, %step, %error, "a recording of a step was lost");
        }
    }
}

fn append(path: &Path, line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line).map_err(io::Error::other)?;
    bytes.push(b'\n');
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?.write_all(&bytes)
}

fn read(path: &Path) -> io::Result<Vec<Line>> {
    match File::open(path) {
        Ok(file) => {
            let lines = BufReader::new(file).lines().map_while(Result::ok);
            Ok(lines.filter_map(|it| serde_json::from_str(&it).ok()).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The attempts of which these are the calls, in the order in which they began.
fn attempts(lines: Vec<Line>) -> Vec<Cassette> {
    let mut all: Vec<Cassette> = Vec::new();
    for Line { plugin, component, action, call } in lines {
        let made = &call.call;
        let is_same = |it: &&mut Cassette| {
            (&it.step, &it.operation, it.attempt) == (&made.step, &made.operation, made.attempt)
                && it.component == component
        };
        match all.iter_mut().rev().find(is_same) {
            Some(known) => known.calls.push(call),
            None => all.push(Cassette {
                cassette: CASSETTE_VERSION,
                plugin,
                component,
                action,
                release: made.release.clone(),
                step: made.step.clone(),
                operation: made.operation.clone(),
                attempt: made.attempt,
                calls: vec![call],
            }),
        }
    }
    all
}

impl Runtime {
    /// The recorded attempts of a release.
    pub fn recorded(&self, release: &ReleaseId) -> Result<Vec<Cassette>, RuntimeError> {
        let path = file(&self.inner.state.logs(), release);
        let unreadable = |error: io::Error| RuntimeError::Recordings(format!("{}: {error}", path.display()));
        read(&path).map(attempts).map_err(unreadable)
    }

    /// The recorded attempts of a component, the newest last, and whether there are more.
    pub fn recorded_of(&self, component: &str) -> Result<(Vec<Cassette>, bool), RuntimeError> {
        let mut releases = self.store().outlines()?;
        releases.sort_by_key(|it| std::cmp::Reverse(it.created_at));
        let mut all = Vec::new();
        for outline in releases {
            let mut found = self.recorded(&outline.release)?;
            found.retain(|it| it.component == component);
            all.extend(found.into_iter().rev());
            if all.len() > ATTEMPTS_MAX {
                break;
            }
        }
        let more = all.len() > ATTEMPTS_MAX;
        all.truncate(ATTEMPTS_MAX);
        all.reverse();
        Ok((all, more))
    }
}

/// Recordings that stand in for the systems they are of.
#[derive(Debug, Default, Clone)]
pub struct Library {
    /// All that was recorded of an action, by `plugin/action`.
    actions: BTreeMap<String, Arc<RecordedCall>>,
    cassettes: usize,
}

impl Library {
    /// Reads all cassettes (`*.json`) of a folder. One that is none is an error that names it.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let unreadable = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|it| it.path()).collect();
        files.retain(|it| it.extension().is_some_and(|it| it == "json"));
        files.sort();
        let mut library = Self::default();
        for file in files {
            let text = std::fs::read(&file).map_err(|error| unreadable(&file, &error))?;
            let cassette = Cassette::parse(&text).map_err(|error| unreadable(&file, &error))?;
            library.add(cassette);
        }
        if library.cassettes == 0 {
            return Err(format!(
                "{} holds no cassettes (`*.json`, as `windlass plugin test --from-release` writes them)",
                folder.display()
            ));
        }
        Ok(library)
    }

    /// How many cassettes there are.
    pub fn cassettes(&self) -> usize {
        self.cassettes
    }

    fn add(&mut self, cassette: Cassette) {
        self.cassettes += 1;
        let plugin = cassette.plugin.split('@').next().unwrap_or_default();
        let key = format!("{plugin}/{}", cassette.action);
        for call in cassette.calls {
            match self.actions.get_mut(&key) {
                Some(known) => Arc::make_mut(known).exchanges.extend(call.exchanges),
                None => drop(self.actions.insert(key.clone(), Arc::new(call))),
            }
        }
    }

    /// What stands in for the systems that an action talks to; nothing of it is recorded where there is no cassette.
    pub(crate) fn of(&self, plugin: &Plugin, action: &ActionName) -> Arc<RecordedCall> {
        let key = format!("{}/{action}", plugin.manifest().name);
        self.actions.get(&key).cloned().unwrap_or_else(|| Arc::new(RecordedCall::nothing()))
    }
}
