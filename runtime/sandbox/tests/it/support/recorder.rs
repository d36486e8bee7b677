//! A step's host that keeps what it is given.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures::future::BoxFuture;
use windlass_sandbox::{Callback, Exchange, LogLine, StepHost};

#[derive(Default, Debug)]
pub(crate) struct Recorder {
    pub(crate) lines: Mutex<Vec<LogLine>>,
    pub(crate) statuses: Mutex<Vec<String>>,
    pub(crate) links: Mutex<Vec<(String, String)>>,
    pub(crate) checkpoints: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(crate) callbacks: Mutex<Vec<String>>,
    pub(crate) traces: Mutex<Vec<Exchange>>,
}

impl Recorder {
    /// The messages of all lines.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.lines.lock().expect("not poisoned").iter().map(|it| it.message.clone()).collect()
    }

    /// What requests came to.
    pub(crate) fn traces(&self) -> Vec<Exchange> {
        self.traces.lock().expect("not poisoned").clone()
    }
}

impl StepHost for Recorder {
    fn log(&self, line: LogLine) {
        self.lines.lock().expect("not poisoned").push(line);
    }
    fn status(&self, text: String) {
        self.statuses.lock().expect("not poisoned").push(text);
    }
    fn percent(&self, percent: u8) {
        assert!(percent <= 100);
    }
    fn link(&self, title: String, url: String) {
        self.links.lock().expect("not poisoned").push((title, url));
    }
    fn checkpoint(&self, name: &str) -> Option<Vec<u8>> {
        self.checkpoints.lock().expect("not poisoned").get(name).cloned()
    }
    fn record_checkpoint(&self, name: String, value: Vec<u8>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            self.checkpoints.lock().expect("not poisoned").insert(name, value);
            Ok(())
        })
    }
    fn create_callback(&self) -> BoxFuture<'_, Result<Callback, String>> {
        Box::pin(async move {
            let mut callbacks = self.callbacks.lock().expect("not poisoned");
            let topic = format!("topic-{}", callbacks.len());
            callbacks.push(topic.clone());
            Ok(Callback { url: Some(format!("https://windlass.example/callback/{topic}")), topic })
        })
    }
    fn has_callback(&self, topic: &str) -> bool {
        self.callbacks.lock().expect("not poisoned").iter().any(|it| it == topic)
    }
    fn trace(&self, exchange: Exchange) {
        self.traces.lock().expect("not poisoned").push(exchange);
    }
}
