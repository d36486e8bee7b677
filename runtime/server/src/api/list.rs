//! Lists of releases over the API, in pages.
//!
//! **Invariant:** what a page reads is bounded, however many releases there are: by [`LIMIT_MAX`], and by [`READ_MAX`]
//! where most of what is read is not asked for.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use windlass_model::event::Outcome;
use windlass_model::problem::{did_you_mean, listed};
use windlass_model::text::one_line;
use windlass_model::time::Timestamp;
use windlass_store::{ListPosition, Outline};

use super::{Answer, ApiError, release_id};
use crate::admission::unusual;
use crate::runtime::Runtime;
use crate::view::OPEN_STATES;

/// The most releases of a page.
pub const LIMIT_MAX: usize = 1000;

/// The releases of a page if it is not said how many.
const LIMIT: usize = 100;

/// The most outlines that are read for a page; it may end early then, and the next one goes on.
const READ_MAX: usize = 10_000;

/// A release in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlineView {
    /// Its id.
    pub release: String,
    /// One word.
    pub state: String,
    /// What it is doing.
    pub headline: String,
    /// Who asked for it.
    pub requested_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When its last event happened.
    pub updated_at: Timestamp,
    /// Whether there is something left to do.
    pub open: bool,
    /// Whether it was rolled back, and nobody has said why it had to be.
    #[serde(default)]
    pub review_open: bool,
    /// Whether it is a rehearsal, on copies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsal: bool,
    /// Whether it is a dry run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// How urgent it is, where that is not as usual and it is not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Why it failed, was rolled back or gave way to another one, in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A page of a list, the newest release first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasesPage {
    /// The releases; fewer than were asked for if it took too long to find more.
    pub releases: Vec<OutlineView>,
    /// What to ask the next page for with `after`; none at the end of the list.
    pub next: Option<String>,
    /// On the first page: releases that are out of use because their journals are damaged, with what is wrong. They are in
    /// no page.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<String>,
}

/// Which releases.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// The release that the page comes after.
    after: Option<String>,
    limit: Option<usize>,
    /// Only those in this state.
    state: Option<String>,
    /// Only those that have not ended, or have.
    open: Option<bool>,
    /// Only those that were rolled back, and nobody has said why they had to be, or not those.
    review_open: Option<bool>,
}

impl ListQuery {
    fn asks_for(&self, outline: &Outline) -> bool {
        self.open.is_none_or(|it| it == outline.open)
            && self.review_open.is_none_or(|it| it == outline.review)
            && self.state.as_ref().is_none_or(|it| *it == outline.state)
    }
}

pub(super) async fn list(State(runtime): State<Runtime>, Query(query): Query<ListQuery>) -> Answer<ReleasesPage> {
    let limit = query.limit.unwrap_or(LIMIT);
    if limit == 0 || limit > LIMIT_MAX {
        let error = format!("`limit` is a number from 1 to {LIMIT_MAX}, not {limit}");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, error));
    }
    if let Some(state) = &query.state {
        let known: Vec<&str> = OPEN_STATES.into_iter().chain(Outcome::ALL.map(|(_, name)| name)).collect();
        if !known.contains(&state.as_str()) {
            let help = did_you_mean(state, known.iter().copied()).map_or_else(String::new, |it| format!("; {it}"));
            let error = format!("no release is ever `{}`; states are {}{help}", one_line(state), listed(&known));
            return Err(ApiError::new(StatusCode::BAD_REQUEST, error));
        }
    }
    let read = tokio::task::spawn_blocking(move || {
        let quarantined = if query.after.is_none() { quarantined(&runtime)? } else { Vec::new() };
        page(&runtime, &query, limit).map(|it| ReleasesPage { quarantined, ..it })
    });
    Ok(Json(read.await.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error))??))
}

/// What is out of use, a line each. Blocks.
pub(super) fn quarantined(runtime: &Runtime) -> Result<Vec<String>, ApiError> {
    let failed = |error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error);
    let Some(disk) = &runtime.inner.disk else { return Ok(Vec::new()) };
    let quarantined = disk.quarantined().map_err(failed)?;
    Ok(quarantined.iter().map(|it| format!("{}: {}", it.release, it.what)).collect())
}

fn page(runtime: &Runtime, query: &ListQuery, limit: usize) -> Result<ReleasesPage, ApiError> {
    let store = runtime.store();
    let failed = |error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error);
    let mut position = match &query.after {
        None => None,
        Some(after) => {
            let outline = store.outline(&release_id(after)?).map_err(failed)?;
            let unknown =
                || format!("there is no release `{after}` that a page could come after; begin without `after`");
            Some(ListPosition::of(&outline.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, unknown()))?))
        }
    };
    // Few are open, and those have a list of their own.
    if query.open == Some(true) {
        let mut open = Vec::new();
        for release in store.open_releases().map_err(failed)? {
            open.extend(store.outline(&release).map_err(failed)?.filter(|it| query.asks_for(it)));
        }
        open.sort_by_key(|it| std::cmp::Reverse(ListPosition::of(it)));
        open.retain(|it| position.as_ref().is_none_or(|after| ListPosition::of(it) < *after));
        let more = open.len() > limit;
        open.truncate(limit);
        let next = open.last().filter(|_| more).map(|it| it.release.to_string());
        return Ok(ReleasesPage { releases: open.into_iter().map(view).collect(), next, ..ReleasesPage::default() });
    }
    let (mut releases, mut read) = (Vec::new(), 0);
    loop {
        let outlines = store.outlines_page(position.as_ref(), LIMIT.max(limit)).map_err(failed)?;
        let is_end = outlines.len() < LIMIT.max(limit);
        for outline in outlines {
            read += 1;
            position = Some(ListPosition::of(&outline));
            if query.asks_for(&outline) {
                releases.push(view(outline));
            }
            if releases.len() == limit || read >= READ_MAX {
                let follows = !store.outlines_page(position.as_ref(), 1).map_err(failed)?.is_empty();
                let next = position.filter(|_| follows).map(|it| it.release.to_string());
                return Ok(ReleasesPage { releases, next, ..ReleasesPage::default() });
            }
        }
        if is_end {
            return Ok(ReleasesPage { releases, next: None, ..ReleasesPage::default() });
        }
    }
}

fn view(outline: Outline) -> OutlineView {
    // Of one that is over the headline says more than its state only if that is not as it should be.
    let says_why = !outline.open && outline.state != "succeeded" && outline.headline != outline.state;
    let why = outline.headline.strip_prefix(&format!("{}: ", outline.state)).unwrap_or(&outline.headline);
    let failure = says_why.then(|| why.to_owned());
    OutlineView {
        rehearsal: outline.rehearsal,
        dry_run: outline.dry_run,
        priority: outline.standing.as_ref().and_then(|it| unusual(it.claim.priority)),
        failure,
        release: outline.release.to_string(),
        state: outline.state,
        headline: outline.headline,
        requested_by: outline.requested_by,
        created_at: outline.created_at,
        updated_at: outline.updated_at,
        open: outline.open,
        review_open: outline.review,
    }
}
