//! Stands between a plugin and its native tools: a script in the place of each, which writes down what is run, and does what
//! programs and machines do on bad days, at one run of a scenario.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::net::unix::pipe;
use tokio::process::Command;
use windlass_model::connection::Tool;
use windlass_model::digest::Digest;
use windlass_model::manifest::Manifest;
use windlass_model::name::{ConnectionName, RoleName, ToolName};

use crate::file::Conformance;
use crate::scenario::Of;
use crate::transcript::{Event, Record};
use crate::{Broken, SECRET, program};

/// How long a tool may run before it is killed: less than a call.
const WALL_MS: u64 = 3_000;

/// How long one may run that the suite asks for something itself.
const ASKED_MAX: Duration = Duration::from_secs(20);

/// What a tool finds on its path.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What is done to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// It is killed before it has done anything.
    Killed,
    /// It is killed in the middle of its work, where it has one.
    Halfway,
    /// It does its work, and is killed before it has printed anything.
    Lost,
    /// It does its work, and is killed in the middle of what it prints.
    CutOutput,
    /// It fails before it has done anything.
    Fails,
    /// It does its work and fails.
    FailsAfter,
    /// It prints a page of HTML and has done nothing.
    Page,
    /// It fails and prints the credential.
    Echo,
    /// It prints without end.
    Endless,
    /// It does its work and does not end.
    Silent,
    /// It does not end, and the host ends the call meanwhile.
    Hold(Done),
}

/// How much of its work a run has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Nothing,
    Half,
    All,
}

/// By this a tool is asked to end in the middle of its work.
pub(crate) const HALFWAY: &str = "WINDLASS_CERTIFY_HALFWAY";

impl Mishap {
    /// What it does, in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Killed => "killed before it does anything",
            Self::Halfway => "killed in the middle of its work",
            Self::Lost => "killed when it has done its work, before it prints anything",
            Self::CutOutput => "killed when it has done its work, in the middle of what it prints",
            Self::Fails => "fails with exit code 1 before it does anything",
            Self::FailsAfter => "fails with exit code 1 when it has done its work",
            Self::Page => "prints a page of HTML instead",
            Self::Echo => "fails and prints the credential",
            Self::Endless => "prints without end",
            Self::Silent => "does its work and does not end",
            Self::Hold(Done::Nothing) => "the call is cut off before it does anything",
            Self::Hold(Done::Half) => "the call is cut off in the middle of its work",
            Self::Hold(Done::All) => "the call is cut off when it has done its work",
        }
    }

    /// Whether the tool has to end in the middle of its work for that.
    pub(crate) fn is_halfway(self) -> bool {
        matches!(self, Self::Halfway | Self::Hold(Done::Half))
    }

    /// As lines of the script; `tool` does what was asked for, `halfway` as far as its middle.
    fn script(self) -> &'static str {
        match self {
            Self::Killed => "kill -KILL $$",
            Self::Halfway => "halfway \"$@\" >/dev/null 2>&1; kill -KILL $$",
            Self::Lost => "tool \"$@\" >/dev/null 2>&1; kill -KILL $$",
            Self::CutOutput => {
                "tool \"$@\" >\"$run/printed\"; head -c $(($(wc -c <\"$run/printed\") / 2)) \"$run/printed\"; kill -KILL $$"
            }
            Self::Fails => "echo 'error: not now' >&2; exit 1",
            Self::FailsAfter => "tool \"$@\" >/dev/null 2>&1; echo 'error: not ready' >&2; exit 1",
            Self::Page => "echo '<!doctype html><title>Sign in</title><p>Please sign in.'; exit 0",
            Self::Echo => "cat \"$credential\"; cat \"$credential\" >&2; exit 1",
            Self::Endless => "while :; do printf '%65536s' ''; done",
            Self::Silent => "tool \"$@\" >/dev/null 2>&1; exec sleep 600",
            Self::Hold(Done::Nothing) => "echo >\"$bell\"; exec sleep 600",
            Self::Hold(Done::Half) => "halfway \"$@\" >/dev/null 2>&1; echo >\"$bell\"; exec sleep 600",
            Self::Hold(Done::All) => "tool \"$@\" >/dev/null 2>&1; echo >\"$bell\"; exec sleep 600",
        }
    }
}

/// Which run meets a mishap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// From 1.
    pub(crate) at: usize,
    pub(crate) of: Of,
    pub(crate) mishap: Mishap,
}

/// The tools of one scenario, and all that they keep.
pub(crate) struct Between {
    folder: TempDir,
    /// What each is, with the arguments before the plugin's.
    commands: BTreeMap<ToolName, Vec<String>>,
    plan: Option<Plan>,
    told: AtomicUsize,
    bell: pipe::Receiver,
    record: Record,
}

