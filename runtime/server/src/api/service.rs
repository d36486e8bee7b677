//! Services over the API.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use windlass_model::service::Place;

use super::breaker::ReasonBody;
use super::{Answer, ApiError, Caller};
use crate::runtime::Runtime;
use crate::services::ServiceView;

/// Says which version is live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceBody {
    /// The version.
    pub version: String,
    /// Why.
    pub reason: String,
    /// Whom the local user acts for.
    #[serde(default, rename = "as")]
    pub on_behalf_of: Option<String>,
}

fn place((environment, service): &(String, String)) -> Result<Place, ApiError> {
    let refuse = |error: windlass_model::name::InvalidName| ApiError::new(StatusCode::BAD_REQUEST, error);
    Ok(Place { environment: environment.parse().map_err(refuse)?, service: service.parse().map_err(refuse)? })
}

pub(super) async fn list(State(runtime): State<Runtime>) -> Json<Vec<ServiceView>> {
    Json(runtime.services())
}

pub(super) async fn show(State(runtime): State<Runtime>, Path(path): Path<(String, String)>) -> Answer<ServiceView> {
    Ok(Json(runtime.service(&place(&path)?)?))
}

pub(super) async fn set(
    State(runtime): State<Runtime>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    Json(body): Json<ServiceBody>,
) -> Answer<ServiceView> {
    let actor = caller.actor(&runtime, body.on_behalf_of.as_deref());
    Ok(Json(runtime.set_service(&place(&path)?, &body.version, actor, body.reason).await?))
}

pub(super) async fn forget(
    State(runtime): State<Runtime>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    Json(body): Json<ReasonBody>,
) -> Answer<()> {
    let actor = caller.actor(&runtime, body.on_behalf_of.as_deref());
    Ok(Json(runtime.forget_service(&place(&path)?, &actor, body.reason).await?))
}
