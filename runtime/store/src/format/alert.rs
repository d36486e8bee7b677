//! Alerts, both ways.

use std::collections::BTreeMap;

use windlass_model::alert::{Alert, OnAlert};
use windlass_model::time::Timestamp;

use super::v1;

pub(super) fn from_alert(alert: &Alert) -> v1::Alert<'_> {
    v1::Alert {
        fingerprint: &alert.fingerprint,
        starts_at: alert.starts_at.0,
        labels: from_texts(&alert.labels),
        annotations: from_texts(&alert.annotations),
        source: &alert.source,
    }
}

pub(super) fn to_alert(alert: v1::Alert<'_>) -> Alert {
    Alert {
        fingerprint: alert.fingerprint.to_owned(),
        starts_at: Timestamp(alert.starts_at),
        labels: to_texts(alert.labels),
        annotations: to_texts(alert.annotations),
        source: alert.source.to_owned(),
    }
}

pub(super) fn from_on_alert(then: OnAlert) -> v1::OnAlert {
    match then {
        OnAlert::Rollback => v1::OnAlert::Rollback,
        OnAlert::AfterConfirmation => v1::OnAlert::AfterConfirmation,
    }
}

pub(super) fn to_on_alert(then: v1::OnAlert) -> OnAlert {
    match then {
        v1::OnAlert::Rollback => OnAlert::Rollback,
        v1::OnAlert::AfterConfirmation => OnAlert::AfterConfirmation,
    }
}

fn from_texts(texts: &BTreeMap<String, String>) -> Vec<v1::Pair<'_>> {
    texts.iter().map(|(name, value)| v1::Pair { name, value }).collect()
}

fn to_texts(pairs: Vec<v1::Pair<'_>>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|it| (it.name.to_owned(), it.value.to_owned())).collect()
}
