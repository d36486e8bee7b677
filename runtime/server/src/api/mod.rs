//! The HTTP API, on a Unix socket of the state directory.
//!
//! JSON in and out. Whoever can open the socket is a local user (its owner or root); the kernel says
//! who. Errors are `{"error": …}` with 400 (the request is malformed), 404 (no such thing), 409 (not
//! now), 410 (too late), 413, 429, 422 (what was asked for is wrong, with `problems`), 500 (our fault).

mod alert;
mod breaker;
mod declare;
mod intervention;
mod limit;
mod list;
mod recording;
mod release;
mod schedule;
mod serve;
mod service;
mod upkeep;

use std::convert::Infallible;

use axum::Json;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use windlass_model::actor::Actor;
use windlass_model::name::ReleaseId;

pub use alert::AlertSourceBody;
pub use breaker::{ReasonBody, SettingsBody};
pub use declare::{BackupBody, ConnectionTest, ConnectionTestBody, GroupBody, PluginView, SecretBody, backup_view};
pub use intervention::{Asked, InterventionBody};
pub use limit::LimitBody;
pub use list::{LIMIT_MAX, OutlineView, ReleasesPage};
pub use recording::RecordingsBody;
pub use release::{CalledBack, CauseBody, JournalBody, ProblemsBody, StartBody, Started, ValidatedBody, VoteBody};
pub use schedule::{ActorBody, ScheduleBody};
pub use serve::{Serving, serve};
pub use service::ServiceBody;
pub use upkeep::{ArchiveBody, ArchivedView, EXAMPLES_MAX, ExpireBody, ExpiredView};

use crate::admission::AdmissionError;
use crate::breakers::BreakerError;
use crate::callbacks::status_of;
use crate::runtime::{Runtime, RuntimeError};
use crate::schedules::ScheduleError;
use crate::services::ServiceError;

/// The largest component that is taken, and the largest body of any other request.
pub const COMPONENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Who is at the other end of the socket.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The user, as the kernel says.
    pub uid: u32,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        // A peer whose credentials cannot be read is nobody.
        Self { uid: stream.io().peer_cred().map_or(u32::MAX, |it| it.uid()) }
    }
}

/// An error as the API writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What was wrong, and what would be accepted.
    pub error: String,
    /// What is wrong with a workflow file, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problems: Option<ProblemsBody>,
}

/// An error with its status.
#[derive(Debug)]
pub(crate) struct ApiError(StatusCode, ErrorBody);

impl ApiError {
    pub(crate) fn new(status: StatusCode, error: impl ToString) -> Self {
        Self(status, ErrorBody { error: error.to_string(), problems: None })
    }

    pub(crate) fn problems(error: impl ToString, problems: ProblemsBody) -> Self {
        Self(StatusCode::UNPROCESSABLE_ENTITY, ErrorBody { error: error.to_string(), problems: Some(problems) })
    }
}

