//! What people ask of breakers: to set one, to open and to close it.
//!
//! **Invariant:** what a person does is durable before it is acknowledged, and done only if it could be written.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use windlass_engine::BreakerPhase;
use windlass_model::actor::Actor;
use windlass_model::alert::AlertMatch;
use windlass_model::breaker::{BreakerKey, BreakerSettings, InvalidBreakerKey, InvalidBreakerSettings, Written};

use super::record::SetBy;
use super::{BreakerView, Breakers, Entry};
use crate::clock::now;
use crate::runtime::{Runtime, RuntimeError};

/// What cannot be done with a breaker.
#[derive(Debug, thiserror::Error)]
pub enum BreakerError {
    /// There is no such breaker.
    #[error("there is no breaker `{key}`; {known}")]
    Unknown {
        /// What was asked for.
        key: String,
        /// What there is.
        known: String,
    },
    /// This is no breaker's key.
    #[error(transparent)]
    Key(#[from] InvalidBreakerKey),
    /// Not with these settings.
    #[error(transparent)]
    Settings(#[from] InvalidBreakerSettings),
    /// Nothing here would ever be held by it.
    #[error("nothing can come to the breaker `{key}`: {why}")]
    Pointless {
        /// Which.
        key: BreakerKey,
        /// Why not, and what there is.
        why: String,
    },
    /// Where nothing is counted, there are no settings of counting.
    #[error(
        "nothing is counted for the breaker `global`: leave out all but which alerts open it (`--failures`, `--of`, `--within`, `--consecutive`, `--cooldown` and `--probes` are for the others)"
    )]
    Uncounted,
    /// Alerts that no label tells from others.
    #[error("alerts that open a breaker are told by at least one label: `--alert NAME`")]
    NoLabel,
    /// A reason is missing.
    #[error("a reason is missing: say why, it is kept with the breaker (`--reason`)")]
    NoReason,
    /// Not as things are.
    #[error("{0}")]
    NotNow(String),
}

impl Breakers {
    /// Does what somebody asked for, when what it comes to is durable. If that cannot be written nothing is done, and
    /// what the breaker does by itself meanwhile is kept either way.
    pub(super) async fn change(
        &self,
        key: &BreakerKey,
        mut change: impl FnMut(&mut BTreeMap<BreakerKey, Entry>) -> Result<(), BreakerError>,
    ) -> Result<(), RuntimeError> {
        let _alone = self.writing.lock().await;
        let (record, changed) = {
            let without_waiting = |(key, it): (&BreakerKey, &Entry)| {
                let Entry { breaker, set, alert, waiting: _, written } = it;
                let (breaker, set, alert) = (breaker.clone(), set.clone(), alert.clone());
                (key.clone(), Entry { breaker, set, alert, waiting: BTreeMap::new(), written: *written })
            };
            let mut trial: BTreeMap<BreakerKey, Entry> = self.entries().iter().map(without_waiting).collect();
            change(&mut trial)?;
            trial.get_mut(key).map(|it| it.record(key)).unzip()
        };
        let put = self.put(key, record).await;
        let changed_now = {
            let mut entries = self.entries();
            let done = if put.is_ok() { change(&mut entries) } else { Ok(()) };
            if let Some(entry) = entries.get_mut(key) {
                // After an error nobody knows what is on the disk.
                entry.written = changed.filter(|_| put.is_ok() && done.is_ok()).unwrap_or(u64::MAX);
            }
            self.quiet.store(entries.is_empty(), Ordering::Release);
            done
        };
        self.told.notify_one();
        put?;
        Ok(changed_now?)
    }
}

impl Runtime {
    /// All breakers, by key.
    pub fn breakers(&self) -> Vec<BreakerView> {
        let view = |(key, entry): (&BreakerKey, &mut Entry)| view(key, entry);
        self.inner.breakers.entries().iter_mut().map(view).collect()
    }

    /// A breaker.
    pub fn breaker(&self, key: &str) -> Result<BreakerView, RuntimeError> {
        let key: BreakerKey = key.parse().map_err(BreakerError::from)?;
        let mut entries = self.inner.breakers.entries();
        match entries.get_mut(&key) {
            Some(entry) => Ok(view(&key, entry)),
            None => Err(unknown(&key, &entries).into()),
        }
    }

    /// Gives a breaker the settings by which it opens and closes by itself (the default ones unless given), and the alerts
    /// that keep it open.
    pub async fn set_breaker(
        &self,
        key: &str,
        written: Option<Written>,
        alert: Option<AlertMatch>,
        by: Actor,
    ) -> Result<BreakerView, RuntimeError> {
        let key = self.breaker_key(key)?;
        if key == BreakerKey::Global && alert.is_none() {
            let why =
                "only people open and close it (`windlass breaker trip global --reason …`), and alerts (`--alert`)";
            return Err(BreakerError::Pointless { key, why: why.to_owned() }.into());
        }
        if alert.as_ref().is_some_and(|it| it.labels.is_empty()) {
            return Err(BreakerError::NoLabel.into());
        }
        let settings = match (&key, written) {
            (BreakerKey::Global, None) => None,
            (BreakerKey::Global, Some(_)) => return Err(BreakerError::Uncounted.into()),
            (_, written) => Some(BreakerSettings::try_from(written.unwrap_or_default()).map_err(BreakerError::from)?),
        };
        let set = |entries: &mut BTreeMap<BreakerKey, Entry>| {
            let entry = entries.entry(key.clone()).or_insert_with(Entry::new);
            entry.breaker.configure(settings, &by, now());
            if entry.alert != alert {
                entry.breaker.forget_all_alarms(now());
                entry.alert.clone_from(&alert);
            }
            entry.set = Some(SetBy { actor: by.clone(), at: now() });
            Ok(())
        };
        self.inner.breakers.change(&key, set).await?;
        self.breaker(&key.to_string())
    }

