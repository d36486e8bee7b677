//! Alerts from monitoring systems: who may send them, and which releases they concern.
//!
//! A release whose workflow names alerts leaves word of that before it begins ([`watch`]). An alert that comes is
//! given to those that it may concern; each decides, and records, what it does about it.
//!
//! **Invariant:** what was answered with success is durable in every release that it concerned, and an alert that is
//! sent again does nothing more: a release takes each once.

mod payload;
mod source;
mod watch;
pub(crate) mod webhook;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use windlass_engine::{Input, Rejected};
use windlass_model::actor::Actor;
use windlass_model::alert::{Alert, UnresolvedAlert};
use windlass_model::name::ReleaseId;

use crate::clock::now;
use crate::driver::NotTaken;
use crate::runtime::{Runtime, RuntimeError};

use self::payload::Sent;
pub use self::payload::{ALERT_BODY_BYTES_MAX, ALERTS_PER_BODY_MAX};
pub use self::source::{AlertSourceView, SourceAuthentication};

/// What cannot be done about alerts.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// A label that a workflow names has no value.
    #[error(transparent)]
    Unresolved(#[from] UnresolvedAlert),
    /// It is no JSON.
    #[error("the body is no JSON: {0}")]
    NoJson(String),
    /// It is not what Alertmanager sends.
    #[error("the body is not what Alertmanager's webhook sends (version \"4\"): {0}")]
    Shape(String),
    /// Too much of it.
    #[error(
        "too large: alerts come in bodies of at most {} KiB, {ALERTS_PER_BODY_MAX} in each",
        ALERT_BODY_BYTES_MAX / 1024
    )]
    TooLarge,
    /// There is no such source.
    #[error("there is no alert source `{name}`; {known}")]
    UnknownSource {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

/// What became of alerts that came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertsTaken {
    /// How many are firing; those that are resolved roll nothing back.
    pub firing: usize,
    /// How often one was taken before.
    pub repeated: usize,
    /// Releases that took one.
    pub taken: Vec<AlertedRelease>,
    /// Releases that name one, and that it does not concern, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<AlertedRelease>,
    /// Breakers that one keeps open from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opened: Vec<String>,
    /// Breakers that one kept open that is resolved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calmed: Vec<String>,
}

/// An alert and a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertedRelease {
    /// The release.
    pub release: String,
    /// The alert, in words.
    pub alert: String,
    /// Why it does not concern the release, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `ana (local user ana)`
pub(crate) fn by_person(actor: &Actor) -> String {
    format!("{} ({})", actor.name, actor.authenticated)
}

impl Runtime {
    /// Takes what a monitoring system sent; durable when this returns.
    pub async fn take_alerts(&self, body: &[u8], source: &str) -> Result<AlertsTaken, RuntimeError> {
        let Sent { alerts, resolved } = payload::read(body, source, now())?;
        let mut taken = AlertsTaken { firing: alerts.len(), ..AlertsTaken::default() };
        for (fingerprint, began) in resolved {
            let calmed = self.inner.breakers.calm(&fingerprint, began).await?;
            taken.calmed.extend(calmed.iter().map(ToString::to_string));
        }
        for alert in alerts {
            // Before releases are told, so that none begins what this holds.
            let opened = self.inner.breakers.alarm(&alert).await?;
            taken.opened.extend(opened.iter().map(ToString::to_string));
            for release in self.concerned(&alert).await? {
                self.alert(release, &alert, &mut taken).await?;
            }
        }
        for (keys, what) in [(&taken.opened, "opened"), (&taken.calmed, "kept open no longer")] {
            if !keys.is_empty() {
                tracing::warn!(source, breakers = %keys.join(", "), "breakers were {what} by alerts");
            }
        }
        if taken.taken.is_empty() && taken.repeated == 0 && taken.opened.is_empty() {
            let (firing, passed_over) = (taken.firing, taken.passed_over.len());
            tracing::info!(source, firing, passed_over, "alerts came that concern no release");
        }
        Ok(taken)
    }

    async fn alert(&self, release: ReleaseId, alert: &Alert, taken: &mut AlertsTaken) -> Result<(), RuntimeError> {
        let alerted = |reason| AlertedRelease { release: release.to_string(), alert: alert.in_words(), reason };
        match self.tell(&release, Input::Alert(Box::new(alert.clone()))).await {
            Ok(()) => {
                tracing::warn!(%release, alert = %alert.in_words(), "a release was told of an alert that it names");
                taken.taken.push(alerted(None));
            }
            Err(RuntimeError::NotTaken(NotTaken::Rejected(Rejected::AlertRepeated))) => taken.repeated += 1,
            Err(RuntimeError::NotTaken(NotTaken::Rejected(why @ Rejected::NotConcerned { .. }))) => {
                taken.passed_over.push(alerted(Some(why.to_string())));
            }
            // It was removed.
            Err(RuntimeError::UnknownRelease(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
