//! A step's host that keeps what it is given.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;

use windlass_sandbox::{Callback, Exchange, LogLine, StepHost};

#[derive(Default)]
pub(super) struct Recorder {
    lines: Mutex<Vec<LogLine>>,
    statuses: Mutex<Vec<String>>,
    percents: Mutex<Vec<u8>>,
    links: Mutex<Vec<(String, String)>>,
    checkpoints: Mutex<BTreeMap<String, Vec<u8>>>,
    callbacks: Mutex<Vec<String>>,
    without_urls: bool,
}

impl Recorder {
    /// As of an installation that takes no callbacks from the network.
    pub(super) fn without_urls() -> Self {
        Self { without_urls: true, ..Self::default() }
    }

    /// The line with this message.
    pub(super) fn line(&self, message: &str) -> LogLine {
        let lines = self.lines.lock().expect("not poisoned");
        let found = lines.iter().rfind(|it| it.message == message).cloned();
        found.unwrap_or_else(|| panic!("no line says `{message}`: {lines:?}"))
    }

    pub(super) fn statuses(&self) -> Vec<String> {
        self.statuses.lock().expect("not poisoned").clone()
    }

    pub(super) fn percents(&self) -> Vec<u8> {
        self.percents.lock().expect("not poisoned").clone()
    }

    /// As if this part had never been done.
    pub(super) fn forget(&self, checkpoint: &str) {
        let before = self.checkpoints.lock().expect("not poisoned").remove(checkpoint);
        assert!(before.is_some(), "`{checkpoint}` was never recorded");
    }

    /// The links without repetitions.
    pub(super) fn links(&self) -> Vec<(String, String)> {
        let mut links = self.links.lock().expect("not poisoned").clone();
        links.dedup();
        links
    }
}

type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

impl StepHost for Recorder {
    fn log(&self, line: LogLine) {
        self.lines.lock().expect("not poisoned").push(line);
    }
    fn status(&self, text: String) {
        self.statuses.lock().expect("not poisoned").push(text);
    }
    fn percent(&self, percent: u8) {
        self.percents.lock().expect("not poisoned").push(percent);
    }
    fn link(&self, title: String, url: String) {
        self.links.lock().expect("not poisoned").push((title, url));
    }
    fn checkpoint(&self, name: &str) -> Option<Vec<u8>> {
        self.checkpoints.lock().expect("not poisoned").get(name).cloned()
    }
    fn record_checkpoint(&self, name: String, value: Vec<u8>) -> Later<'_, ()> {
        self.checkpoints.lock().expect("not poisoned").insert(name, value);
        Box::pin(std::future::ready(Ok(())))
    }
    fn create_callback(&self) -> Later<'_, Callback> {
        let mut callbacks = self.callbacks.lock().expect("not poisoned");
        let topic = format!("topic-{}", callbacks.len());
        callbacks.push(topic.clone());
        let url = (!self.without_urls).then(|| format!("https://windlass.test/callback/{topic}"));
        Box::pin(std::future::ready(Ok(Callback { topic, url })))
    }
    fn has_callback(&self, topic: &str) -> bool {
        self.callbacks.lock().expect("not poisoned").iter().any(|it| it == topic)
    }
    fn trace(&self, _exchange: Exchange) {}
}
