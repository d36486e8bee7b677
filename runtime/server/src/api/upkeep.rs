//! Archiving and removing finished releases over the API.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use windlass_model::time::Span;

use super::{Answer, ApiError};
use crate::runtime::Runtime;

/// Archives finished releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveBody {
    /// Only those that ended so long ago.
    #[serde(default)]
    pub older_than: Span,
}

/// Removes finished releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpireBody {
    /// Those that ended so long ago.
    pub older_than: Span,
    /// Only tell what would be removed.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedView {
    /// Releases.
    pub releases: u64,
    /// What their journals took before, in bytes.
    pub bytes: u64,
    /// Files they are in now.
    pub segments: u64,
    /// What these take, in bytes.
    pub segment_bytes: u64,
}

/// What was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiredView {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Releases.
    pub releases: u64,
    /// The first of them, at most [`EXAMPLES_MAX`]; only of a dry run.
    pub examples: Vec<String>,
    /// Blobs that only they named.
    pub blobs: u64,
}

/// So many releases are named.
pub const EXAMPLES_MAX: usize = 20;

pub(super) async fn archive(State(runtime): State<Runtime>, Json(body): Json<ArchiveBody>) -> Answer<ArchivedView> {
    let archived = runtime.archive(body.older_than).await?;
    Ok(Json(ArchivedView {
        releases: archived.releases,
        bytes: archived.bytes,
        segments: archived.segments,
        segment_bytes: archived.segment_bytes,
    }))
}

pub(super) async fn expire(State(runtime): State<Runtime>, Json(body): Json<ExpireBody>) -> Answer<ExpiredView> {
    if body.older_than == Span(0) {
        let error = "`older_than` is the age from which on finished releases are removed, for example `400d`; not 0";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error));
    }
    if body.dry_run {
        let expired = runtime.expired(body.older_than).await?;
        return Ok(Json(ExpiredView {
            dry_run: true,
            releases: expired.releases.len() as u64,
            examples: expired.releases.keys().take(EXAMPLES_MAX).map(ToString::to_string).collect(),
            blobs: expired.blobs.len() as u64,
        }));
    }
    let removed = runtime.expire(body.older_than).await?;
    Ok(Json(ExpiredView { dry_run: false, releases: removed.releases, examples: Vec::new(), blobs: removed.blobs }))
}
