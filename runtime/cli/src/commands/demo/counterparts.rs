//! The systems that the demo talks to: simulated Jenkins and ServiceNow, an application to probe, and
//! a cluster – real when one was named, else a stand-in.
//!
//! They are processes of their own, so that they go on when the demo is killed.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use serde::Deserialize;
use tokio::process::Command;
use windlass_model::connection::{Authentication, Connection, SecretReference, Tool};
use windlass_model::digest::Digest;
use windlass_model::manifest::Manifest;
use windlass_server::StateDirectory;

use super::DemoArgs;
use super::cluster::Cluster;
use crate::output::{Output, STRONG, WAIT, styled};

/// What the demo talks to.
pub(super) struct Counterparts {
    pub(super) connections: Vec<Connection>,
    pub(super) helm: Tool,
    /// Whether helm is the stand-in.
    pub(super) cluster_is_simulated: bool,
    simulators: Vec<Ready>,
    ready_files: Vec<PathBuf>,
}

/// What a simulator says when it listens.
#[derive(Debug, Clone, Deserialize)]
struct Ready {
    url: String,
    pid: u32,
}

/// Starts what is not running yet.
pub(super) async fn start(
    root: &Path,
    state: &StateDirectory,
    args: &DemoArgs,
    helm_plugin: &Manifest,
    output: &Output,
) -> anyhow::Result<Counterparts> {
    let folder = state.root().join("demo");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).context("the demo's folder")?;
    let programs = programs(root).await?;
    let simulator = programs.get("windlass-simulator").context("cargo built no windlass-simulator")?;
    let mut simulators = Vec::new();
    let mut ready_files = Vec::new();
    for (kind, more) in [
        ("jenkins", vec![]),
        ("servicenow", vec!["--client-id", "windlass", "--client-secret", CLIENT_SECRET]),
        ("echo", vec![]),
    ] {
        let file = folder.join(format!("{kind}.json"));
        simulators.push(simulated(simulator, kind, &more, &file).await?);
        ready_files.push(file);
    }
    let [jenkins, servicenow, application] = simulators.as_slice() else { anyhow::bail!("three simulators") };
    output.note(format_args!(
        "{} Jenkins at {}, {} ServiceNow at {}",
        styled(STRONG, "simulated"),
        jenkins.url,
        styled(STRONG, "simulated"),
        servicenow.url
    ));

    let (helm, kubeconfig, cluster_is_simulated) = match Cluster::choose(args).await? {
        Cluster::Real { helm, kubeconfig, server } => {
            output.note(format_args!(
                "{} helm ({}) deploys to the cluster {server} of {}",
                styled(STRONG, "real"),
                helm.display(),
                kubeconfig.display()
            ));
            (helm, kubeconfig, false)
        }
        Cluster::StandIn { why } => {
            output.note(format_args!("{} for helm, nothing is deployed anywhere: {why}", styled(WAIT, "stand-in")));
            let cluster = folder.join("cluster");
            std::fs::create_dir_all(&cluster).context("the stand-in's cluster")?;
            let kubeconfig = secret(
                &folder,
                "kubeconfig",
                &format!(
                    "apiVersion: v1\nkind: Config\nclusters:\n- name: standin\n  cluster:\n    server: file://{}\nusers:\n- name: standin\n  user: {{}}\ncontexts:\n- name: standin\n  context:\n    cluster: standin\n    user: standin\ncurrent-context: standin\n",
                    cluster.display()
                ),
            )?;
            let helm = programs.get("windlass-standin-helm").context("cargo built no windlass-standin-helm")?;
            (helm.clone(), kubeconfig, true)
        }
    };
    let bytes = std::fs::read(&helm).with_context(|| format!("{} cannot be read", helm.display()))?;
    let connections = vec![
        local(
            "ci",
            &jenkins.url,
            Authentication::Basic {
                username: "windlass".to_owned(),
                password: reference(secret(&folder, "jenkins-token", "simulated-token")?),
            },
        )?,
        local(
            "itsm",
            &servicenow.url,
            Authentication::OAuth2ClientCredentials {
                token_url: format!("{}/oauth_token.do", servicenow.url),
                client_id: "windlass".to_owned(),
                client_secret: reference(secret(&folder, "servicenow-secret", CLIENT_SECRET)?),
                scope: None,
            },
        )?,
        local(
            "app",
            &application.url,
            Authentication::Basic {
                username: "windlass".to_owned(),
                password: reference(secret(&folder, "app-token", "simulated-token")?),
            },
        )?,
        Connection {
            name: "cluster".parse()?,
            base_url: None,
            authentication: Authentication::Kubeconfig { kubeconfig: reference(kubeconfig) },
            properties: BTreeMap::new(),
            allow: Vec::new(),
            reads: Vec::new(),
            plugins: vec!["helm".parse()?],
            private_network: true,
            needs_rollback_trigger: false,
        },
    ];
    let helm = Tool {
        name: "helm".parse()?,
        path: helm,
        digest: Digest::of(&bytes),
        subcommands: helm_plugin.subcommands_of(&"helm".parse()?).into_iter().collect(),
        dry_run: helm_plugin.dry_runs_of(&"helm".parse()?).into_iter().collect(),
        connections: vec!["cluster".parse()?],
        plugins: vec!["helm".parse()?],
        wall_ms: Tool::default_wall_ms(),
        output_bytes: Tool::default_output_bytes(),
    };
    Ok(Counterparts { connections, helm, cluster_is_simulated, simulators, ready_files })
}

