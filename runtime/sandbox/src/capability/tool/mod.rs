//! Native tools: what `tools` of the contract becomes.
//!
//! The boundary is honest: what a tool does is not sandboxed, it runs as the user that runs the host.
//! What reaches it is: the program with the declared digest, a granted subcommand, an environment that
//! holds nothing of the host's, a private folder, and the credential of a granted connection. What
//! comes back is bounded and scrubbed.
//!
//! **Invariant:** a tool and the processes it started in its group do not outlive the call, nor
//! this process when that is killed. One that
//! leaves its process group on purpose is out of reach.

mod files;
mod grant;
mod kubeconfig;
mod play;
mod program;
mod run;
mod stream;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynInputStream;
use windlass_bindings::windlass::plugin::tools;
use windlass_model::connection::{Authentication, Connection};
use windlass_model::grant::Missing;

use self::program::Programs;
use self::run::{Ended, Process, Ready};
use self::stream::ToolStream;
use crate::cassette::{Content, ToolCommand, ToolRan};
use crate::host::HostCall;
use crate::shared::Shared;
use crate::state::CallState;

/// What the tools of a sandbox share.
pub(crate) struct Tools {
    permits: Arc<Semaphore>,
    programs: Programs,
    /// Where their private folders are made.
    folder: Arc<Path>,
}

impl Tools {
    pub(crate) fn new(tools_max: usize, folder: &Path) -> Self {
        Self { permits: Arc::new(Semaphore::new(tools_max)), programs: Programs::default(), folder: folder.into() }
    }
}

/// Two names for the same entry of the table: the contract's and ours.
fn process(this: &Resource<tools::Process>) -> Resource<Process> {
    Resource::new_borrow(this.rep())
}

impl tools::Host for CallState {
    async fn run(
        &mut self,
        command: tools::Command,
    ) -> wasmtime::Result<Result<Resource<tools::Process>, tools::ToolError>> {
        let shared = Arc::clone(&self.shared);
        shared.target("tools.run")?;
        shared.spend_tool_call()?;
        let scrubber = shared.scrubber();
        shared.host.host_call(HostCall::Tool {
            tool: scrubber.text(command.tool.clone()),
            arguments: command.arguments.iter().map(|it| scrubber.text(it.clone())).collect(),
        });
        match start(&shared, command).await? {
            Ok(process) => {
                let process = self.table.push(process)?;
                Ok(Ok(Resource::new_own(process.rep())))
            }
            Err(error) => Ok(Err(error)),
        }
    }
}

async fn start(shared: &Arc<Shared>, command: tools::Command) -> wasmtime::Result<Result<Process, tools::ToolError>> {
    let (plugin, name, action) = shared.target("tools.run")?;
    let asking = grant::Asking { plugin, name, action, access: &shared.access, dry_run: shared.dry_run };
    let granted = match grant::decide(&command, &asking) {
        Ok(granted) => granted,
        Err(denial) => {
            let text = shared.scrubber().text(denial.to_string());
            if let Some(recorder) = shared.recorder() {
                let slot = recorder.tool(recorded(&command));
                recorder.tool_was(slot, ToolRan::Denied(denial.to_string()));
            }
            if denial.missing == Missing::DryRun {
                let line = format!("tool {} {}", command.tool, command.arguments.join(" "));
                shared.would(line, &command.stdin, command.stdin.len() as u64);
            }
            shared.deny("tool-denied", *denial);
            return Ok(Err(tools::ToolError::Denied(text)));
        }
    };
    shared.allow();
    let mut change = shared.will_change();
    let changes_nothing = granted.changes_nothing;
    let started = begin(shared, granted, command).await?;
    if changes_nothing || matches!(started, Err(tools::ToolError::NotStarted(_))) {
        change.withdraw();
    }
    Ok(started)
}

