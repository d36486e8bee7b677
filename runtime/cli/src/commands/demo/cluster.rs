//! Which cluster the demo deploys to.
//!
//! **Invariant:** one that nobody named is used only if it is on this machine (kind, k3d, Docker Desktop):
//! the context a shell happens to have may be production.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;

use super::DemoArgs;

/// What `helm upgrade` changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cluster {
    /// A real one, with the real helm.
    Real { helm: PathBuf, kubeconfig: PathBuf, server: String },
    /// Nothing: helm is a stand-in with a folder of its own.
    StandIn { why: String },
}

/// How long a cluster on this machine may take to accept a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);

impl Cluster {
    /// The cluster that was named, else one on this machine that the environment leads to, else none.
    pub(super) async fn choose(args: &DemoArgs) -> anyhow::Result<Self> {
        let helm = which(&args.helm);
        if let Some(named) = &args.kubeconfig {
            let kubeconfig = std::fs::canonicalize(named).with_context(|| unreadable(named))?;
            let text = std::fs::read_to_string(&kubeconfig).with_context(|| unreadable(named))?;
            let server = current_server(&text).map_err(anyhow::Error::msg).with_context(|| unreadable(named))?;
            return Ok(Self::Real { helm: helm?, kubeconfig, server });
        }
        if args.stand_in {
            return Ok(Self::StandIn { why: "as --stand-in asks".to_owned() });
        }
        Ok(match found(helm).await {
            Ok(found) => found,
            Err(why) => Self::StandIn { why },
        })
    }
}

/// What the environment leads to; a text that says why that is not used.
async fn found(helm: anyhow::Result<PathBuf>) -> Result<Cluster, String> {
    let helm = helm.map_err(|error| error.to_string())?;
    let kubeconfig = kubeconfig().ok_or("helm is here, but no kubeconfig is (KUBECONFIG, ~/.kube/config)")?;
    let shown = kubeconfig.display().to_string();
    let text = std::fs::read_to_string(&kubeconfig).map_err(|error| format!("{shown}: {error}"))?;
    let server = current_server(&text).map_err(|why| format!("{shown} {why}"))?;
    let Some(port) = local_port(&server) else {
        return Err(format!(
            "the cluster of {shown}, {server}, is not on this machine; to deploy there, say so: `--kubeconfig {shown}`"
        ));
    };
    let connecting = tokio::net::TcpStream::connect(("localhost", port));
    match tokio::time::timeout(CONNECT_TIME_MAX, connecting).await {
        Ok(Ok(_)) => Ok(Cluster::Real { helm, kubeconfig, server }),
        _ => Err(format!("the cluster of {shown}, {server}, does not answer")),
    }
}

/// As helm and kubectl find it, the first file only.
pub(crate) fn kubeconfig() -> Option<PathBuf> {
    let named = std::env::var_os("KUBECONFIG").filter(|it| !it.is_empty());
    let files: Vec<PathBuf> = match named {
        Some(named) => std::env::split_paths(&named).collect(),
        None => std::env::home_dir().map(|it| it.join(".kube/config")).into_iter().collect(),
    };
    files.into_iter().find(|it| it.is_file()).and_then(|it| std::fs::canonicalize(it).ok())
}

/// The server of the current context; a text that completes `this kubeconfig …` if there is none.
pub(crate) fn current_server(kubeconfig: &str) -> Result<String, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Kubeconfig {
        #[serde(default)]
        current_context: String,
        #[serde(default)]
        contexts: Vec<NamedContext>,
        #[serde(default)]
        clusters: Vec<NamedCluster>,
    }
    #[derive(Deserialize)]
    struct NamedContext {
        name: String,
        context: KubeContext,
    }
    #[derive(Deserialize)]
    struct KubeContext {
        cluster: String,
    }
    #[derive(Deserialize)]
    struct NamedCluster {
        name: String,
        cluster: KubeCluster,
    }
    #[derive(Deserialize)]
    struct KubeCluster {
        server: String,
    }
    // The parser's message may show the text, and with it a credential.
    let read: Kubeconfig = serde_saphyr::from_str(kubeconfig).map_err(|_| "is no kubeconfig".to_owned())?;
    let name = read.current_context;
    if name.is_empty() {
        return Err("names no current context".to_owned());
    }
    let context = read.contexts.into_iter().find(|it| it.name == name);
    let context = context.ok_or_else(|| format!("has no context `{name}`, which is its current one"))?.context;
    let cluster = read.clusters.into_iter().find(|it| it.name == context.cluster);
    Ok(cluster.ok_or_else(|| format!("has no cluster `{}`", context.cluster))?.cluster.server)
}

/// The port of a server on this machine.
fn local_port(server: &str) -> Option<u16> {
    let server: hyper::Uri = server.parse().ok()?;
    let host = server.host()?.trim_start_matches('[').trim_end_matches(']');
    let is_local = host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback() || it.is_unspecified());
    let port = server.port_u16().or(match server.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    });
    port.filter(|_| is_local)
}

fn unreadable(file: &Path) -> String {
    format!("{} cannot be used", file.display())
}

pub(crate) fn which(program: &Path) -> anyhow::Result<PathBuf> {
    if program.components().count() > 1 {
        return std::fs::canonicalize(program).with_context(|| format!("{} cannot be found", program.display()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|it| it.join(program)).find(|it| it.is_file());
    found.with_context(|| format!("{} is not on the PATH; name it with --helm", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(server: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: b\ncontexts:\n- name: a\n  context: {{cluster: far, user: x}}\n- name: b\n  context: {{cluster: near, user: x, namespace: n}}\nclusters:\n- name: far\n  cluster: {{server: 'https://prod.example.test'}}\n- name: near\n  cluster: {{server: '{server}', certificate-authority-data: eA==}}\nusers:\n- name: x\n  user: {{token: s3cret}}\n"
        )
    }

    #[test]
    fn the_server_is_that_of_the_current_context() {
        assert_eq!(current_server(&kubeconfig("https://127.0.0.1:6443")), Ok("https://127.0.0.1:6443".to_owned()));
        let other = kubeconfig("https://127.0.0.1:6443").replace("current-context: b", "current-context: a");
        assert_eq!(current_server(&other), Ok("https://prod.example.test".to_owned()));
        for (bad, why) in [
            ("", "names no current context"),
            ("s3cret: [", "is no kubeconfig"),
            ("current-context: x\ncontexts: []", "has no context `x`, which is its current one"),
            ("current-context: a\ncontexts: [{name: a, context: {cluster: c}}]", "has no cluster `c`"),
        ] {
            assert_eq!(current_server(bad), Err(why.to_owned()), "{bad:?}");
        }
    }

    #[test]
    fn only_servers_on_this_machine_are_local() {
        for (server, port) in [
            ("https://127.0.0.1:36443", Some(36443)),
            ("https://127.8.9.10:1", Some(1)),
            ("https://localhost", Some(443)),
            ("http://LOCALHOST", Some(80)),
            ("https://[::1]:6443", Some(6443)),
            ("https://0.0.0.0:40001", Some(40001)),
            ("https://192.168.49.2:8443", None),
            ("https://localhost.example.test", None),
            ("https://127.0.0.1.example.test:6443", None),
            ("https://127.0.0.1@prod.example.test:6443", None),
            ("file:///var/cluster", None),
            ("nonsense", None),
        ] {
            assert_eq!(local_port(server), port, "{server}");
        }
    }
}