impl Between {
    /// Puts a script in the place of each tool of the file; none where it has no tools.
    pub(crate) async fn start(
        file: &Conformance,
        ours: Option<&Path>,
        plan: Option<Plan>,
        record: Record,
    ) -> Result<Option<Self>, Broken> {
        if file.tools.is_empty() {
            return Ok(None);
        }
        let failed = |error: std::io::Error| Broken::Tool(format!("a folder for the tools: {error}"));
        let folder = tempfile::Builder::new().prefix("windlass-certify-").tempdir().map_err(failed)?;
        for name in ["state", "runs", "tools", "home"] {
            std::fs::create_dir(folder.path().join(name)).map_err(failed)?;
        }
        let bell = folder.path().join("bell");
        mknodat(CWD, &bell, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).map_err(|it| failed(it.into()))?;
        let bell = pipe::OpenOptions::new().open_receiver(bell).map_err(failed)?;
        let mut commands = BTreeMap::new();
        for (name, tool) in &file.tools {
            let words = tool.command.iter().map(|it| filled(it, folder.path(), file));
            let mut words: Vec<String> = words.collect();
            let first = words.first_mut().ok_or_else(|| Broken::Tool(format!("the tool `{name}` is empty")))?;
            let found = program::find(first, &file.folder, ours)
                .map_err(|why| Broken::Tool(format!("the tool `{name}`: {why}")))?;
            *first = found.display().to_string();
            commands.insert(name.clone(), words);
        }
        for (role, connection) in &file.connections {
            if let Some(kubeconfig) = &connection.kubeconfig {
                let path = kubeconfig_of(folder.path(), role);
                std::fs::write(path, filled(kubeconfig, folder.path(), file)).map_err(failed)?;
            }
        }
        let between = Self { folder, commands, plan, told: AtomicUsize::new(0), bell, record };
        for name in between.commands.keys() {
            let (path, text) = (between.script_of(name), between.folder.path().join("script"));
            std::fs::write(&text, between.script(name)).map_err(failed)?;
            // Not written by this process: what it starts meanwhile would have the file open for a moment, and what
            // somebody may write to cannot be run.
            let mut copying = Command::new("/bin/sh");
            copying.args(["-c", "cp \"$1\" \"$2\" && chmod 700 \"$2\"", "sh"]).args([&text, &path]);
            let copied = copying.stdin(Stdio::null()).status().await.map_err(failed)?;
            if !copied.success() {
                return Err(Broken::Tool(format!("the script for the tool `{name}` cannot be made")));
            }
        }
        Ok(Some(between))
    }

    fn script_of(&self, name: &ToolName) -> PathBuf {
        self.folder.path().join("tools").join(name.as_str())
    }

    fn script(&self, name: &ToolName) -> String {
        let at = |part: &str| quoted(&self.folder.path().join(part).display().to_string());
        let command: Vec<String> = self.commands[name].iter().map(|it| quoted(it)).collect();
        let command = command.join(" ");
        let mut script = format!(
            "#!/bin/sh\n\
             # Made by `windlass plugin certify`: stands between a plugin and its tool.\n\
             number=0 runs={runs} bell={bell}\n\
             [ ! -e \"$runs/last\" ] || read -r number <\"$runs/last\"\n\
             number=$((number + 1))\n\
             until mkdir \"$runs/$number\" 2>/dev/null; do\n\
             \x20 [ -d \"$runs/$number\" ] || exit 70\n\
             \x20 number=$((number + 1))\n\
             done\n\
             echo $number >\"$runs/last\"\n\
             run=$runs/$number credential=${{KUBECONFIG-/dev/null}}\n\
             printf '%s\\0' {name} \"$@\" >\"$run/command\"\n\
             tool() {{ {command} \"$@\"; }}\n\
             halfway() {{ ({HALFWAY}=1; export {HALFWAY}; tool \"$@\"); }}\n",
            runs = at("runs"),
            bell = at("bell"),
            name = quoted(name.as_str()),
        );
        if let Some(Plan { at, of, mishap }) = self.plan {
            let before = match of {
                Of::All => "before=0",
                Of::Rollback => "before=; [ ! -e \"$runs/before\" ] || read -r before <\"$runs/before\"",
            };
            let is_it = format!("[ -n \"$before\" ] && [ \"$number\" = $((before + {at})) ]");
            let _ = writeln!(script, "{before}\nif {is_it}; then\n  {}\nfi", mishap.script());
        }
        let _ = writeln!(script, "exec {command} \"$@\"");
        script
    }

    /// The tools as an operator would declare them: all that the manifest asks for is granted.
    pub(crate) fn declared(
        &self,
        manifest: &Manifest,
        connections: &[ConnectionName],
    ) -> std::io::Result<BTreeMap<ToolName, Tool>> {
        let declared = self.commands.keys().map(|name| {
            let path = self.script_of(name);
            let needs = manifest.actions.values().filter_map(|it| it.tools.get(name));
            let (mut subcommands, mut dry_run) = (Vec::new(), Vec::new());
            for need in needs {
                subcommands.extend(need.subcommands.iter().cloned());
                dry_run.extend(need.dry_run.iter().cloned());
            }
            let tool = Tool {
                name: name.clone(),
                digest: Digest::of(&std::fs::read(&path)?),
                path,
                subcommands,
                dry_run,
                connections: connections.to_vec(),
                plugins: Vec::new(),
                wall_ms: WALL_MS,
                output_bytes: Tool::default_output_bytes(),
            };
            Ok((name.clone(), tool))
        });
        declared.collect()
    }

