//! Circuit breakers over the API. A key is one part of a path: its `/` is written `%2F`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use windlass_model::alert::AlertMatch;
use windlass_model::breaker::Written;
use windlass_model::time::Span;

use super::{Answer, ApiError, Caller};
use crate::breakers::{BreakerView, TripView};
use crate::runtime::Runtime;

/// Gives a breaker its settings; what is not said is as by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsBody {
    /// It opens when at least this percentage of the samples are failures,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures_percent: Option<u8>,
    /// of at least so many,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u32>,
    /// within this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// It opens after so many failures in a row, too; 0 for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive: Option<u32>,
    /// How long it is open before it lets a probe through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Span>,
    /// How many probes in a row must end well until it closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<u32>,
    /// Labels of alerts that keep it open while they fire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<BTreeMap<String, String>>,
    /// Whom the local user acts for.
    #[serde(default, rename = "as")]
    pub on_behalf_of: Option<String>,
}

/// Asks for something, with a reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    /// Why.
    pub reason: String,
    /// Whom the local user acts for.
    #[serde(default, rename = "as")]
    pub on_behalf_of: Option<String>,
}

impl SettingsBody {
    /// Nothing where nothing of it was said.
    fn settings(&self) -> Option<Written> {
        let counting = Self { alert: None, on_behalf_of: None, ..self.clone() };
        if counting == Self::default() {
            return None;
        }
        let usual = Written::default();
        Some(Written {
            failures_percent: self.failures_percent.unwrap_or(usual.failures_percent),
            of: self.of.unwrap_or(usual.of),
            within: self.within.unwrap_or(usual.within),
            consecutive: self.consecutive.map_or(usual.consecutive, |it| (it > 0).then_some(it)),
            cooldown: self.cooldown.unwrap_or(usual.cooldown),
            probes: self.probes.unwrap_or(usual.probes),
        })
    }
}

pub(super) async fn list(State(runtime): State<Runtime>) -> Json<Vec<BreakerView>> {
    Json(runtime.breakers())
}

pub(super) async fn show(State(runtime): State<Runtime>, Path(key): Path<String>) -> Answer<BreakerView> {
    Ok(Json(runtime.breaker(&key)?))
}

pub(super) async fn set(
    State(runtime): State<Runtime>,
    caller: Caller,
    Path(key): Path<String>,
    Json(body): Json<SettingsBody>,
) -> Answer<BreakerView> {
    let actor = caller.actor(&runtime, body.on_behalf_of.as_deref());
    let alert = body.alert.clone().map(|labels| AlertMatch { labels, stabilisation: None });
    Ok(Json(runtime.set_breaker(&key, body.settings(), alert, actor).await?))
}

pub(super) async fn unset(
    State(runtime): State<Runtime>,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<StatusCode, ApiError> {
    runtime.unset_breaker(&key, caller.actor(&runtime, None)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn trip(
    State(runtime): State<Runtime>,
    caller: Caller,
    Path(key): Path<String>,
    Json(body): Json<ReasonBody>,
) -> Answer<TripView> {
    let actor = caller.actor(&runtime, body.on_behalf_of.as_deref());
    // As things are before it opens: afterwards they change.
    let reach = runtime.breaker_reach(&key).await?;
    let breaker = Some(runtime.trip_breaker(&key, actor, &body.reason).await?);
    Ok(Json(TripView { breaker, reach }))
}

/// What opening it would come to.
pub(super) async fn reach(State(runtime): State<Runtime>, Path(key): Path<String>) -> Answer<TripView> {
    Ok(Json(TripView { breaker: None, reach: runtime.breaker_reach(&key).await? }))
}

pub(super) async fn reset(
    State(runtime): State<Runtime>,
    caller: Caller,
    Path(key): Path<String>,
    Json(body): Json<ReasonBody>,
) -> Answer<BreakerView> {
    let actor = caller.actor(&runtime, body.on_behalf_of.as_deref());
    Ok(Json(runtime.reset_breaker(&key, actor, &body.reason).await?))
}
