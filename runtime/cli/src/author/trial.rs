//! One action of a component, tried out in this process: no server, no state directory, no journal.
//!
//! A [`Session`] is what a release would remember of the step: checkpoints, the suspension, the output. It can be kept in
//! a file, and another command goes on from there.
//!
//! **Invariant:** the calls are those that a host makes; only who remembers is another.

pub(crate) mod binding;
mod callbacks;
mod host;
mod session;

use std::sync::Arc;

use anyhow::Context as _;
use serde_json::Value;
use windlass_model::dry_run::Would;
use windlass_model::event::{Operation, Wake};
use windlass_model::example::example;
use windlass_model::failure::StepError;
use windlass_model::time::{Span, Timestamp};
use windlass_sandbox::cassette::Tape;
use windlass_sandbox::{Access, CallKind, CallOutcome, CallReport, CallRequest, Plugin, Sandbox, Usage, WakeUp};
use windlass_server::dry_run::{Verdict, judge};

pub(crate) use self::callbacks::Listener;
pub(crate) use self::host::{Happening, Shown, line};
pub(crate) use self::session::{Session, Waiting};

/// What is tried out, and how.
pub(crate) struct Trial {
    pub(crate) sandbox: Sandbox,
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) access: Arc<Access>,
    pub(crate) dry_run: bool,
    /// Whether suspensions are sat out.
    pub(crate) wait: bool,
    /// How long an operation may take that waits.
    pub(crate) timeout: Span,
    /// Where callbacks come in, if anywhere.
    pub(crate) listener: Option<Listener>,
    pub(crate) shown: Shown,
}

/// How an operation ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Done(Value),
    /// A dry run ended it in its plugin's place; what stands for its output.
    ByHost(Value),
    NotFound,
    /// It waits, and nobody was to wait for it.
    Suspended,
    /// It waits, and has done so for too long.
    TooLong,
    Failed(StepError),
}

/// What all calls used together.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) calls: u32,
    pub(crate) usage: Usage,
}

impl Used {
    fn add(&mut self, one: &Usage) {
        self.calls += 1;
        self.usage.wall += one.wall;
        self.usage.cpu += one.cpu;
        self.usage.memory_peak_bytes = self.usage.memory_peak_bytes.max(one.memory_peak_bytes);
        self.usage.http_requests += one.http_requests;
        self.usage.request_bytes += one.request_bytes;
        self.usage.response_bytes += one.response_bytes;
        self.usage.tool_calls += one.tool_calls;
        self.usage.log_bytes += one.log_bytes;
    }
}

impl Trial {
    /// Makes an operation's first call, or goes on with the suspended one, and follows it to its end. `save` is called
    /// after each call.
    pub(crate) async fn go(
        &mut self,
        session: &mut Session,
        first: CallKind,
        used: &mut Used,
        mut save: impl FnMut(&Session) -> anyhow::Result<()>,
    ) -> anyhow::Result<Ended> {
        let mut kind = first;
        let ends_at = Timestamp(now().0.saturating_add(self.timeout.0));
        loop {
            let report = self.call(session, kind).await;
            used.add(&report.usage);
            let was_stopped = !report.would.is_empty();
            for Would { what, body, body_bytes } in report.would {
                self.shown.add(Happening::Stopped { what, body, body_bytes });
            }
            if self.dry_run
                && let Verdict::Ended(note) = judge(report.result.clone(), was_stopped, &report.denials, false)
            {
                save(session)?;
                let output = self.stands_for_output(session);
                self.shown.add(Happening::EndedByHost { note });
                return Ok(Ended::ByHost(output));
            }
            match report.result {
                Ok(CallOutcome::Done(value)) => {
                    session.ended(&value);
                    save(session)?;
                    self.shown.add(Happening::Done { output: value.clone() });
                    return Ok(Ended::Done(value));
                }
                Ok(CallOutcome::NotFound) => {
                    session.waiting = None;
                    save(session)?;
                    self.shown.add(Happening::NotFound {});
                    return Ok(Ended::NotFound);
                }
                Ok(CallOutcome::Suspended { state, wakes, status }) => {
                    let waiting = Waiting::new(state, &wakes, status);
                    self.shown.add(Happening::Suspended(waiting.clone()));
                    session.waiting = Some(waiting);
                    save(session)?;
                    if !self.wait {
                        return Ok(Ended::Suspended);
                    }
                    match self.sit_out(&wakes, ends_at).await? {
                        Some(wake) => kind = session.resume(wake)?,
                        None => return Ok(Ended::TooLong),
                    }
                }
                Err(error) => {
                    save(session)?;
                    self.shown.add(Happening::Failed {
                        error: error.clone(),
                        denials: report.denials.iter().map(ToString::to_string).collect(),
                    });
                    return Ok(Ended::Failed(error));
                }
            }
        }
    }