impl From<RuntimeError> for ApiError {
    fn from(error: RuntimeError) -> Self {
        let status = match &error {
            RuntimeError::UnknownRelease(_) => StatusCode::NOT_FOUND,
            RuntimeError::Schedule(ScheduleError::Unknown { .. }) => StatusCode::NOT_FOUND,
            RuntimeError::Schedule(ScheduleError::NotNow(_)) => StatusCode::CONFLICT,
            RuntimeError::Schedule(ScheduleError::NeverComes { .. }) => StatusCode::UNPROCESSABLE_ENTITY,
            RuntimeError::Breaker(error) => match error {
                BreakerError::Unknown { .. } => StatusCode::NOT_FOUND,
                BreakerError::NotNow(_) => StatusCode::CONFLICT,
                BreakerError::Key(_)
                | BreakerError::Settings(_)
                | BreakerError::Pointless { .. }
                | BreakerError::NoLabel
                | BreakerError::Uncounted
                | BreakerError::NoReason => StatusCode::UNPROCESSABLE_ENTITY,
            },
            RuntimeError::Admission(error) => match error {
                AdmissionError::TooManyWait { .. } => StatusCode::TOO_MANY_REQUESTS,
                AdmissionError::Circle { .. } => StatusCode::CONFLICT,
                AdmissionError::NoSuchLimit { .. } => StatusCode::NOT_FOUND,
                AdmissionError::Group(_) | AdmissionError::NothingSet | AdmissionError::OutOfRange { .. } => {
                    StatusCode::UNPROCESSABLE_ENTITY
                }
            },
            RuntimeError::NoSuchPin { .. }
            | RuntimeError::OutputBreaksSchema { .. }
            | RuntimeError::NotOneOutputPerItem { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            RuntimeError::Service(error) => match error {
                ServiceError::Unknown { .. } => StatusCode::NOT_FOUND,
                ServiceError::NeverThere(_) => StatusCode::CONFLICT,
                ServiceError::NoReason | ServiceError::Version(_) => StatusCode::UNPROCESSABLE_ENTITY,
            },
            RuntimeError::Alert(error) => crate::alerts::webhook::status_of(error),
            RuntimeError::NotRehearsed(_) | RuntimeError::NoRollbackTrigger(_) => StatusCode::CONFLICT,
            other => status_of(other),
        };
        Self::new(status, error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

type Answer<T> = Result<Json<T>, ApiError>;

/// What a process that answers says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusBody {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Whether it goes on with open releases.
    pub drives: bool,
    /// Open releases in which something is going on, or which somebody looks at.
    pub driven: usize,
    /// Open releases that wait, and are in no memory.
    pub parked: usize,
    /// Where it keeps everything.
    pub state_directory: String,
    /// What callback addresses begin with; none where callbacks are taken on this machine only.
    #[serde(default)]
    pub callbacks: Option<String>,
}

/// The routes.
pub fn router(runtime: Runtime) -> axum::Router {
    axum::Router::new()
        .route("/v1/status", get(status))
        .route("/v1/releases", get(list::list).post(release::start))
        .route("/v1/releases/{release}", get(release::show))
        .route("/v1/releases/{release}/watch", get(release::watch))
        .route("/v1/releases/{release}/journal", get(release::journal))
        .route("/v1/releases/{release}/logs", get(release::logs))
        .route("/v1/releases/{release}/cassette", get(recording::cassette))
        .route("/v1/recordings", get(recording::of_component))
        .route("/v1/releases/{release}/cause", post(release::give_cause))
        .route("/v1/releases/{release}/card", get(release::card))
        .route("/v1/releases/{release}/rollback", get(release::rollback_preview))
        .route("/v1/releases/{release}/way-back", get(release::going_back))
        .route("/v1/releases/{release}/votes", post(release::vote))
        .route("/v1/releases/{release}/interventions", post(intervention::intervene))
        .route("/v1/callbacks/{topic}", post(release::call_back))
        .route("/v1/validate", post(release::validate))
        .route("/v1/plugins", get(declare::plugins).post(declare::install_plugin))
        .route("/v1/plugins/{name}/{version}/imports", get(declare::plugin_imports))
        .route("/v1/connections", get(declare::connections).post(declare::add_connection))
        .route("/v1/connections/{name}", axum::routing::delete(declare::remove_connection))
        .route("/v1/connections/{name}/secret", get(declare::connection_secret))
        .route("/v1/connections/{name}/test", post(declare::test_connection))
        .route("/v1/tools", get(declare::tools).post(declare::add_tool))
        .route("/v1/tools/{name}", axum::routing::delete(declare::remove_tool))
        .route("/v1/groups", get(declare::groups).post(declare::add_group))
        .route("/v1/schedules", get(schedule::list).post(schedule::set))
        .route("/v1/schedules/{name}", get(schedule::show).delete(schedule::delete))
        .route("/v1/schedules/{name}/next", get(schedule::next))
        .route("/v1/schedules/{name}/pause", post(schedule::pause))
        .route("/v1/schedules/{name}/resume", post(schedule::resume))
        .route("/v1/schedules/{name}/run", post(schedule::run))
        .route("/v1/drills", get(schedule::drills))
        .route("/v1/times", get(schedule::times))
        .route("/v1/breakers", get(breaker::list))
        .route("/v1/breakers/{key}", get(breaker::show).post(breaker::set).delete(breaker::unset))
        .route("/v1/breakers/{key}/trip", get(breaker::reach).post(breaker::trip))
        .route("/v1/breakers/{key}/reset", post(breaker::reset))
        .route("/v1/services", get(service::list))
        .route("/v1/services/{environment}/{service}", get(service::show).post(service::set))
        .route("/v1/services/{environment}/{service}/forget", post(service::forget))
        .route("/v1/alerts", post(alert::take))
        .route("/v1/alert-sources", get(alert::sources).post(alert::set_source))
        .route("/v1/alert-sources/{name}", axum::routing::delete(alert::remove_source))
        .route("/v1/limits", get(limit::list).post(limit::set))
        .route("/v1/limits/installation", axum::routing::delete(limit::remove_from_installation))
        .route("/v1/limits/tenants/{name}", axum::routing::delete(limit::remove_from_tenant))
        .route("/v1/store/check", get(declare::check_store))
        .route("/v1/store/repair", post(declare::repair_store))
        .route("/v1/store/archive", post(upkeep::archive))
        .route("/v1/store/expire", post(upkeep::expire))
        .route("/v1/backup", post(declare::back_up))
        .fallback(async || ApiError::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .layer(axum::extract::DefaultBodyLimit::max(COMPONENT_BYTES_MAX))
        .layer(axum::middleware::from_fn(to_its_end))
        .with_state(runtime)
}

/// Handles a request to its end even when whoever asked goes away: otherwise a release could be
/// recorded and never driven.
async fn to_its_end(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "a request could not be handled to its end");
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the host itself failed; please report it").into_response()
        }
    }
}

async fn status(State(runtime): State<Runtime>) -> Json<StatusBody> {
    let (driven, parked) = runtime.attended();
    Json(StatusBody {
        driven,
        parked,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        drives: runtime.drives(),
        state_directory: runtime.state().root().display().to_string(),
        callbacks: runtime.callback_url().map(ToString::to_string),
    })
}

/// The actor of a request.
pub(crate) struct Caller(Peer);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        Ok(Self(peer.map_or(Peer { uid: u32::MAX }, |it| it.0)))
    }
}

impl Caller {
    pub(crate) fn actor(&self, runtime: &Runtime, on_behalf_of: Option<&str>) -> Actor {
        runtime.catalog().groups.actor(self.0.uid, on_behalf_of)
    }
}

pub(crate) fn release_id(text: &str) -> Result<ReleaseId, ApiError> {
    text.parse().map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, error))
}