    /// Takes a breaker's settings away. One that a person has opened stays until it is closed, any other is gone.
    pub async fn unset_breaker(&self, key: &str, by: Actor) -> Result<(), RuntimeError> {
        let key: BreakerKey = key.parse().map_err(BreakerError::from)?;
        let mut waiting = BTreeMap::new();
        let unset = |entries: &mut BTreeMap<BreakerKey, Entry>| {
            let Some(entry) = entries.get_mut(&key) else { return Err(unknown(&key, entries)) };
            if entry.breaker.is_tripped() && entry.breaker.settings().is_none() {
                let text = format!("{key} was opened by a person: `windlass breaker reset {key} --reason …` closes it");
                return Err(BreakerError::NotNow(text));
            }
            entry.breaker.configure(None, &by, now());
            entry.breaker.forget_all_alarms(now());
            (entry.set, entry.alert) = (None, None);
            if entry.breaker.phase() == BreakerPhase::Closed {
                waiting = std::mem::take(&mut entry.waiting);
                entries.remove(&key);
            }
            Ok(())
        };
        self.inner.breakers.change(&key, unset).await?;
        tracing::info!(breaker = %key, by = %by.name, authenticated = %by.authenticated, "a breaker was unset");
        for release in waiting.keys() {
            drop(self.ask_again(release));
        }
        Ok(())
    }

    /// Opens a breaker, until somebody closes it.
    pub async fn trip_breaker(&self, key: &str, by: Actor, reason: &str) -> Result<BreakerView, RuntimeError> {
        let key = self.breaker_key(key)?;
        let reason = some_reason(reason)?;
        let trip = |entries: &mut BTreeMap<BreakerKey, Entry>| {
            let entry = entries.entry(key.clone()).or_insert_with(Entry::new);
            if let Some(opening) = entry.breaker.opening().filter(|it| it.by.is_some()) {
                return Err(BreakerError::NotNow(format!("{key} is open already: {}", opening.why)));
            }
            entry.breaker.trip(by.clone(), reason, now());
            Ok(())
        };
        self.inner.breakers.change(&key, trip).await?;
        self.breaker(&key.to_string())
    }

    /// Closes a breaker, whatever it says.
    pub async fn reset_breaker(&self, key: &str, by: Actor, reason: &str) -> Result<BreakerView, RuntimeError> {
        let key: BreakerKey = key.parse().map_err(BreakerError::from)?;
        let reason = some_reason(reason)?;
        let reset = |entries: &mut BTreeMap<BreakerKey, Entry>| {
            let Some(entry) = entries.get_mut(&key) else { return Err(unknown(&key, entries)) };
            if entry.breaker.phase() == BreakerPhase::Closed {
                return Err(BreakerError::NotNow(format!("{key} is closed: nothing is held")));
            }
            entry.breaker.reset(by.clone(), reason, now());
            Ok(())
        };
        self.inner.breakers.change(&key, reset).await?;
        self.breaker(&key.to_string())
    }

    /// A key to which something can come.
    pub(super) fn breaker_key(&self, text: &str) -> Result<BreakerKey, BreakerError> {
        let key: BreakerKey = text.parse()?;
        let BreakerKey::Connection { plugin, connection } = &key else { return Ok(key) };
        let catalog = self.catalog();
        let there_is = |names: Vec<String>| match names.is_empty() {
            true => "there are none".to_owned(),
            false => format!("there is {}", names.join(", ")),
        };
        if !catalog.plugins.contains_key(plugin) {
            let names = catalog.plugins.keys().map(|it| format!("`{it}`")).collect();
            let why = format!("no plugin `{plugin}` is installed; {}", there_is(names));
            return Err(BreakerError::Pointless { key: key.clone(), why });
        }
        if !catalog.connections.contains_key(connection) {
            let names = catalog.connections.keys().map(|it| format!("`{it}`")).collect();
            let why = format!("no connection `{connection}` is declared; {}", there_is(names));
            return Err(BreakerError::Pointless { key: key.clone(), why });
        }
        Ok(key)
    }
}

fn view(key: &BreakerKey, entry: &mut Entry) -> BreakerView {
    BreakerView::of(key, entry, now())
}

fn some_reason(reason: &str) -> Result<&str, BreakerError> {
    let reason = reason.trim();
    if reason.is_empty() { Err(BreakerError::NoReason) } else { Ok(reason) }
}

fn unknown(key: &BreakerKey, entries: &BTreeMap<BreakerKey, Entry>) -> BreakerError {
    let known: Vec<String> = entries.keys().map(|it| format!("`{it}`")).collect();
    let known = if known.is_empty() { "there are none".to_owned() } else { format!("there is {}", known.join(", ")) };
    BreakerError::Unknown { key: key.to_string(), known }
}
