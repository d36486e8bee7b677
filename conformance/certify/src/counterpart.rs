//! What a plugin talks to: a program that is started for a scenario, or a service that runs.

use std::process::Stdio;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use url::Url;

use crate::file::{Conformance, CounterpartFile};
use crate::{Broken, SECRET};

/// How long a counterpart may take until it takes connections.
const START_MAX: Duration = Duration::from_secs(20);

/// Stands for the running `windlass` program in a command.
const OURS: &str = "windlass";

/// One that answers. Dropping it ends what was started for it.
pub(crate) struct Counterpart {
    pub(crate) base: Url,
    _process: Option<Child>,
}

impl Counterpart {
    /// Starts it, or takes the one that runs. `ours` is the program that `windlass` in a command stands for.
    pub(crate) async fn start(file: &Conformance, ours: Option<&std::path::Path>) -> Result<Option<Self>, Broken> {
        let command = match &file.counterpart {
            None => return Ok(None),
            Some(CounterpartFile::Address(address)) => {
                let base = Url::parse(address).ok().filter(|it| it.scheme() == "http" && it.has_host());
                let base = base.ok_or_else(|| {
                    Broken::Counterpart(format!("`{address}` is no address of a counterpart: write http://HOST:PORT"))
                })?;
                return Ok(Some(Self { base, _process: None }));
            }
            Some(CounterpartFile::Command(command)) => command,
        };
        let listen = free_address().await.map_err(|error| Broken::Counterpart(error.to_string()))?;
        let mut words = command.iter().map(|it| it.replace("{listen}", &listen).replace("{secret}", SECRET));
        let program = words.next().ok_or_else(|| Broken::Counterpart("its `command` is empty".to_owned()))?;
        let failed = |why: String| Broken::Counterpart(format!("`{}`: {why}", command.join(" ")));
        let said = tempfile::tempfile().map_err(|error| failed(error.to_string()))?;
        let mut process = match ours {
            Some(ours) if program == OURS => Command::new(ours),
            _ => Command::new(&program),
        };
        process.args(words).current_dir(&file.folder).stdin(Stdio::null()).stdout(Stdio::null());
        process.stderr(said.try_clone().map_err(|error| failed(error.to_string()))?).kill_on_drop(true);
        let mut process = process.spawn().map_err(|error| failed(format!("it does not start: {error}")))?;
        let answering = async {
            while TcpStream::connect(&listen).await.is_err() {
                // Nothing tells when a program of somebody else's begins to listen.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = answering => {}
            ended = process.wait() => {
                let ended = ended.map(|it| it.to_string()).unwrap_or_default();
                return Err(failed(format!("it ended at once ({ended}): {}", told(said))));
            }
            () = tokio::time::sleep(START_MAX) => {
                return Err(failed(format!("nothing listens at {listen} after {} s; `{{listen}}` stands for where it should", START_MAX.as_secs())));
            }
        }
        let base = Url::parse(&format!("http://{listen}")).map_err(|error| failed(error.to_string()))?;
        Ok(Some(Self { base, _process: Some(process) }))
    }
}

fn told(mut file: std::fs::File) -> String {
    use std::io::{Read as _, Seek as _};
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    read.map(|_| text.trim().to_owned()).unwrap_or_default()
}

/// An address that nobody listens at.
async fn free_address() -> std::io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string())
}
