//! What any plugin must pass to be certified, driven from outside.
//!
//! A plugin's author says in [`Conformance`] (`conformance.yaml`) how the plugin is exercised: what it talks to, which
//! actions with which inputs, and where the counterpart shows what was done to it. [`certify`] then makes the calls that a
//! host makes, through the real sandbox, while a proxy between the plugin and its counterpart loses answers, refuses, and
//! never ends, and a script in the place of its native tools kills them; it ends calls in the middle, goes on from saved
//! state, stops, rolls back. What came of it is a [`Certification`], and a [`Transcript`] of each failure.
//!
//! **Invariant:** a scenario begins with a counterpart of its own, so each can be run again alone.
//! **Invariant:** the suite judges by what the host sees and what the counterpart shows, never by what the plugin is made of.

mod between;
mod counterpart;
mod explain;
mod file;
mod fit;
mod input;
mod judge;
mod matrix;
mod memory;
mod outcome;
mod program;
mod proxy;
mod scenario;
mod scene;
mod secret;
mod suite;
mod transcript;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;

use windlass_model::connection::SecretReference;
use windlass_model::manifest::EffectiveLimits;
use windlass_sandbox::{SandboxOptions, Secret, SecretError, SecretSource};

pub use explain::{explained, page};
pub use file::{Conformance, FILE_NAME, FileError, Only};
pub use matrix::{markdown, table};
pub use outcome::{Certification, Check, Failed, Outcome, RESULT_VERSION, Report};
pub use suite::{Subject, certify};
pub use transcript::{Event, TRANSCRIPT_VERSION, Transcript};

/// The made-up credential: wherever it appears, it was taken there.
const SECRET: &str = "windlass-certify-4b1f9c2e7a";

/// The name by which connections refer to it.
const SECRET_NAME: &str = "WINDLASS_CERTIFY";

/// How long one call may take: nothing here is slow but what the suite slows down.
const WALL_MS: u64 = 5_000;

/// Why nothing was certified: the plugin was not at fault.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// What the plugin talks to does not do as the file says.
    #[error("the counterpart: {0}")]
    Counterpart(String),
    /// A native tool cannot be run as the file says.
    #[error("{0}")]
    Tool(String),
    /// The component cannot be read at all.
    #[error(transparent)]
    Component(#[from] windlass_sandbox::ComponentError),
    /// The file does not fit.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nothing is left to check.
    #[error("there is nothing to check: {0}")]
    Nothing(String),
}

/// The sandbox in which plugins are certified: with the made-up credential, and less patience than a host has.
pub fn sandbox_options(cache_dir: Option<PathBuf>) -> SandboxOptions {
    SandboxOptions {
        cache_dir,
        instances_max: 50,
        bound: EffectiveLimits { wall_ms: WALL_MS, ..EffectiveLimits::BOUND },
        secrets: Arc::new(MadeUp),
        ..SandboxOptions::default()
    }
}

struct MadeUp;

impl SecretSource for MadeUp {
    fn resolve(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        match reference {
            SecretReference::Environment(name) if name == SECRET_NAME => Ok(Secret::new(SECRET)),
            // A kubeconfig of the file, which the suite has written down.
            SecretReference::File(path) => std::fs::read_to_string(path)
                .map(Secret::new)
                .map_err(|error| SecretError::Unreadable { reference: reference.to_string(), why: error.to_string() }),
            other => Err(SecretError::Unreadable {
                reference: other.to_string(),
                why: "a certification has no secrets but its own".to_owned(),
            }),
        }
    }
}
