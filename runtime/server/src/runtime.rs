//! One installation at work: the store, the sandbox, the catalog and every open release.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::{Notify, Semaphore, watch};
use windlass_engine::Release;
use windlass_model::digest::Digest;
use windlass_model::event::{Event, Record};
use windlass_model::manifest::Manifest;
use windlass_model::name::{ReleaseId, StepName, WorkflowName};
use windlass_model::plan::Plan;
use windlass_model::workflow::Uses;
use windlass_sandbox::{Plugin, Sandbox, SandboxOptions};
use windlass_store::{AppendError, DocumentKind, Outline, SledStore, Store, StoreError};

use crate::attendance::Attendance;
use crate::callbacks::{CALLBACK_BODY_BYTES_MAX, CALLBACK_HEADER_BYTES_MAX, CallbackUrl};
use crate::catalog::{Catalog, CatalogError, Declaration, Installed};
use crate::components::{Calls, Components};
use crate::driver::{self, NotTaken};
use crate::plans::KeptPlan;
use crate::recordings::Library;
use crate::state_directory::StateDirectory;
use crate::step_log::StepLog;
use crate::supervise::{Panicked, caught_now};
use crate::topic::Topics;
use crate::view::ReleaseView;

/// How a runtime is to work.
#[derive(Debug, Clone)]
pub struct RuntimeOptions {
    /// Whether open releases go on, or only questions are answered.
    pub drive: bool,
    /// Component calls at the same time; more wait for their turn.
    pub calls_max: usize,
    /// What callback addresses begin with, where callbacks are taken from the network.
    pub callbacks: Option<CallbackUrl>,
    /// What stands in for the systems that components talk to, where they are not to be reached.
    pub recordings: Option<Arc<Library>>,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self { drive: true, calls_max: 512, callbacks: None, recordings: None }
    }
}

/// One installation at work.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    /// The same, where it is one on a disk.
    pub(crate) disk: Option<Arc<SledStore>>,
    pub(crate) components: Components,
    pub(crate) catalog: RwLock<Catalog>,
    pub(crate) topics: Topics,
    pub(crate) state: StateDirectory,
    pub(crate) options: RuntimeOptions,
    pub(crate) plugins: Mutex<HashMap<Digest, Arc<tokio::sync::OnceCell<Arc<Plugin>>>>>,
    pub(crate) plans: Mutex<HashMap<Digest, Arc<Plan>>>,
    /// The last number given to a release of each workflow in this process.
    numbers: Mutex<HashMap<WorkflowName, u64>>,
    pub(crate) attendance: Mutex<Attendance>,
    /// Told when a release is parked.
    pub(crate) timer: Arc<Notify>,
    pub(crate) awakening: Semaphore,
    pub(crate) logs: Mutex<HashMap<ReleaseId, Arc<StepLog>>>,
    pub(crate) permits: Arc<Semaphore>,
    /// Told when nobody drives a release any more.
    pub(crate) changed: Arc<Notify>,
    pub(crate) schedules: crate::schedules::Schedules,
    pub(crate) breakers: Arc<crate::breakers::Breakers>,
    pub(crate) services: crate::services::Services,
    /// What became of rehearsals is written one after the other.
    pub(crate) rehearsing: tokio::sync::Mutex<()>,
    pub(crate) beginnings: crate::nested::Beginnings,
    pub(crate) admission: crate::admission::Admission,
    pub(crate) winding_down: AtomicBool,
}

