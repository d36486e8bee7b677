//! A store that is slow, fails with and without having written, cuts off, and outlives its process.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use windlass_model::digest::Digest;
use windlass_model::event::Record;
use windlass_model::name::{ReleaseId, WorkflowName};
use windlass_simulation::violation::violated;
use windlass_store::{Append, AppendError, CheckReport, DocumentKind, Outline, Store, StoreError};

use crate::shared::{Shared, State};

/// Milliseconds that a release waits for whose driver panicked.
const PANIC_RETRY: u64 = 60_000;

/// The store as the runtime has it.
pub(crate) struct Shaky(pub(crate) Arc<Shared>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    Writes,
    WritesAndFails,
    Fails,
    Hangs,
}

struct Fate {
    disk: Disk,
    before: u64,
    after: u64,
}

impl State {
    fn disk(&mut self) -> Fate {
        let failing = self.profile.store;
        let disk = if !self.misfortune(failing) {
            Disk::Writes
        } else if self.profile.crashes && self.dice.permille(150) {
            Disk::Hangs
        } else if self.dice.permille(500) {
            Disk::WritesAndFails
        } else {
            Disk::Fails
        };
        let slow = self.profile.slow;
        let before = if self.misfortune(slow) { self.dice.between(100, 10_000) } else { self.dice.below(4) };
        Fate { disk, before, after: self.dice.below(3) }
    }
}

fn failed() -> StoreError {
    StoreError::Io { doing: "simulate".to_owned(), cause: Arc::new(std::io::ErrorKind::StorageFull.into()) }
}

impl Shaky {
    fn reads(&self) -> Result<(), StoreError> {
        let mut state = self.0.state();
        let failing = state.profile.reads;
        if !state.misfortune(failing) {
            return Ok(());
        }
        state.counts.add("store: a read failed");
        drop(state);
        self.0.troubled();
        Err(failed())
    }

    /// What the runtime is about to write of a service is what it goes by from this moment on.
    fn notice(&self, kind: DocumentKind, name: &str) {
        if kind == DocumentKind::Service {
            let passed = self.0.clock.passed();
            self.0.state().services_changed.insert(name.to_owned(), passed);
        }
    }

    /// Does something that changes the disk; what is dropped before it is done is not done.
    async fn written<T>(&self, write: BoxFuture<'_, Result<T, StoreError>>) -> Result<T, StoreError> {
        let fate = self.0.state().disk();
        // What waits for it waits for so long.
        self.0.troubled_for(fate.before);
        tokio::time::sleep(Duration::from_millis(fate.before)).await;
        if self.0.is_dead() {
            return std::future::pending().await;
        }
        match fate.disk {
            Disk::Writes => write.await,
            Disk::WritesAndFails => {
                self.0.troubled();
                write.await.and(Err(failed()))
            }
            Disk::Fails | Disk::Hangs => {
                self.0.troubled();
                Err(failed())
            }
        }
    }
}

/// An append reaches the disk.
pub(crate) fn land(shared: &Shared, number: u64) -> Result<(), AppendError> {
    let Some(append) = shared.state().on_the_way.remove(&number) else { return Err(failed().into()) };
    let written = shared.disk.append(append.clone()).now_or_never().expect("the memory store answers at once");
    match &written {
        Ok(()) => shared.landed(&append),
        Err(AppendError::Conflict { expected, actual }) => {
            let release = append.release.clone();
            shared.judge(violated(
                "one driver per release",
                format!("{release} has {actual} records, and somebody thinks {expected}"),
            ));
        }
        Err(AppendError::Store(error)) => {
            let text = error.to_string();
            shared.judge(violated("a record can be written", text));
        }
    }
    written
}