/// Runs what is granted, or plays it again.
async fn begin(
    shared: &Arc<Shared>,
    granted: grant::Granted<'_>,
    command: tools::Command,
) -> wasmtime::Result<Result<Process, tools::ToolError>> {
    if let Some(player) = shared.player() {
        return match player.tool(&recorded(&command)) {
            Ok(ran) => Ok(play::process(ran)),
            Err(error) => Err(shared.stop(error).into()),
        };
    }
    let slot = shared.recorder().and_then(|it| it.tool(recorded(&command)));
    let not_started = |why: String| {
        let why = shared.scrubber().text(why);
        if let Some(recorder) = shared.recorder() {
            recorder.tool_was(slot, ToolRan::NotStarted(why.clone()));
        }
        Ok(Err(tools::ToolError::NotStarted(why)))
    };
    let kubeconfig = match granted.connection.map(|it| read_kubeconfig(shared, it)).transpose() {
        Ok(kubeconfig) => kubeconfig,
        Err(why) => return not_started(why),
    };
    let tools = &shared.sandbox.tools;
    let Ok(permit) = Arc::clone(&tools.permits).acquire_owned().await else {
        return not_started("the sandbox is ending".to_owned());
    };
    let tools::Command { arguments, files, stdin, .. } = command;
    let folders = match files::prepare(Arc::clone(&tools.folder), files, kubeconfig).await {
        Ok(folders) => folders,
        Err(why) => return not_started(why),
    };
    let program = match tools.programs.verified(granted.tool).await {
        Ok(program) => program,
        Err(why) => return not_started(why),
    };
    let ready = Ready { program, arguments, stdin, folders, permit, slot };
    match run::start(shared, granted.tool, ready).await {
        Ok(process) => Ok(Ok(process)),
        Err(why) => not_started(why),
    }
}

/// A command as it is written down.
fn recorded(command: &tools::Command) -> ToolCommand {
    ToolCommand {
        tool: command.tool.clone(),
        arguments: command.arguments.clone(),
        connection: command.connection.clone(),
        files: command.files.iter().map(|(name, content)| (name.clone(), Content::of(content))).collect(),
        stdin: (!command.stdin.is_empty()).then(|| Content::of(&command.stdin)),
    }
}

fn read_kubeconfig(shared: &Shared, connection: &Connection) -> Result<String, String> {
    let Authentication::Kubeconfig { kubeconfig } = &connection.authentication else {
        return Err("the connection has no kubeconfig".to_owned());
    };
    let content = shared.sandbox.secrets.resolve(kubeconfig).map_err(|error| error.to_string())?;
    let secrets = kubeconfig::secrets(content.expose())
        .map_err(|why| format!("the kubeconfig of connection `{}` {why}", connection.name))?;
    shared.add_secrets(secrets);
    Ok(content.expose().to_owned())
}

impl tools::HostProcess for CallState {
    async fn stdout(&mut self, this: Resource<tools::Process>) -> wasmtime::Result<Resource<DynInputStream>> {
        let stream = self.table.get_mut(&process(&this))?.stdout.take();
        self.stream(stream)
    }

    async fn stderr(&mut self, this: Resource<tools::Process>) -> wasmtime::Result<Resource<DynInputStream>> {
        let stream = self.table.get_mut(&process(&this))?.stderr.take();
        self.stream(stream)
    }

    async fn wait(&mut self, this: Resource<tools::Process>) -> wasmtime::Result<Result<i32, tools::ToolError>> {
        let mut ended = self.table.get(&process(&this))?.ended.clone();
        let ended = match ended.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone(),
            Err(_) => None,
        };
        Ok(match ended {
            Some(Ended::Exited(code)) => Ok(code),
            Some(Ended::TimedOut) => Err(tools::ToolError::TimedOut),
            Some(Ended::OutputLimit) => Err(tools::ToolError::OutputLimit),
            Some(Ended::Signalled(signal)) => Err(tools::ToolError::Killed(signal)),
            None => Err(tools::ToolError::Killed("the host lost it".to_owned())),
        })
    }

    async fn drop(&mut self, this: Resource<tools::Process>) -> wasmtime::Result<()> {
        // Its own drop kills it.
        self.table.delete(Resource::<Process>::new_own(this.rep()))?;
        Ok(())
    }
}

impl CallState {
    fn stream(&mut self, stream: Option<ToolStream>) -> wasmtime::Result<Resource<DynInputStream>> {
        let stream: DynInputStream = Box::new(stream.unwrap_or_else(ToolStream::empty));
        Ok(self.table.push(stream)?)
    }
}
