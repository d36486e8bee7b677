//! `windlass doctor`

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use windlass_sandbox::{Allocation, Sandbox, SandboxOptions};
use windlass_server::Client;

use super::Context;
use super::demo::cluster::{current_server, kubeconfig, which};
use crate::author::Language;
use crate::author::tools::{Looked, look};
use crate::output::{BAD, DIM, GOOD, WAIT, styled};

/// Tell what of this machine works for Windlass, what is missing, and how to get it
///
/// What is needed is the state directory and the sandbox; the tools of a language are when it is named, or when this
/// folder has a plugin in it. Exit code 1: something that is needed is missing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  windlass doctor\n  windlass doctor --lang js --lang go\n  windlass --state /var/lib/windlass doctor --json"
)]
pub(crate) struct DoctorArgs {
    /// A language that plugins are to be written in
    #[arg(long = "lang", value_enum)]
    languages: Vec<Language>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Good,
    /// It is missing or wrong, and needed.
    Bad,
    /// It is missing or slow, and nothing needs it now.
    Aside,
}

#[derive(Debug, Serialize)]
struct Examined {
    what: String,
    health: Health,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Examined {
    fn good(what: &str, found: impl Into<String>) -> Self {
        Self { what: what.to_owned(), health: Health::Good, found: found.into(), remedy: None }
    }

    fn lacking(what: &str, needed: bool, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let health = if needed { Health::Bad } else { Health::Aside };
        Self { what: what.to_owned(), health, found: found.into(), remedy: Some(remedy.into()) }
    }
}

pub(crate) async fn doctor(args: &DoctorArgs, context: &Context<'_>) -> anyhow::Result<u8> {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let mut all = vec![sandbox()];
    state_directory(context, &mut all).await;
    let own = Language::of(&here).ok();
    for (language, _, _) in Language::ALL {
        let needed = args.languages.contains(&language) || own == Some(language);
        // Whoever has no plugin here is told what to do in one.
        let is_here = own == Some(language) || language == Language::Rust;
        let folder = if is_here { here.as_path() } else { Path::new("PLUGIN") };
        for Looked { tool, found, remedy } in look(language, folder).await {
            let what = format!("{}: {tool}", language.name());
            all.push(match (found, remedy) {
                (Ok(version), None) => Examined::good(&what, version),
                (Ok(version), Some(remedy)) => Examined::lacking(&what, false, version, remedy),
                (Err(why), remedy) => Examined::lacking(&what, needed, why, remedy.unwrap_or_default()),
            });
        }
    }
    all.extend([helm(), cluster()]);
    context.output.data(&all, |it| it.iter().map(line).collect());
    Ok(u8::from(all.iter().any(|it| it.health == Health::Bad)))
}

fn line(it: &Examined) -> String {
    let sign = match it.health {
        Health::Good => styled(GOOD, "✔"),
        Health::Bad => styled(BAD, "✘"),
        Health::Aside => styled(WAIT, "–"),
    };
    let remedy = it.remedy.as_deref().map(|it| format!("\n    {}", styled(DIM, it))).unwrap_or_default();
    format!("{sign} {}: {}{remedy}\n", it.what, it.found)
}

fn sandbox() -> Examined {
    const WHAT: &str = "sandbox";
    match Sandbox::new(SandboxOptions::default()).map(|it| it.allocation()) {
        Ok(Allocation::PooledResident) => Examined::good(WHAT, "instances come from pools whose pages stay resident"),
        Ok(Allocation::Pooled) => Examined::lacking(
            WHAT,
            false,
            "instances come from pools, in the slower of two ways",
            "Linux 6.7 or newer has what the faster one needs (PAGEMAP_SCAN)",
        ),
        Ok(Allocation::OnDemand) => Examined::lacking(
            WHAT,
            false,
            "the memory of each instance is mapped anew, which is slow",
            "allow this process some 20 TiB of address space: `ulimit -v unlimited`, no limit of the container on it",
        ),
        Err(error) => Examined::lacking(WHAT, true, error.to_string(), "this machine cannot run plugins"),
    }
}

/// A disk that takes longer than this to make something durable is slow.
const SYNC_SLOW_MS: f64 = 10.0;

async fn state_directory(context: &Context<'_>, all: &mut Vec<Examined>) {
    const WHAT: &str = "state directory";
    let root = context.state_path();
    let shown = root.display().to_string();
    // Nothing is made by looking.
    let measured = if root.is_dir() {
        let mode = std::fs::metadata(root).map(|it| it.permissions().mode()).unwrap_or_default();
        all.push(if mode & 0o077 == 0 {
            Examined::good(WHAT, shown)
        } else {
            Examined::lacking(WHAT, true, format!("others can look into {shown}"), format!("chmod 700 {shown}"))
        });
        match context.existing_state() {
            Ok(Some(state)) => all.push(match Client::connect(&state).await {
                Some(client) => Examined::good("process", format!("{} answers", client.who())),
                None => {
                    Examined::lacking("process", false, "nothing is running", "`windlass serve` goes on with releases")
                }
            }),
            Ok(None) => {}
            Err(error) => {
                all.push(Examined::lacking(WHAT, true, format!("{error:#}"), "name another with `--state DIR`"));
            }
        }
        root.to_owned()
    } else {
        let parent = root.ancestors().skip(1).map(|it| if it.as_os_str().is_empty() { Path::new(".") } else { it });
        let parent = parent.into_iter().find(|it| it.is_dir()).unwrap_or(Path::new(".")).to_owned();
        all.push(Examined::good(WHAT, format!("{shown} is not there yet, and is made when it is needed")));
        parent
    };
    let syncs =
        tokio::task::spawn_blocking(move || (windlass_store::measure::fdatasync_p50(&measured), measured)).await;
    let Ok((syncs, measured)) = syncs else { return };
    all.push(match syncs {
        Ok(took) => {
            let millis = took.as_secs_f64() * 1e3;
            let found = format!("a small append is durable after {millis:.2} ms (median)");
            if millis > SYNC_SLOW_MS {
                Examined::lacking(
                    "disk",
                    false,
                    found,
                    "each step waits for this: another disk is faster (`--state DIR`)",
                )
            } else {
                Examined::good("disk", found)
            }
        }
        Err(error) => Examined::lacking(
            "disk",
            true,
            format!("nothing can be written in {}: {error}", measured.display()),
            "name another place with `--state DIR`",
        ),
    });
}

fn helm() -> Examined {
    match which(Path::new("helm")) {
        Ok(path) => Examined::good("helm", path.display().to_string()),
        Err(_) => Examined::lacking(
            "helm",
            false,
            "not on the path; the demo has a stand-in",
            "https://helm.sh/docs/intro/install, for releases that deploy with it",
        ),
    }
}

fn cluster() -> Examined {
    const WHAT: &str = "cluster";
    let Some(file) = kubeconfig() else {
        let found = "no kubeconfig (KUBECONFIG, ~/.kube/config)";
        return Examined::lacking(WHAT, false, found, "`windlass connection add … --auth kubeconfig` names one");
    };
    let read = std::fs::read_to_string(&file).map_err(|error| format!("cannot be read: {error}"));
    match read.and_then(|it| current_server(&it)) {
        Ok(server) => Examined::good(WHAT, format!("{server}, of {}", file.display())),
        Err(why) => Examined::lacking(WHAT, false, format!("{} {why}", file.display()), "mend it, or name another"),
    }
}
