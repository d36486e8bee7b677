//! Recorded attempts over the API.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use windlass_sandbox::cassette::Cassette;

use super::{Answer, ApiError, release_id};
use crate::runtime::Runtime;

/// Which attempt.
#[derive(Debug, Deserialize)]
pub(super) struct CassetteQuery {
    step: String,
    #[serde(default)]
    operation: Option<String>,
    #[serde(default)]
    attempt: Option<u32>,
}

/// Which component.
#[derive(Debug, Deserialize)]
pub(super) struct ComponentQuery {
    component: String,
}

/// The recorded attempts of a component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordingsBody {
    /// The newest ones, the newest last.
    pub attempts: Vec<Cassette>,
    /// Whether there are more.
    pub more: bool,
}

pub(super) async fn cassette(
    State(runtime): State<Runtime>,
    Path(release): Path<String>,
    Query(query): Query<CassetteQuery>,
) -> Answer<Cassette> {
    let id = release_id(&release)?;
    let journal = runtime.journal(&id)?;
    let CassetteQuery { step, operation, attempt } = query;
    let operation = operation.as_deref().unwrap_or("start");
    let all = runtime.recorded(&id)?;
    let is_meant = |it: &&Cassette| {
        it.step == step && it.operation == operation && attempt.is_none_or(|attempt| it.attempt == attempt)
    };
    if let Some(found) = all.iter().rev().find(is_meant) {
        return Ok(Json(found.clone()));
    }
    let was_recorded = journal
        .first()
        .and_then(|it| it.events.first())
        .is_some_and(|it| matches!(it, windlass_model::event::Event::ReleaseCreated(created) if created.recorded));
    let error = if was_recorded {
        let there: Vec<String> =
            all.iter().map(|it| format!("{} ({}, attempt {})", it.step, it.operation, it.attempt)).collect();
        let there = if there.is_empty() { "nothing was recorded yet".to_owned() } else { there.join(", ") };
        let attempt = attempt.map(|it| format!(", attempt {it}")).unwrap_or_default();
        format!("{id} has no recording of {step} ({operation}{attempt}); recorded are: {there}")
    } else {
        format!("{id} was not recorded; `windlass run --record` records a release")
    };
    Err(ApiError::new(StatusCode::NOT_FOUND, error))
}

pub(super) async fn of_component(
    State(runtime): State<Runtime>,
    Query(query): Query<ComponentQuery>,
) -> Answer<RecordingsBody> {
    let found = tokio::task::spawn_blocking(move || runtime.recorded_of(&query.component)).await;
    let (attempts, more) = found.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error))??;
    Ok(Json(RecordingsBody { attempts, more }))
}
