//! Who makes the calls of components: the sandbox, or somebody in its place.

use std::sync::Arc;

use futures::future::BoxFuture;
use windlass_engine::{CallOrder, CallResult};
use windlass_model::failure::StepError;
use windlass_model::name::{ReleaseId, StepName};
use windlass_sandbox::{Sandbox, StepHost};

use crate::runtime::RuntimeError;

/// Makes the calls of components in the sandbox's place. A simulation does, which has no components.
pub trait Calls: Send + Sync + 'static {
    /// Makes one. It is dropped when nobody wants the answer any more.
    fn call(&self, call: ComponentCall) -> BoxFuture<'static, Result<CallResult, StepError>>;
}

/// A call of a component, as the engine ordered it.
pub struct ComponentCall {
    /// The release.
    pub release: ReleaseId,
    /// The step, or the item of one.
    pub step: StepName,
    /// The call.
    pub order: CallOrder,
    /// What it can ask of its release.
    pub host: Arc<dyn StepHost>,
}

/// Who makes the calls.
pub(crate) enum Components {
    /// What is installed runs in the sandbox.
    Sandboxed(Sandbox),
    /// Somebody else answers.
    Elsewhere(Arc<dyn Calls>),
}

impl Components {
    pub(crate) fn sandbox(&self) -> Result<&Sandbox, RuntimeError> {
        match self {
            Self::Sandboxed(sandbox) => Ok(sandbox),
            Self::Elsewhere(_) => Err(RuntimeError::Sandbox("calls are not made in a sandbox here".to_owned())),
        }
    }
}