const CLIENT_SECRET: &str = "simulated-client-secret";

fn local(name: &str, url: &str, authentication: Authentication) -> anyhow::Result<Connection> {
    Ok(Connection {
        name: name.parse()?,
        base_url: Some(url.to_owned()),
        authentication,
        properties: BTreeMap::new(),
        allow: Vec::new(),
        reads: Vec::new(),
        plugins: Vec::new(),
        private_network: true,
        needs_rollback_trigger: false,
    })
}

fn reference(path: PathBuf) -> SecretReference {
    SecretReference::File(path)
}

/// A file that only its owner can read.
fn secret(folder: &Path, name: &str, value: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    std::io::Write::write_all(&mut file, value.as_bytes())?;
    Ok(path)
}

/// Builds the counterparts; their programs by name.
async fn programs(root: &Path) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        executable: Option<PathBuf>,
    }
    let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--package",
        "windlass-counterparts",
        "--bins",
        "--message-format",
        "json-render-diagnostics",
        "--quiet",
    ]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let built = command
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await
        .context("cargo cannot be started")?;
    anyhow::ensure!(built.status.success(), "cargo could not build windlass-counterparts");
    let text = String::from_utf8_lossy(&built.stdout);
    let messages =
        text.lines().filter_map(|it| serde_json::from_str::<Message>(it).ok()).filter_map(|it| it.executable);
    Ok(messages.map(|it| (it.file_name().unwrap_or_default().to_string_lossy().into_owned(), it)).collect())
}

/// The simulator that still runs from an earlier demo, or a new one.
async fn simulated(program: &Path, kind: &str, more: &[&str], ready_file: &Path) -> anyhow::Result<Ready> {
    if let Some(ready) = answering(ready_file).await {
        return Ok(ready);
    }
    let _ = std::fs::remove_file(ready_file);
    let mut child = Command::new(program)
        .arg(kind)
        .arg("--ready-file")
        .arg(ready_file)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C is for the demo, not for what it talks to.
        .process_group(0)
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    for _ in 0..200 {
        if let Some(ready) = answering(ready_file).await {
            return Ok(ready);
        }
        if let Some(status) = child.try_wait()? {
            anyhow::bail!("the simulated {kind} ended at once: {status}");
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("the simulated {kind} does not answer")
}

async fn answering(ready_file: &Path) -> Option<Ready> {
    let ready: Ready = serde_json::from_slice(&std::fs::read(ready_file).ok()?).ok()?;
    let address = ready.url.strip_prefix("http://")?;
    tokio::net::TcpStream::connect(address).await.ok()?;
    Some(ready)
}

impl Counterparts {
    /// Where the simulated ServiceNow takes the decisions of its simulated change board.
    pub(super) fn change_board(&self) -> String {
        self.simulators[1].url.clone()
    }

    /// Ends the simulators.
    pub(super) async fn stop(&self) {
        for simulator in &self.simulators {
            if let Some(pid) = i32::try_from(simulator.pid).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        for file in &self.ready_files {
            let _ = std::fs::remove_file(file);
        }
    }
}
