//! What people ask of a release over the API.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_engine::Input;
use windlass_model::event::Intervention;
use windlass_model::name::{ReleaseId, StepName};

use super::release::waiting_step;
use super::{Answer, ApiError, Caller, release_id};
use crate::runtime::Runtime;
use crate::view::ReleaseView;

/// Asks for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterventionBody {
    /// What.
    pub what: Asked,
    /// Which step, where it is about one. For `retry` it may be left out when only one waits for a decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// For `retry`: the version of the plugin to try it with from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// For `skip` and `replace_output`: what the step gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Why.
    pub reason: String,
    /// Whom the local user acts for.
    #[serde(default, rename = "as")]
    pub on_behalf_of: Option<String>,
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// Try a paused step, or a blocked rollback, again.
    Retry,
    /// Run a step and everything after it again.
    RunAgain,
    /// Go on without a step.
    Skip,
    /// Let the steps after a step see another output.
    ReplaceOutput,
    /// Start nothing new.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Stop the release.
    Cancel,
    /// Stop the release, then roll back what ran.
    CancelAndRollBack,
    /// Roll back what ran.
    RollBack,
    /// Do not roll back, where that was to be decided.
    Keep,
    /// A blocked rollback was brought to its end by other means.
    RollbackDone,
    /// The effect of a step whose rollback is blocked stays.
    LeaveInPlace,
}

pub(super) async fn intervene(
    State(runtime): State<Runtime>,
    caller: Caller,
    Path(release): Path<String>,
    Json(body): Json<InterventionBody>,
) -> Answer<ReleaseView> {
    let id = release_id(&release)?;
    let intervention = intervention(&runtime, &id, &body).await?;
    let actor = caller.actor(&runtime, body.on_behalf_of.as_deref());
    runtime.tell(&id, Input::Intervene { actor, reason: body.reason, intervention }).await?;
    Ok(Json(runtime.view(&id).await?))
}

async fn intervention(runtime: &Runtime, id: &ReleaseId, body: &InterventionBody) -> Result<Intervention, ApiError> {
    let step = || -> Result<StepName, ApiError> {
        let step = body.step.as_deref().ok_or_else(|| ApiError::new(StatusCode::BAD_REQUEST, "say which `step`"))?;
        step.parse().map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, error))
    };
    Ok(match body.what {
        Asked::Retry => {
            let step = waiting_step(runtime, id, body.step.as_deref(), "decision", "a decision").await?;
            match &body.version {
                None => Intervention::Retry { step },
                Some(version) => {
                    let pin = Box::new(runtime.pin_with(id, &step, version).await?);
                    Intervention::RetryWith { step, pin }
                }
            }
        }
        Asked::RunAgain => Intervention::RunAgain { step: step()? },
        Asked::Skip => {
            let step = step()?;
            if let Some(output) = &body.output {
                runtime.check_output(id, &step, output).await?;
            }
            Intervention::Skip { step, output: body.output.clone() }
        }
        Asked::ReplaceOutput => {
            let (step, output) = (step()?, body.output.clone());
            let output = output.ok_or_else(|| ApiError::new(StatusCode::BAD_REQUEST, "say which `output`"))?;
            runtime.check_output(id, &step, &output).await?;
            Intervention::ReplaceOutput { step, output }
        }
        Asked::Pause => Intervention::Pause,
        Asked::Resume => Intervention::Resume,
        Asked::Cancel => Intervention::Cancel { rollback: false },
        Asked::CancelAndRollBack => Intervention::Cancel { rollback: true },
        Asked::RollBack => Intervention::Rollback,
        Asked::Keep => Intervention::Keep,
        Asked::RollbackDone => Intervention::SettleRollback { step: step()?, done: true },
        Asked::LeaveInPlace => Intervention::SettleRollback { step: step()?, done: false },
    })
}