/// Lets what is on its way to the disk reach it.
async fn carry(shared: Arc<Shared>, number: u64, fate: Fate, answer: oneshot::Sender<Result<(), AppendError>>) {
    tokio::time::sleep(Duration::from_millis(fate.before)).await;
    shared.happened();
    if shared.is_dead() {
        return std::future::pending().await;
    }
    let answered = match fate.disk {
        Disk::Hangs => {
            shared.count("store: append never answered");
            shared.tell(|| "an append hangs".to_owned());
            // Somebody notices, and ends the process; whether it was written nobody knows.
            tokio::time::sleep(Duration::from_millis(30_000)).await;
            shared.state().dead = true;
            shared.ends.notify_one();
            return std::future::pending().await;
        }
        Disk::Fails => {
            let gone = shared.state().on_the_way.remove(&number);
            shared.count("store: append failed, nothing written");
            shared.tell(|| format!("an append to {:?} fails", gone.map(|it| it.release.to_string())));
            Err(failed().into())
        }
        Disk::Writes => land(&shared, number),
        Disk::WritesAndFails => {
            shared.count("store: append failed, but written");
            let landed = land(&shared, number);
            shared.tell(|| "… but the store says that it failed".to_owned());
            landed.and(Err(failed().into()))
        }
    };
    if answered.is_err() {
        shared.troubled();
    }
    tokio::time::sleep(Duration::from_millis(fate.after)).await;
    shared.happened();
    if !shared.is_dead() {
        // Whoever asked may be gone.
        let _ = answer.send(answered);
    }
}

impl Store for Shaky {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<(), AppendError>> {
        // Whoever goes on with a release that is there, and not whoever asked for a new one.
        let by_its_driver = append.expected > 0;
        async move {
            let answered = {
                let mut state = self.0.state();
                if state.dead {
                    None
                } else {
                    let fate = state.disk();
                    let number = state.next_number();
                    state.on_the_way.insert(number, append);
                    let (answer, answered) = oneshot::channel();
                    drop(state);
                    // Dropping this future takes nothing back.
                    tokio::spawn(carry(self.0.clone(), number, fate, answer));
                    Some((number, answered))
                }
            };
            match answered {
                Some((number, answered)) => match answered.await {
                    // What its driver makes of that is a panic, now and then.
                    Ok(Err(AppendError::Store(_))) if by_its_driver && number.is_multiple_of(4) => {
                        self.0.count("driver: panicked");
                        self.0.troubled_for(PANIC_RETRY);
                        self.0.tell(|| "the driver of a release panics".to_owned());
                        std::panic::resume_unwind(Box::new("the driver panics"))
                    }
                    Ok(answer) => answer,
                    Err(_) => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn journal(&self, release: &ReleaseId) -> Result<Vec<Record>, StoreError> {
        self.reads()?;
        self.0.disk.journal(release)
    }

    fn outlines(&self) -> Result<Vec<Outline>, StoreError> {
        self.0.disk.outlines()
    }

    fn outline(&self, release: &ReleaseId) -> Result<Option<Outline>, StoreError> {
        self.0.disk.outline(release)
    }

    fn next_number(&self, workflow: &WorkflowName) -> Result<u64, StoreError> {
        self.0.disk.next_number(workflow)
    }

    fn put_document(&self, kind: DocumentKind, name: &str, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.notice(kind, name);
        let write = self.0.disk.put_document(kind, name, bytes);
        self.written(write).boxed()
    }

    fn document(&self, kind: DocumentKind, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.disk.document(kind, name)
    }

    fn documents(&self, kind: DocumentKind) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.0.disk.documents(kind)
    }

    fn remove_document(&self, kind: DocumentKind, name: &str) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.notice(kind, name);
        let write = self.0.disk.remove_document(kind, name);
        self.written(write).boxed()
    }

    fn put_blob(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<Digest, StoreError>> {
        let write = self.0.disk.put_blob(bytes);
        self.written(write).boxed()
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.disk.blob(digest)
    }

    fn check(&self) -> Result<CheckReport, StoreError> {
        self.0.disk.check()
    }
}
