//! Simulated Jenkins, ServiceNow and an echo server, in this process.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use windlass_counterparts::{
    Effect, Fault, FaultAction, JobConfiguration, ParameterDefinition, Running, Simulator, SimulatorKind,
    SimulatorOptions,
};

use super::Site;

/// The credential for all counterparts; looked for wherever it must not be.
pub(crate) const PASSWORD: &str = "correct-horse-battery-staple-7391";

/// The counterparts. They stop when dropped.
pub(crate) struct Counterparts {
    pub(crate) jenkins: Running,
    pub(crate) servicenow: Running,
    pub(crate) echo: Running,
    secrets: tempfile::TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Counterparts {
    pub(crate) fn start() -> Self {
        let (give, take) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let options = SimulatorOptions {
                    password: PASSWORD.to_owned(),
                    client_secret: PASSWORD.to_owned(),
                    ..SimulatorOptions::default()
                };
                for kind in [SimulatorKind::Jenkins, SimulatorKind::ServiceNow, SimulatorKind::Echo] {
                    give.send(Simulator::start(kind, options.clone()).await.expect("a port"))
                        .expect("somebody takes it");
                }
                // An error means that the other end was dropped, which is the same.
                let _ = stopped.await;
            });
        });
        let next = || take.recv().expect("a simulator");
        let (jenkins, servicenow, echo) = (next(), next(), next());
        let secrets = tempfile::tempdir().expect("a folder");
        std::fs::write(secrets.path().join("password"), PASSWORD).expect("the secret's file");
        Self { jenkins, servicenow, echo, secrets, stop: Some(stop), thread: Some(thread) }
    }

    /// Declares connections to them (`ci`, `itsm`, `app`), and who may approve.
    pub(crate) fn declare(&self, site: &Site) {
        self.declare_as(site, "");
        site.good(&["group", "add", "release-managers", "ana", "ben"]);
    }

    /// The connections, with something after their names.
    pub(crate) fn declare_as(&self, site: &Site, suffix: &str) {
        let secret = format!("file:{}", self.secret().display());
        for (name, running) in [("ci", &self.jenkins), ("app", &self.echo)] {
            site.good(&[
                "connection",
                "add",
                &format!("{name}{suffix}"),
                "--url",
                &running.url,
                "--auth",
                "basic",
                "--username",
                "windlass",
                "--password",
                &secret,
                "--private-network",
            ]);
        }
        let url = &self.servicenow.url;
        let token_url = format!("{url}/oauth_token.do");
        let who = [
            "--auth",
            "oauth2",
            "--token-url",
            &token_url,
            "--client-id",
            "windlass-client",
            "--client-secret",
            &secret,
        ];
        let itsm = format!("itsm{suffix}");
        site.good(&[&["connection", "add", &itsm, "--url", url, "--private-network"], &who[..]].concat());
    }

    /// Where the credential is.
    pub(crate) fn secret(&self) -> PathBuf {
        Path::new(self.secrets.path()).join("password")
    }

    /// Every request takes a while, so that what happens in between can be seen.
    pub(crate) fn slow_down(&self, ms: u64) {
        for running in [&self.jenkins, &self.servicenow] {
            forget_faults(running);
            running.order_faults(vec![Fault {
                method: None,
                path: None,
                times: 1_000_000,
                skip: 0,
                action: FaultAction::Latency { ms },
            }]);
        }
    }

    /// What was changed after the first `before` effects, counted by kind; the state that a change or
    /// task was moved to and the job that was built are part of the kind.
    pub(crate) fn effects(&self, before: Mark) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let jenkins = self.jenkins.effects();
        let servicenow = self.servicenow.effects();
        for effect in jenkins.iter().skip(before.jenkins).chain(servicenow.iter().skip(before.servicenow)) {
            *counts.entry(kind(effect)).or_default() += 1;
        }
        counts
    }

    /// Where the effects end now.
    pub(crate) fn mark(&self) -> Mark {
        Mark { jenkins: self.jenkins.effects().len(), servicenow: self.servicenow.effects().len() }
    }
}

impl Drop for Counterparts {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn forget_faults(running: &Running) {
    let mut stream = TcpStream::connect(running.address).expect("the simulator answers");
    stream
        .write_all(b"DELETE /_sim/faults HTTP/1.1\r\nhost: simulator\r\nconnection: close\r\n\r\n")
        .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}

/// A place among the effects.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    jenkins: usize,
    servicenow: usize,
}

fn kind(effect: &Effect) -> String {
    match effect.kind.as_str() {
        "build.queued" | "build.started" | "build.stopped" | "build.cancelled" => {
            let job = effect.target.split(['#', ' ']).next().unwrap_or_default();
            format!("{} {job}", effect.kind)
        }
        other => other.to_owned(),
    }
}

/// A job whose builds take this long and end like this.
pub(crate) fn job(name: &str, duration_ms: u64, result: &str) -> JobConfiguration {
    let parameter = |name: &str| -> ParameterDefinition {
        serde_json::from_value(serde_json::json!({ "name": name })).expect("a parameter")
    };
    let mut job: JobConfiguration =
        serde_json::from_value(serde_json::json!({ "name": name, "duration_ms": duration_ms, "result": result }))
            .expect("a job");
    job.parameters = vec![parameter("VERSION"), parameter("WINDLASS_KEY")];
    job
}
