//! Alerts over the API: who may send them, and alerts that come from this machine.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use windlass_model::name::ConnectionName;

use super::{Answer, ApiError, Caller};
use crate::alerts::{AlertSourceView, AlertsTaken, SourceAuthentication, by_person};
use crate::runtime::Runtime;

/// Declares who may send alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertSourceBody {
    /// Its name.
    pub name: String,
    /// How it is known that it is the one.
    pub authentication: SourceAuthentication,
    /// Whom the local user acts for.
    #[serde(default, rename = "as")]
    pub on_behalf_of: Option<String>,
}

pub(super) async fn sources(State(runtime): State<Runtime>) -> Answer<Vec<AlertSourceView>> {
    Ok(Json(runtime.alert_sources()?))
}

pub(super) async fn set_source(
    State(runtime): State<Runtime>,
    caller: Caller,
    Json(body): Json<AlertSourceBody>,
) -> Answer<AlertSourceView> {
    let wrong = |error: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error);
    let name: ConnectionName =
        body.name.parse().map_err(|error: windlass_model::name::InvalidName| wrong(error.to_string()))?;
    if let SourceAuthentication::Hmac { header: Some(header), .. } = &body.authentication
        && http::HeaderName::from_bytes(header.as_bytes()).is_err()
    {
        return Err(wrong(format!("`{header}` is no header's name")));
    }
    let actor = caller.actor(&runtime, body.on_behalf_of.as_deref());
    Ok(Json(runtime.set_alert_source(name, body.authentication, actor).await?))
}

pub(super) async fn remove_source(
    State(runtime): State<Runtime>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    runtime.remove_alert_source(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// In whose name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SenderQuery {
    #[serde(default, rename = "as")]
    on_behalf_of: Option<String>,
}

pub(super) async fn take(
    State(runtime): State<Runtime>,
    caller: Caller,
    Query(query): Query<SenderQuery>,
    body: Bytes,
) -> Answer<AlertsTaken> {
    let actor = caller.actor(&runtime, query.on_behalf_of.as_deref());
    Ok(Json(runtime.take_alerts(&body, &by_person(&actor)).await?))
}
