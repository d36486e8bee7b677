//! Limits over the API: how many releases may run and wait.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use windlass_model::name::TenantName;

use super::{Answer, ApiError, Caller};
use crate::admission::{LimitScope, LimitView};
use crate::runtime::Runtime;

/// Sets how many releases may run, or wait, or both; what is not said stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitBody {
    /// Of which tenant; of the whole installation when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How many may run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releases: Option<u32>,
    /// How many may wait; more are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u32>,
    /// Whom the local user acts for.
    #[serde(default, rename = "as")]
    pub on_behalf_of: Option<String>,
}

fn tenant(name: &str) -> Result<LimitScope, ApiError> {
    let tenant: TenantName = name.parse().map_err(|error| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error))?;
    Ok(LimitScope::Tenant(tenant))
}

pub(super) async fn list(State(runtime): State<Runtime>) -> Answer<Vec<LimitView>> {
    // Where nothing is limited, open releases are read to count them.
    let read = tokio::task::spawn_blocking(move || runtime.limits());
    Ok(Json(read.await.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error))?))
}

pub(super) async fn set(
    State(runtime): State<Runtime>,
    caller: Caller,
    Json(body): Json<LimitBody>,
) -> Answer<LimitView> {
    let scope = body.tenant.as_deref().map_or(Ok(LimitScope::Installation), tenant)?;
    let actor = caller.actor(&runtime, body.on_behalf_of.as_deref());
    Ok(Json(runtime.set_limit(scope, (body.releases, body.waiting), actor).await?))
}

pub(super) async fn remove_from_installation(State(runtime): State<Runtime>) -> Result<StatusCode, ApiError> {
    runtime.remove_limit(LimitScope::Installation).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove_from_tenant(
    State(runtime): State<Runtime>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    runtime.remove_limit(tenant(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
