//! What a running plugin can ask of the release that it runs for.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use windlass_engine::{CallId, Input, TopicMaker};
use windlass_model::name::{ReleaseId, StepName};
use windlass_sandbox::{Callback, Exchange, LogLevel, LogLine, LogSource, StepHost};

use crate::callbacks::CallbackUrl;
use crate::clock::now;
use crate::driver::{GoingOn, Message};
use crate::step_log::{Entry, StepLog, What};
use crate::topic::{Topics, named, redacted};

/// What people read where a callback has no address.
const NO_ADDRESS: &str = "the callback that was made has no address, for no callbacks are taken from the network here: `windlass serve --callbacks ADDRESS:PORT` does; on this machine, whoever has its topic can call it with `windlass release callback`";

/// The host side of one call.
pub(crate) struct CallHost {
    pub(crate) release: ReleaseId,
    pub(crate) step: StepName,
    pub(crate) call: CallId,
    pub(crate) checkpoints: std::collections::BTreeMap<String, Vec<u8>>,
    pub(crate) log: Arc<StepLog>,
    pub(crate) topics: Topics,
    /// What callback addresses begin with, where callbacks are taken from the network.
    pub(crate) callbacks: Option<CallbackUrl>,
    pub(crate) inbox: mpsc::UnboundedSender<Message>,
    /// The sandbox keeps its host until nothing of the call is left.
    pub(crate) _going_on: GoingOn,
}

impl CallHost {
    fn write(&self, what: What) {
        self.log.write(&Entry { at: now(), step: self.step.clone(), attempt: self.call.attempt, what });
    }
}

impl StepHost for CallHost {
    fn log(&self, line: LogLine) {
        self.write(What::Line {
            level: level_name(line.level).to_owned(),
            source: source_name(line.source),
            message: redacted(line.message),
            fields: line.fields.into_iter().map(|(name, value)| (name, redacted(value))).collect(),
        });
    }

    fn status(&self, text: String) {
        self.write(What::Status { text: redacted(text) });
    }

    fn percent(&self, value: u8) {
        self.write(What::Percent { value });
    }

    fn link(&self, title: String, url: String) {
        self.write(What::Link { title: redacted(title), url: redacted(url) });
    }

    fn hide(&self, text: String) -> String {
        named(text)
    }

    fn trace(&self, exchange: Exchange) {
        self.write(What::Request {
            method: exchange.method,
            url: redacted(exchange.url),
            status: exchange.status,
            milliseconds: exchange.millis,
            error: exchange.denied.or(exchange.error).map(redacted),
        });
    }

    fn checkpoint(&self, name: &str) -> Option<Vec<u8>> {
        self.checkpoints.get(name).cloned()
    }

    fn record_checkpoint(&self, name: String, value: Vec<u8>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let input = Input::CheckpointReached { call: self.call, name, value };
            let gone = || "the release is not driven any more".to_owned();
            self.inbox.send(Message::Input { input, answer }).map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?.map_err(|error| error.to_string())
        })
    }

    fn create_callback(&self) -> BoxFuture<'_, Result<Callback, String>> {
        Box::pin(async move {
            let maker =
                TopicMaker { step: self.step.clone(), operation: self.call.operation, attempt: self.call.attempt };
            let topic = self.topics.create(&self.release, &maker);
            let url = self.callbacks.as_ref().map(|it| it.of(&topic));
            if url.is_none() {
                self.write(What::Line {
                    level: level_name(LogLevel::Warn).to_owned(),
                    source: "windlass".to_owned(),
                    message: NO_ADDRESS.to_owned(),
                    fields: Vec::new(),
                });
            }
            Ok(Callback { topic, url })
        })
    }

    fn has_callback(&self, topic: &str) -> bool {
        self.topics.read(topic).is_some_and(|(release, maker)| release == self.release && maker.step == self.step)
    }
}

fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

fn source_name(source: LogSource) -> String {
    match source {
        LogSource::Plugin => "plugin".to_owned(),
        LogSource::Stdout => "stdout".to_owned(),
        LogSource::Stderr => "stderr".to_owned(),
        LogSource::Tool(name) => name,
        LogSource::Host => "host".to_owned(),
    }
}
