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
use std::path::{Path, PathBuf};
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
    /// When it said the last of these.
    pub at: Timestamp,
    /// Places to look at.
    pub links: Vec<(String, String)>,
}

/// What the log of one release may take of the disk. One call is bounded by the sandbox; a step that suspends is called
/// any number of times.
pub const LOG_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Places of a step that are shown; the newest ones.
const LINKS_MAX: usize = 20;

/// What is shown of what a step does now.
const STATUS_CHARS_MAX: usize = 1000;

/// The log of one release.
pub struct StepLog {
    path: PathBuf,
    bytes_max: u64,
    /// None until somebody asks for it, or writes: most steps say nothing.
    inner: Mutex<Option<Inner>>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    file: Option<File>,
    /// What is in the file.
    bytes: u64,
    progress: BTreeMap<StepName, Progress>,
}

impl Inner {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::metadata(path).map_or(0, |it| it.len());
        let mut inner = Self { bytes, ..Self::default() };
        for entry in read(path, 0).unwrap_or_default() {
            note(&mut inner.progress, &entry);
        }
        inner
    }
}

impl StepLog {
    /// The log of `release` in the folder `logs`.
    pub fn open(logs: &Path, release: &ReleaseId) -> Arc<Self> {
        Self::bounded(logs, release, LOG_BYTES_MAX)
    }

    fn bounded(logs: &Path, release: &ReleaseId, bytes_max: u64) -> Arc<Self> {
        let path = logs.join(format!("{release}.jsonl"));
        Arc::new(Self { path, bytes_max, inner: Mutex::default(), changed: watch::Sender::new(0) })
    }

    fn with_inner<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        act(inner.get_or_insert_with(|| Inner::read(&self.path)))
    }

    /// Writes an entry; one that cannot be written is lost, and the step goes on. So it does when the log is full,
    /// which its last line says; what the step does now is known all the same.
    pub fn write(&self, entry: &Entry) {
        self.with_inner(|inner| {
            note(&mut inner.progress, entry);
            if inner.bytes < self.bytes_max {
                self.append(inner, entry);
                if inner.bytes >= self.bytes_max {
                    self.append(inner, &full(entry, self.bytes_max));
                }
            }
        });
        self.changed.send_modify(|it| *it += 1);
    }

    fn append(&self, inner: &mut Inner, entry: &Entry) {
        match append(&self.path, &mut inner.file, entry) {
            Ok(bytes) => inner.bytes += bytes,
            Err(error) => tracing::warn!(path = %self.path.display(), %error, "a log entry of a step was lost"),
        }
    }

    /// Tells when something was written.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What is shown of each step.
    pub fn progress(&self) -> BTreeMap<StepName, Progress> {
        self.with_inner(|it| it.progress.clone())
    }

    /// The entries from the `after`-th on.
    pub fn entries(&self, after: usize) -> io::Result<Vec<Entry>> {
        read(&self.path, after)
    }
}

/// The last line of a log.
fn full(last: &Entry, bytes_max: u64) -> Entry {
    let message = format!(
        "the log of this release has {bytes_max} bytes and is full: what its steps say from here on is not kept"
    );
    Entry {
        what: What::Line { level: "warn".to_owned(), source: "windlass".to_owned(), message, fields: Vec::new() },
        ..last.clone()
    }
}

/// Gives how many bytes it took.
fn append(path: &Path, file: &mut Option<File>, entry: &Entry) -> io::Result<u64> {
    let file = match file {
        Some(file) => file,
        None => file.insert(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?),
    };
    let mut line = serde_json::to_vec(entry).map_err(io::Error::other)?;
    line.push(b'\n');
    file.write_all(&line)?;
    Ok(line.len() as u64)
}

fn read(path: &Path, after: usize) -> io::Result<Vec<Entry>> {
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
    if matches!(entry.what, What::Status { .. } | What::Percent { .. }) {
        of_step.at = entry.at;
    }
    match &entry.what {
        What::Status { text } => of_step.status = Some(text.chars().take(STATUS_CHARS_MAX).collect()),
        What::Percent { value } => of_step.percent = Some((*value).min(100)),
        What::Link { title, url } if url.starts_with("https://") || url.starts_with("http://") => {
            let links = &mut of_step.links;
            links.retain(|(it, _)| it != title);
            links.push((title.clone(), url.clone()));
            if links.len() > LINKS_MAX {
                links.remove(0);
            }
        }
        What::Link { .. } | What::Line { .. } | What::Request { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(what: What) -> Entry {
        Entry { at: Timestamp(1), step: "a".parse().expect("a name"), attempt: 1, what }
    }

    fn line(message: &str) -> Entry {
        entry(What::Line {
            level: "info".to_owned(),
            source: "plugin".to_owned(),
            message: message.to_owned(),
            fields: Vec::new(),
        })
    }

    /// Also after the process has begun anew.
    #[test]
    fn a_log_does_not_fill_the_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let release: ReleaseId = "payments-3".parse().expect("an id");
        for _ in 0..3 {
            let log = StepLog::bounded(folder.path(), &release, 10_000);
            for number in 0..1000 {
                log.write(&line(&format!("line {number}")));
            }
            log.write(&entry(What::Percent { value: 42 }));
            let progress = log.progress();
            assert_eq!(progress.values().next().and_then(|it| it.percent), Some(42), "what it does now is known");
        }
        let bytes = std::fs::metadata(folder.path().join("payments-3.jsonl")).expect("the log").len();
        assert!((10_000..10_500).contains(&bytes), "{bytes}");
        let log = StepLog::bounded(folder.path(), &release, 10_000);
        let entries = log.entries(0).expect("the log");
        assert_eq!(entries[0], line("line 0"));
        let What::Line { message, source, .. } = &entries.last().expect("a line").what else { panic!("{entries:?}") };
        assert_eq!(source, "windlass");
        assert!(message.contains("has 10000 bytes and is full"), "{message}");
    }

    #[test]
    fn a_step_shows_some_places_and_a_sentence() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = StepLog::open(folder.path(), &"payments-4".parse().expect("an id"));
        for number in 0..1000 {
            log.write(&entry(What::Link { title: format!("t{number}"), url: format!("https://x/{number}") }));
        }
        log.write(&entry(What::Link { title: "bad".to_owned(), url: "javascript:alert(1)".to_owned() }));
        log.write(&entry(What::Status { text: "x".repeat(100_000) }));
        let progress = log.progress().into_values().next().expect("a step");
        assert_eq!(progress.links.len(), 20);
        assert_eq!(progress.links[19].0, "t999");
        assert_eq!(progress.status.map(|it| it.len()), Some(1000));
    }
}
