//! What a plugin talks to: a program that is started for a scenario, or a service that runs.

use std::fs::File;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use url::Url;

use crate::file::{Conformance, CounterpartFile};
use crate::program::OURS;
use crate::{Broken, SECRET};

/// How long a counterpart may take until it takes connections.
const START_MAX: Duration = Duration::from_secs(20);

/// Another address is tried so many times: somebody may have taken it meanwhile.
const STARTS_MAX: u32 = 3;

/// One that answers. Dropping it ends what was started for it.
pub(crate) struct Counterpart {
    pub(crate) base: Url,
    _process: Option<(Child, Listening)>,
}

impl Counterpart {
    /// Starts it, or takes the one that runs. `ours` is the program that `windlass` in a command stands for.
    pub(crate) async fn start(file: &Conformance, ours: Option<&Path>) -> Result<Option<Self>, Broken> {
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
        let mut tries = 1;
        loop {
            match begin(command, file, ours).await {
                Err(Ended { at_once: true, .. }) if tries < STARTS_MAX => tries += 1,
                Err(Ended { why, .. }) => {
                    return Err(Broken::Counterpart(format!("`{}`: {why}", command.join(" "))));
                }
                Ok(counterpart) => return Ok(Some(counterpart)),
            }
        }
    }
}

/// Why a program does not answer.
struct Ended {
    why: String,
    /// Whether it ran and ended.
    at_once: bool,
}

impl From<String> for Ended {
    fn from(why: String) -> Self {
        Self { why, at_once: false }
    }
}

async fn begin(command: &[String], file: &Conformance, ours: Option<&Path>) -> Result<Counterpart, Ended> {
    let text = |error: std::io::Error| error.to_string();
    let listening = Listening::find().await.map_err(text)?;
    let listen = listening.address.to_string();
    let port = listening.address.port().to_string();
    let mut words =
        command.iter().map(|it| it.replace("{listen}", &listen).replace("{port}", &port).replace("{secret}", SECRET));
    let program = words.next().ok_or_else(|| "it is empty".to_owned())?;
    let said = tempfile::tempfile().map_err(text)?;
    let mut process = match ours {
        Some(ours) if program == OURS => Command::new(ours),
        _ => Command::new(&program),
    };
    process.args(words).current_dir(&file.folder).stdin(Stdio::null()).stdout(Stdio::null());
    process.stderr(said.try_clone().map_err(text)?).kill_on_drop(true);
    let mut process = process.spawn().map_err(|error| format!("it does not start: {error}"))?;
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
            return Err(Ended { why: format!("it ended at once ({ended}): {}", told(said)), at_once: true });
        }
        () = tokio::time::sleep(START_MAX) => {
            let seconds = START_MAX.as_secs();
            let why = format!(
                "nothing listens at {listen} after {seconds} s; `{{listen}}` stands for where it should, `{{port}}` for the port alone"
            );
            return Err(why.into());
        }
    }
    // What answers there is not it, if it has ended.
    if let Ok(Some(ended)) = process.try_wait() {
        return Err(Ended { why: format!("it ended at once ({ended}): {}", told(said)), at_once: true });
    }
    let base = Url::parse(&format!("http://{listen}")).map_err(|error| error.to_string())?;
    Ok(Counterpart { base, _process: Some((process, listening)) })
}

/// Where a counterpart is to listen, which is nobody else's while it lives: neither another scenario's nor another process's.
struct Listening {
    address: SocketAddr,
    _locked: File,
}

/// Below those that systems hand out by themselves, to a proxy that is just starting for example: whoever got there first would
/// be taken for the counterpart. Few enough that nobody minds their files.
const PORTS: Range<u16> = 21_000..22_000;

/// How many of them are tried.
const PORTS_TRIED_MAX: u32 = 500;

impl Listening {
    async fn find() -> std::io::Result<Self> {
        for _ in 0..PORTS_TRIED_MAX {
            let port = rand::random_range(PORTS);
            let file = std::env::temp_dir().join(format!("windlass-certify-{port}.lock"));
            let Ok(locked) = File::create(file) else { continue };
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            if locked.try_lock().is_ok() && TcpListener::bind(address).await.is_ok() {
                return Ok(Self { address, _locked: locked });
            }
        }
        Err(std::io::Error::other(format!("of {PORTS_TRIED_MAX} ports that were tried none is free")))
    }
}

fn told(mut file: std::fs::File) -> String {
    use std::io::{Read as _, Seek as _};
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    read.map(|_| text.trim().to_owned()).unwrap_or_default()
}