/// What Windlass could not do.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The state directory failed.
    #[error("the state directory: {0}")]
    State(#[source] std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is declared cannot be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Recorded attempts cannot be read.
    #[error("what was recorded cannot be read: {0}")]
    Recordings(String),
    /// The sandbox failed.
    #[error("the sandbox: {0}")]
    Sandbox(String),
    /// A record could not be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// There is no such release.
    #[error("there is no release `{0}`")]
    UnknownRelease(ReleaseId),
    /// A journal cannot be read.
    #[error("the journal of {release} cannot be read: {message}")]
    Journal {
        /// Which release.
        release: ReleaseId,
        /// What is wrong.
        message: String,
    },
    /// An input was not taken.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    /// A backup could not be written or read.
    #[error("the backup: {0}")]
    Backup(std::io::Error),
    /// More than is kept of a callback.
    #[error(
        "the callback is too large: its body may have {} KiB and its headers {} KiB",
        CALLBACK_BODY_BYTES_MAX / 1024,
        CALLBACK_HEADER_BYTES_MAX / 1024
    )]
    CallbackTooLarge,
    /// There are no files to look after.
    #[error("this store is in memory only")]
    NotOnDisk,
    /// A step cannot go on with another version of its plugin.
    #[error("step `{step}` cannot go on with version {version}: {why}")]
    NoSuchPin {
        /// The step.
        step: StepName,
        /// The version that was asked for.
        version: String,
        /// Why not, and what would do.
        why: String,
    },
    /// An output that somebody wrote is no list, and the step runs for items.
    #[error("step `{step}` gives a list with the output of each of its items; null for one that gave none")]
    NotOneOutputPerItem {
        /// The step.
        step: StepName,
    },
    /// An output that somebody wrote is not what the action gives.
    #[error("the output is not what `{action}` gives: {problems}")]
    OutputBreaksSchema {
        /// The step's action.
        action: String,
        /// What is wrong.
        problems: String,
    },
    /// What is not rehearsed does not start.
    #[error("{0}")]
    NotRehearsed(String),
    /// What nothing would roll back does not start there.
    #[error("{0}")]
    NoRollbackTrigger(String),
    /// A schedule is not there, or cannot be so.
    #[error(transparent)]
    Schedule(#[from] crate::schedules::ScheduleError),
    /// A service is not there, or cannot be so.
    #[error(transparent)]
    Service(#[from] crate::services::ServiceError),
    /// A breaker is not there, or cannot be so.
    #[error(transparent)]
    Breaker(#[from] crate::breakers::BreakerError),
    /// An alert is none, or nobody may send it.
    #[error(transparent)]
    Alert(#[from] crate::alerts::AlertError),
    /// A release may not begin, or a limit cannot be so.
    #[error(transparent)]
    Admission(#[from] crate::admission::AdmissionError),
}

fn sandbox(state: &StateDirectory) -> Result<Components, RuntimeError> {
    let options = SandboxOptions {
        cache_dir: Some(state.compiled()),
        tools_dir: Some(state.tools()),
        ..SandboxOptions::default()
    };
    Sandbox::new(options).map(Components::Sandboxed).map_err(|error| RuntimeError::Sandbox(error.to_string()))
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runtime {
    /// Opens the installation in `state` and, if asked to, goes on with every open release.
    pub async fn open(state: StateDirectory, options: RuntimeOptions) -> Result<Self, RuntimeError> {
        let directory = state.store();
        let store = tokio::task::spawn_blocking(move || SledStore::open(&directory))
            .await
            .map_err(|error| RuntimeError::Sandbox(error.to_string()))??;
        let store = Arc::new(store);
        let sandbox = sandbox(&state)?;
        Self::assemble(state, store.clone(), Some(store), sandbox, options)
    }

    /// As [`Self::open`], with a store of the caller's.
    pub async fn with_store(
        state: StateDirectory,
        store: Arc<dyn Store>,
        options: RuntimeOptions,
    ) -> Result<Self, RuntimeError> {
        let sandbox = sandbox(&state)?;
        Self::assemble(state, store, None, sandbox, options)
    }

    /// As [`Self::with_store`], with somebody of the caller's who makes the calls of components.
    pub fn with_calls(
        state: StateDirectory,
        store: Arc<dyn Store>,
        calls: Arc<dyn Calls>,
        options: RuntimeOptions,
    ) -> Result<Self, RuntimeError> {
        Self::assemble(state, store, None, Components::Elsewhere(calls), options)
    }

    fn assemble(
        state: StateDirectory,
        store: Arc<dyn Store>,
        disk: Option<Arc<SledStore>>,
        components: Components,
        options: RuntimeOptions,
    ) -> Result<Self, RuntimeError> {
        let catalog = Catalog::load(&*store)?;
        let services = crate::services::Services::load(store.clone())?;
        let breakers = Arc::new(crate::breakers::Breakers::load(store.clone())?);
        let admission = crate::admission::Admission::load(&*store)?;
        let topics = Topics::new(state.topic_key().map_err(RuntimeError::State)?);
        let inner = Inner {
            store,
            disk,
            components,
            catalog: RwLock::new(catalog),
            topics,
            state,
            permits: Arc::new(Semaphore::new(options.calls_max)),
            options,
            plugins: Mutex::default(),
            plans: Mutex::default(),
            numbers: Mutex::default(),
            attendance: Mutex::default(),
            timer: Arc::default(),
            awakening: Semaphore::new(crate::attendance::AWAKENING_MAX),
            logs: Mutex::default(),
            changed: Arc::default(),
            schedules: crate::schedules::Schedules::default(),
            breakers,
            services,
            rehearsing: tokio::sync::Mutex::default(),
            beginnings: crate::nested::Beginnings::default(),
            admission,
            winding_down: AtomicBool::new(false),
        };
        let runtime = Self { inner: Arc::new(inner) };
        if runtime.inner.options.drive {
            runtime.take_over()?;
        }
        Ok(runtime)
    }

    /// What is declared now.
    pub fn catalog(&self) -> Catalog {
        self.inner.catalog.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The sandbox, where calls are made in one.
    pub fn sandbox(&self) -> Result<&Sandbox, RuntimeError> {
        self.inner.components.sandbox()
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// Where it keeps everything.
    pub fn state(&self) -> &StateDirectory {
        &self.inner.state
    }

    /// Whether open releases go on in this process.
    pub fn drives(&self) -> bool {
        self.inner.options.drive
    }

    /// Keeps a declaration.
    pub async fn declare(&self, declaration: Declaration) -> Result<(), RuntimeError> {
        declaration.keep(&self.inner.store).await?;
        self.inner.catalog.write().unwrap_or_else(PoisonError::into_inner).take(declaration);
        Ok(())
    }

    /// Installs a component: checks that it links and says what it is, keeps it, and declares it.
    pub async fn install(&self, component: Vec<u8>) -> Result<Installed, InstallError> {
        let digest = Digest::of(&component);
        // What it says of itself is read in a moment; compiling it takes half a minute where an engine is in it.
        if let Ok(said) = Sandbox::inspect(&component) {
            self.check_free(&said.manifest, &digest)?;
        }
        let plugin = self.sandbox()?.prepare(&component).await;
        let plugin = plugin.map_err(|error| InstallError::Refused(error.to_string()))?;
        let manifest = plugin.manifest().clone();
        self.check_free(&manifest, &digest)?;
        self.inner.store.put_blob(component).await.map_err(RuntimeError::from)?;
        let installed = Installed { component: digest, manifest };
        self.declare(Declaration::Plugin(Box::new(installed.clone()))).await?;
        Ok(installed)
    }

    /// Whether no other component has the name and version of this one.
    fn check_free(&self, manifest: &Manifest, component: &Digest) -> Result<(), InstallError> {
        let installed = self.catalog().plugins.get(&manifest.name).and_then(|it| it.get(&manifest.version)).cloned();
        match installed.filter(|it| it.component != *component) {
            Some(other) => Err(InstallError::VersionTaken {
                plugin: manifest.name.to_string(),
                version: manifest.version.to_string(),
                installed: other.component,
            }),
            None => Ok(()),
        }
    }

    /// Checks an output that somebody wrote for a step against what the step's action gives.
    pub async fn check_output(
        &self,
        id: &ReleaseId,
        step: &StepName,
        output: &serde_json::Value,
    ) -> Result<(), RuntimeError> {
        let release = self.release(id).await?;
        // The engine says which steps there are.
        let Some(index) = release.index_of(step) else { return Ok(()) };
        let outputs = match &release.definition(index).for_each {
            Some(for_each) if step.item().is_none() => {
                if for_each.reduce.is_some() {
                    return Ok(());
                }
                match output {
                    serde_json::Value::Array(items) => items.iter().filter(|it| !it.is_null()).collect(),
                    _ => return Err(RuntimeError::NotOneOutputPerItem { step: step.clone() }),
                }
            }
            _ => vec![output],
        };
        let Uses::Action(uses) = &release.definition(index).uses else { return Ok(()) };
        let plugin = self.inner.plugin(release.pin(index).runs.digest()).await;
        let plugin = plugin.map_err(|error| RuntimeError::Sandbox(error.to_string()))?;
        match outputs.into_iter().find_map(|it| plugin.output_problems(uses.action.as_str(), it)) {
            Some(problems) => {
                Err(RuntimeError::OutputBreaksSchema { action: format!("{}/{}", uses.plugin, uses.action), problems })
            }
            None => Ok(()),
        }
    }

    /// A release as it stands.
    pub async fn release(&self, id: &ReleaseId) -> Result<Box<Release>, RuntimeError> {
        if let Some(release) = self.driven(id).await {
            return Ok(release);
        }
        let replayed = self.inner.replay(id);
        if let Err(error @ RuntimeError::Store(_)) = &replayed {
            self.cannot_go_on(id, error);
        }
        Ok(Box::new(replayed?))
    }

    /// A release as people see it.
    pub async fn view(&self, id: &ReleaseId) -> Result<ReleaseView, RuntimeError> {
        let release = self.release(id).await?;
        let mut view = ReleaseView::of(&release, &self.log(id).progress());
        self.inner.breakers.tell_waits(&release, &mut view);
        self.inner.services.tell_waits(&self.inner, &release, &mut view);
        view.rehearsed = self.rehearsed(&release)?;
        self.tell_place(&release, &mut view);
        self.tell_circles(&release, &mut view).await?;
        view.within = self.within(&release).await;
        Ok(view)
    }

    /// Tells when a release or its log changes; none when nobody drives it.
    pub fn subscribe(&self, id: &ReleaseId) -> Option<(watch::Receiver<u64>, watch::Receiver<u64>)> {
        Some((self.changes(id)?, self.inner.log(id).subscribe()))
    }

    /// The log of a release. One that nobody drives is read and forgotten again.
    pub fn log(&self, id: &ReleaseId) -> Arc<StepLog> {
        let known = lock(&self.inner.logs).get(id).cloned();
        known.unwrap_or_else(|| StepLog::open(&self.inner.state.logs(), id))
    }

    /// The journal of a release.
    pub fn journal(&self, id: &ReleaseId) -> Result<Vec<Record>, RuntimeError> {
        let records = self.inner.store.journal(id)?;
        if records.is_empty() { Err(RuntimeError::UnknownRelease(id.clone())) } else { Ok(records) }
    }

    /// Waits until a release has ended, or cannot go on.
    pub fn ended(&self, id: &ReleaseId) -> impl Future<Output = ()> + Send + use<> {
        let (runtime, id) = (self.clone(), id.clone());
        let mut changed = runtime.changes(&id);
        async move {
            while let Some(mut changes) = changed {
                while changes.changed().await.is_ok() {}
                changed = runtime.changes(&id);
            }
        }
    }
}

/// Why a component was not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It is no plugin that this host can run.
    #[error("{0}")]
    Refused(String),
    /// Another component has this name and version; releases may be pinned to it.
    #[error("{plugin} {version} is installed already, from another component ({installed}): give yours a new version")]
    VersionTaken {
        /// The plugin.
        plugin: String,
        /// The version.
        version: String,
        /// What is installed.
        installed: Digest,
    },
    /// It could not be kept.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl Inner {
    pub(crate) fn log(&self, id: &ReleaseId) -> Arc<StepLog> {
        lock(&self.logs).entry(id.clone()).or_insert_with(|| StepLog::open(&self.state.logs(), id)).clone()
    }

    /// An id for a release of this plan that nobody in this process was given before.
    pub(crate) fn new_id(&self, kept: &KeptPlan) -> Result<ReleaseId, StoreError> {
        let workflow = &kept.plan.workflow().name;
        Ok(ReleaseId::new(workflow.clone(), self.take_number(workflow)?))
    }

    /// A number for the workflow's next release that nobody in this process was given before: the store
    /// learns of a number only when the release's first record is durable.
    fn take_number(&self, workflow: &WorkflowName) -> Result<u64, StoreError> {
        let mut numbers = lock(&self.numbers);
        let given = numbers.get(workflow).map_or(0, |it| it.saturating_add(1));
        let number = self.store.next_number(workflow)?.max(given);
        numbers.insert(workflow.clone(), number);
        Ok(number)
    }

    pub(crate) fn replay(&self, id: &ReleaseId) -> Result<Release, RuntimeError> {
        let records = self.store.journal(id)?;
        let unreadable = |message: String| RuntimeError::Journal { release: id.clone(), message };
        let Some(Event::ReleaseCreated(created)) = records.first().and_then(|it| it.events.first()) else {
            return Err(RuntimeError::UnknownRelease(id.clone()));
        };
        let plan =
            self.plan(created.plan)?.ok_or_else(|| unreadable(format!("its plan {} is missing", created.plan)))?;
        // It must not take others with it: all are replayed when a server begins.
        caught_now(|| Release::replay(plan, &records))
            .map_err(|Panicked| unreadable("the host itself fails at it; please report it".to_owned()))?
            .map_err(|error| unreadable(error.to_string()))
    }
}

/// Removes a declaration that nothing is pinned to any more.
impl Runtime {
    /// Forgets a connection, a tool or a group; tells whether it was there.
    pub async fn forget(&self, kind: DocumentKind, name: &str) -> Result<bool, RuntimeError> {
        let was_there = self.inner.store.remove_document(kind, name).await?;
        let catalog = Catalog::load(&*self.inner.store)?;
        *self.inner.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
        Ok(was_there)
    }
}

/// Whether an outline says what follows. Its words are those of the version that wrote it, which knew of no mark of
/// rehearsals, either.
fn is_same(follows: &Outline, outline: &Outline) -> bool {
    let follows = Outline { headline: outline.headline.clone(), ..follows.clone() };
    follows == *outline || Outline { rehearsal: false, ..follows } == *outline
}

impl Runtime {
    /// Replays every release and compares what follows with what lists show; what is wrong, a line each.
    pub fn check_replay(&self) -> Result<Vec<String>, RuntimeError> {
        let mut findings = Vec::new();
        for outline in self.inner.store.outlines()? {
            match self.inner.replay(&outline.release) {
                Ok(release) if self.inner.options.drive || is_same(&driver::outline(&release), &outline) => {}
                Ok(release) => {
                    let (id, shown, follows) = (&outline.release, &outline.state, driver::outline(&release).state);
                    findings.push(format!("{id}: lists show `{shown}`, from its journal follows `{follows}`"));
                }
                Err(error) => findings.push(error.to_string()),
            }
        }
        Ok(findings)
    }
}
