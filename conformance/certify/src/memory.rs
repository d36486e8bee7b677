//! The host of a step that is certified: remembers what a release would, and writes the rest down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use windlass_sandbox::{Callback, Exchange, LogLine, StepHost};

use crate::transcript::{Event, Record, shown};

/// What a release remembers of a step.
pub(crate) struct Memory {
    record: Record,
    checkpoints: Mutex<BTreeMap<String, Vec<u8>>>,
    topics: Mutex<BTreeSet<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    pub(crate) fn new(record: Record) -> Self {
        Self { record, checkpoints: Mutex::default(), topics: Mutex::default() }
    }

    /// Topics that were made: whoever has one can wake the step.
    pub(crate) fn topics(&self) -> Vec<String> {
        lock(&self.topics).iter().cloned().collect()
    }

    fn said(&self, what: &str, text: String) {
        self.record.add(Event::Said { what: what.to_owned(), text });
    }
}

impl StepHost for Memory {
    fn log(&self, line: LogLine) {
        let fields: String = line.fields.iter().map(|(name, value)| format!("  {name}={value}")).collect();
        self.said("log", format!("{}{fields}", line.message));
    }
    fn status(&self, text: String) {
        self.said("status", text);
    }
    fn percent(&self, percent: u8) {
        self.said("progress", format!("{percent} %"));
    }
    fn link(&self, title: String, url: String) {
        self.said("link", format!("{title}: {url}"));
    }
    fn checkpoint(&self, name: &str) -> Option<Vec<u8>> {
        lock(&self.checkpoints).get(name).cloned()
    }
    fn record_checkpoint(&self, name: String, value: Vec<u8>) -> BoxFuture<'_, Result<(), String>> {
        self.record.add(Event::Checkpoint { name: name.clone(), value: shown(&value) });
        lock(&self.checkpoints).insert(name, value);
        Box::pin(std::future::ready(Ok(())))
    }
    fn create_callback(&self) -> BoxFuture<'_, Result<Callback, String>> {
        let mut topics = lock(&self.topics);
        let topic = format!("certify-topic-{}-9c07be24", topics.len() + 1);
        self.record.add(Event::CallbackMade { topic: topic.clone() });
        topics.insert(topic.clone());
        let url = Some(format!("https://callbacks.test/{topic}"));
        Box::pin(std::future::ready(Ok(Callback { topic, url })))
    }
    fn has_callback(&self, topic: &str) -> bool {
        lock(&self.topics).contains(topic)
    }
    fn trace(&self, _exchange: Exchange) {}
}
