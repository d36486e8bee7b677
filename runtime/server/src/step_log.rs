//! What steps said: log lines, progress, links and the requests they made.
//!
//! One file per release, one JSON line per entry. It is for people and not the truth about a release:
//! it is written without syncs, and losing its end changes nothing.
//!
//! **Invariant:** the sandbox has removed credentials before anything gets here.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use windlass_model::name::{ReleaseId, StepName};
use windlass_model::time::Timestamp;

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Which step.
    pub step: StepName,
    /// Which attempt.
    pub attempt: u32,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A line.
    Line {
        /// `trace`, `debug`, `info`, `warn` or `error`.
        level: String,
        /// Who wrote it: `plugin`, `stderr` or `tool`.
        source: String,
        /// The text.
        message: String,
        /// More, by name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fields: Vec<(String, String)>,
    },
    /// What it is doing.
    Status {
        /// One sentence.
        text: String,
    },
    /// How far it is.
    Percent {
        /// 0 to 100.
        value: u8,
    },
    /// A place to look at.
    Link {
        /// What is there.
        title: String,
        /// Where.
        url: String,
    },
    /// A request that the host made for it.
    Request {
        /// The method.
        method: String,
        /// The address, without credentials.
        url: String,
        /// The answer's status; none when there was no answer.
        status: Option<u16>,
        /// How long it took.
        milliseconds: u64,
        /// Why there was no answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

/// What is shown of a step while it runs; the last value of each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What it is doing.
    pub status: Option<String>,
    /// How far it is, 0 to 100.
    pub percent: Option<u8>,
    /// Places to look at.
    pub links: Vec<(String, String)>,
}

/// The log of one release.
pub struct StepLog {
    path: PathBuf,
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    file: Option<File>,
    progress: BTreeMap<StepName, Progress>,
}

impl StepLog {
    /// The log of `release` in the folder `logs`.
    pub fn open(logs: &std::path::Path, release: &ReleaseId) -> Arc<Self> {
        let path = logs.join(format!("{release}.jsonl"));
        let mut inner = Inner::default();
        for entry in read(&path, 0).unwrap_or_default() {
            note(&mut inner.progress, &entry);
        }
        Arc::new(Self { path, inner: Mutex::new(inner), changed: watch::Sender::new(0) })
    }

    /// Writes an entry; one that cannot be written is lost, and the step goes on.
    pub fn write(&self, entry: &Entry) {
        {
            let mut inner = self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            note(&mut inner.progress, entry);
            if let Err(error) = append(&self.path, &mut inner.file, entry) {
                tracing::warn!(path = %self.path.display(), %error, "a log entry of a step was lost");
            }
        }
        self.changed.send_modify(|it| *it += 1);
    }

    /// Tells when something was written.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What is shown of each step.
    pub fn progress(&self) -> BTreeMap<StepName, Progress> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner).progress.clone()
    }

    /// The entries from the `after`-th on.
    pub fn entries(&self, after: usize) -> io::Result<Vec<Entry>> {
        read(&self.path, after)
    }
}

fn append(path: &std::path::Path, file: &mut Option<File>, entry: &Entry) -> io::Result<()> {
    let file = match file {
        Some(file) => file,
        None => file.insert(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?),
    };
    let mut line = serde_json::to_vec(entry).map_err(io::Error::other)?;
    line.push(b'\n');
    file.write_all(&line)
}

fn read(path: &std::path::Path, after: usize) -> io::Result<Vec<Entry>> {
    match File::open(path) {
        // A line cut off by a crash is passed over.
        Ok(file) => Ok(BufReader::new(file)
            .lines()
            .skip(after)
            .map_while(Result::ok)
            .filter_map(|it| serde_json::from_str(&it).ok())
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn note(progress: &mut BTreeMap<StepName, Progress>, entry: &Entry) {
    let of_step = progress.entry(entry.step.clone()).or_default();
    match &entry.what {
        What::Status { text } => of_step.status = Some(text.clone()),
        What::Percent { value } => of_step.percent = Some((*value).min(100)),
        What::Link { title, url } if url.starts_with("https://") || url.starts_with("http://") => {
            let links = &mut of_step.links;
            links.retain(|(it, _)| it != title);
            links.push((title.clone(), url.clone()));
        }
        What::Link { .. } | What::Line { .. } | What::Request { .. } => {}
    }
}