    /// `rollback` is called: its runs are counted from here.
    pub(crate) fn roll_back(&self) {
        let before = self.folder.path().join("runs/before");
        if !before.exists() {
            // Should it fail, no run meets the mishap.
            let _ = std::fs::write(before, format!("{}\n", self.runs()));
        }
    }

    /// Where the kubeconfig of a role is.
    pub(crate) fn kubeconfig(&self, role: &RoleName) -> PathBuf {
        kubeconfig_of(self.folder.path(), role)
    }

    /// Whether the host ends the call when the mishap comes.
    pub(crate) fn cuts_off(&self) -> bool {
        matches!(self.plan, Some(Plan { mishap: Mishap::Hold(_), .. }))
    }

    /// Waits until the run comes that is to be held.
    pub(crate) async fn held(&self) {
        loop {
            let mut rung = [0; 1];
            match (self.bell.readable().await, self.bell.try_read(&mut rung)) {
                (Ok(()), Ok(1)) => return,
                (Ok(()), Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                // It has rung before, and does so once.
                _ => std::future::pending().await,
            }
        }
    }

    /// How many runs there were.
    pub(crate) fn runs(&self) -> usize {
        self.told.load(Ordering::SeqCst)
    }

    /// Writes down the runs that came since this was called last.
    pub(crate) fn tell(&self) {
        loop {
            let number = self.runs() + 1;
            let run = self.folder.path().join("runs").join(number.to_string());
            if !run.is_dir() {
                return;
            }
            self.told.store(number, Ordering::SeqCst);
            // One that was killed at once has written nothing.
            let command = std::fs::read(run.join("command")).unwrap_or_default();
            let mut words = command.split(|it| *it == 0).map(|it| String::from_utf8_lossy(it).into_owned());
            let tool = words.next().unwrap_or_default();
            let mut arguments: Vec<String> = words.collect();
            arguments.pop();
            let before = std::fs::read_to_string(self.folder.path().join("runs/before")).ok();
            let before = before.and_then(|it| it.trim().parse::<usize>().ok());
            let meets = |plan: &Plan| match plan.of {
                Of::All => plan.at == number,
                Of::Rollback => before.is_some_and(|before| before + plan.at == number),
            };
            let mishap = self.plan.filter(meets).map(|it| it.mishap.words().to_owned());
            self.record.add(Event::Ran { number, tool, arguments, mishap });
        }
    }

    /// Runs a tool beside the plugin, with the credential of the first connection that has a kubeconfig: what it printed.
    pub(crate) async fn ask(&self, file: &Conformance, run: &[String]) -> Result<Vec<u8>, String> {
        let run: Vec<String> = run.iter().map(|it| filled(it, self.folder.path(), file)).collect();
        let line = run.join(" ");
        let name = run.first().and_then(|it| it.parse::<ToolName>().ok());
        let command = name.and_then(|it| self.commands.get(&it)).ok_or_else(|| format!("`{line}`: no such tool"))?;
        let home = self.folder.path().join("home");
        let mut asking = Command::new(&command[0]);
        asking.args(&command[1..]).args(&run[1..]).current_dir(&file.folder).env_clear();
        asking.env("PATH", PATH).env("HOME", &home).env("TMPDIR", &home).env("LANG", "C.UTF-8");
        if let Some((role, _)) = file.connections.iter().find(|(_, it)| it.kubeconfig.is_some()) {
            asking.env("KUBECONFIG", self.kubeconfig(role));
        }
        asking.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).process_group(0);
        let started = asking.spawn().map_err(|error| {
            let hint = if error.kind() == std::io::ErrorKind::NotFound {
                "; what its first line names is not there"
            } else {
                ""
            };
            format!("`{line}` does not start: {error}{hint}")
        })?;
        let group = started.id().and_then(|it| i32::try_from(it).ok()).and_then(Pid::from_raw);
        let ended = tokio::time::timeout(ASKED_MAX, started.wait_with_output()).await;
        if let Some(group) = group {
            // What it started and left. It fails where there is nothing.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let ended = ended.map_err(|_| format!("`{line}` does not end within {} s", ASKED_MAX.as_secs()))?;
        let ended = ended.map_err(|error| format!("`{line}`: {error}"))?;
        if !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
            return Err(format!("`{line}` ended with {}: {said}", ended.status));
        }
        Ok(ended.stdout)
    }
}

fn kubeconfig_of(folder: &Path, role: &RoleName) -> PathBuf {
    folder.join(format!("kubeconfig-{role}"))
}

fn filled(text: &str, folder: &Path, file: &Conformance) -> String {
    let beside = std::path::absolute(&file.folder).unwrap_or_else(|_| file.folder.clone());
    let text = text.replace("{state}", &folder.join("state").display().to_string());
    text.replace("{folder}", &beside.display().to_string()).replace("{secret}", SECRET)
}

/// A word as the shell takes it for itself.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
