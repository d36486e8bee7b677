//! What all calls share, and the way in.

use std::collections::HashMap;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Linker;
use windlass_model::digest::Digest;
use windlass_model::manifest::{EffectiveLimits, Manifest};

use crate::call::{self, CallReport, CallRequest};
use crate::capability::http::HttpClients;
use crate::capability::tool::Tools;
use crate::cassette::Player;
use crate::component::{self, ComponentError, Inspection};
use crate::engine::{self, Allocation, Ticker};
use crate::load::{self, PrepareError};
use crate::plugin::Plugin;
use crate::secret::{EnvironmentAndFiles, SecretSource};
use crate::state::CallState;

/// How a sandbox is set up.
#[derive(Clone)]
pub struct SandboxOptions {
    /// Where compiled code is kept, private to this user; none keeps nothing. Whoever can write there
    /// can run native code in this process.
    pub cache_dir: Option<PathBuf>,
    /// Where tools get their private folders, this sandbox's alone: what a host that was killed left there
    /// (files of plugins, kubeconfigs) is removed. None uses the system's folder for temporary files.
    pub tools_dir: Option<PathBuf>,
    /// Instances at once; further calls wait.
    pub instances_max: u32,
    /// Native tools at once; further ones wait, on their call's time.
    pub tools_max: usize,
    /// The operator's bound of every limit.
    pub bound: EffectiveLimits,
    /// Where secrets are read.
    pub secrets: Arc<dyn SecretSource>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            cache_dir: None,
            tools_dir: None,
            instances_max: 2_000,
            tools_max: 16,
            bound: EffectiveLimits::BOUND,
            secrets: Arc::new(EnvironmentAndFiles),
        }
    }
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The folder for compiled code cannot be used.
    #[error("the folder for compiled code {} cannot be used: {why}", .folder.display())]
    Cache {
        /// Which folder.
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// wasmtime does not start.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// The folder for tools cannot be used.
    #[error("the folder for tools {} cannot be used: {why}", .folder.display())]
    Tools {
        /// Which folder.
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Runs plugins. Cheap to clone; all clones are the same sandbox.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<CallState>,
    pub(crate) ticker: Ticker,
    pub(crate) permits: Semaphore,
    pub(crate) instances_max: u32,
    pub(crate) bound: EffectiveLimits,
    pub(crate) secrets: Arc<dyn SecretSource>,
    pub(crate) http: HttpClients,
    pub(crate) tools: Tools,
    allocation: Allocation,
    prepared: Mutex<HashMap<Digest, Weak<Plugin>>>,
}

impl Sandbox {
    /// Starts the engine; reserves address space, not memory.
    pub fn new(options: SandboxOptions) -> Result<Self, SandboxError> {
        let SandboxOptions { cache_dir, tools_dir, instances_max, tools_max, bound, secrets } = options;
        let instances_max = instances_max.max(1);
        let cache_dir = cache_dir
            .map(|folder| private_folder(&folder).map_err(|why| SandboxError::Cache { folder, why }))
            .transpose()?;
        let tools_dir = match tools_dir {
            Some(folder) => empty_folder(&folder).map_err(|why| SandboxError::Tools { folder, why })?,
            None => std::env::temp_dir(),
        };
        let refuse = |error: wasmtime::Error| SandboxError::Engine(format!("{error:#}"));
        let (engine, allocation) = engine::start(instances_max, cache_dir.as_deref()).map_err(refuse)?;
        let inner = Inner {
            linker: load::linker(&engine).map_err(refuse)?,
            ticker: Ticker::start(&engine).map_err(|error| SandboxError::Engine(error.to_string()))?,
            permits: Semaphore::new(instances_max as usize),
            instances_max,
            bound,
            secrets,
            http: HttpClients::default(),
            tools: Tools::new(tools_max.max(1), &tools_dir),
            allocation,
            prepared: Mutex::default(),
            engine,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// How the memory of instances is had on this machine.
    pub fn allocation(&self) -> Allocation {
        self.inner.allocation
    }

    /// Reads a component's manifest without running it.
    pub fn inspect(bytes: &[u8]) -> Result<Inspection, ComponentError> {
        component::inspect(bytes)
    }

    /// Asks a component for its manifest, for embedding: calls `manifest` in an instance whose clocks
    /// stand still, whose randomness is fixed and in which every call of a capability fails. The
    /// answer is checked and given as the component wrote it.
    pub async fn describe(&self, bytes: &[u8]) -> Result<String, PrepareError> {
        let linked = self.link(bytes).await?;
        let manifest = load::describe(&self.inner, &linked).await?;
        Manifest::parse(manifest.as_bytes())?;
        Ok(manifest)
    }

    /// Makes a component ready to be called. Compiled code is cached on disk; the same bytes give the
    /// same plugin for as long as somebody holds it.
    ///
    /// Refused are components without an embedded manifest or with another one than `manifest` gives,
    /// and those that import what the host does not know.
    pub async fn prepare(&self, bytes: &[u8]) -> Result<Arc<Plugin>, PrepareError> {
        let digest = Digest::of(bytes);
        if let Some(plugin) = self.prepared().get(&digest).and_then(Weak::upgrade) {
            return Ok(plugin);
        }
        let embedded = component::manifest_section(bytes)?.ok_or(ComponentError::NoManifest)?;
        let linked = self.link(bytes).await?;
        let plugin = Arc::new(load::prepare(&self.inner, digest, embedded, linked).await?);
        let mut prepared = self.prepared();
        prepared.retain(|_, plugin| plugin.strong_count() > 0);
        if let Some(same) = prepared.get(&digest).and_then(Weak::upgrade) {
            return Ok(same);
        }
        prepared.insert(digest, Arc::downgrade(&plugin));
        Ok(plugin)
    }

    /// Carries out one call in an instance of its own. Waits while the sandbox is full. Dropping the
    /// future ends the call: the instance is dropped, its requests are cut off, its tools are killed.
    pub async fn call(&self, plugin: &Arc<Plugin>, request: CallRequest) -> CallReport {
        call::call(&self.inner, plugin, request, None).await
    }

    /// The same, answered by `player` instead of the world.
    pub(crate) async fn play(&self, plugin: &Arc<Plugin>, request: CallRequest, player: Arc<Player>) -> CallReport {
        call::call(&self.inner, plugin, request, Some(player)).await
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> Arc<Inner> {
        Arc::clone(&self.inner)
    }

    async fn link(&self, bytes: &[u8]) -> Result<load::Linked, PrepareError> {
        let (inner, bytes) = (Arc::clone(&self.inner), bytes.to_vec());
        tokio::task::spawn_blocking(move || load::link(&inner, &bytes))
            .await
            .map_err(|error| PrepareError::Invalid(format!("compiling it failed: {error}")))?
    }

    fn prepared(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Weak<Plugin>>> {
        self.inner.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the folder anew, without anything in it; gives its absolute path.
fn empty_folder(folder: &Path) -> Result<PathBuf, String> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
        _ => private_folder(folder),
    }
}

/// Makes the folder, or checks that nobody else can write to it; gives its absolute path.
fn private_folder(folder: &Path) -> Result<PathBuf, String> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| error.to_string())?;
    let folder = folder.canonicalize().map_err(|error| error.to_string())?;
    let metadata = std::fs::metadata(&folder).map_err(|error| error.to_string())?;
    if metadata.permissions().mode() & 0o022 != 0 {
        return Err("others can write to it; `chmod 700` it".to_owned());
    }
    Ok(folder)
}