    /// What a release goes on with where a dry run ends a step: here there is no earlier one whose output could be taken.
    fn stands_for_output(&self, session: &Session) -> Value {
        let action = self.plugin.manifest().actions.get(&session.action);
        let made = action.filter(|_| session.operation == Operation::Start).and_then(|it| example(&it.output));
        made.unwrap_or_default()
    }

    async fn call(&self, session: &mut Session, kind: CallKind) -> CallReport {
        let function = match &kind {
            CallKind::Start => "start",
            CallKind::Resume { wake: Wake::Timer, .. } => "resume, by its timer",
            CallKind::Resume { wake: Wake::Callback { .. }, .. } => "resume, by a callback",
            CallKind::Cancel { .. } => "cancel",
            CallKind::Rollback => "rollback",
            CallKind::Find => "find",
        };
        self.shown.add(Happening::Called { function: function.to_owned(), action: session.action.to_string() });
        let host = host::TrialHost::new(self.shown.clone(), session, self.listener.as_ref().map(Listener::url));
        let host = Arc::new(host);
        let request = CallRequest {
            operation: session.operation,
            action: session.action.clone(),
            release: session.release.clone(),
            step: session.action.to_string(),
            attempt: 1,
            idempotency_key: session.key(),
            deadline: None,
            dry_run: self.dry_run,
            input: Arc::new(session.input.clone()),
            output: session.output.clone().filter(|_| session.operation != Operation::Start).map(Arc::new),
            context: windlass_sandbox::context("windlass plugin run", &[session.start_key()]),
            access: Arc::clone(&self.access),
            host: host.clone(),
            tape: Tape::Off,
            kind,
        };
        let report = self.sandbox.call(&self.plugin, request).await;
        host.hand_over(session);
        report
    }

    /// Waits for the first of the wake-ups; nothing comes of one that is not before `ends_at`.
    async fn sit_out(&self, wakes: &[WakeUp], ends_at: Timestamp) -> anyhow::Result<Option<Wake>> {
        let now = now();
        let left = ends_at.since(now);
        let first = wakes
            .iter()
            .filter_map(|it| match it {
                WakeUp::After(span) => Some(*span),
                WakeUp::At(at) => Some(at.since(now)),
                WakeUp::Callback(_) => None,
            })
            .min();
        let topics: Vec<&str> = wakes
            .iter()
            .filter_map(|it| if let WakeUp::Callback(topic) = it { Some(topic.as_str()) } else { None })
            .collect();
        let nobody_calls = first.is_none() && self.listener.is_none();
        anyhow::ensure!(
            !nobody_calls,
            "it waits for a callback and for nothing else, and nobody takes callbacks here: say `--callbacks 127.0.0.1:8087` to listen there, or `--no-wait --save FILE` and go on with `--resume FILE --callback BODY`"
        );
        let may_be_called = self.listener.is_some() && !topics.is_empty();
        if !may_be_called && first.is_some_and(|it| it >= left) {
            return Ok(None);
        }
        let timer = async {
            match first {
                Some(span) => tokio::time::sleep(span.into()).await,
                None => std::future::pending().await,
            }
        };
        let called = async {
            match &self.listener {
                Some(listener) => listener.wait_for(&topics).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = timer => Ok(Some(Wake::Timer)),
            wake = called => wake.context("callbacks are not taken any more").map(Some),
            () = tokio::time::sleep(left.into()) => Ok(None),
        }
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
