//! How a step runs: a plugin's component, loaded once, called in a fresh instance each time.
//!
//! A [`Sandbox`] holds what all calls share: the engine and its pools, the cache of compiled code, the
//! HTTP client, the permits for native tools. [`Sandbox::prepare`] makes a [`Plugin`] of a component's
//! bytes; [`Sandbox::call`] carries out one [`CallRequest`] in a new instance and answers with a
//! [`CallReport`]. What the call does on the way (log lines, progress, checkpoints, traces) goes to
//! the [`StepHost`] that the caller gives.
//!
//! **Invariant:** a component reaches nothing but the [`StepHost`], the connections of its
//! [`Access`] through [`capability::http`] and the tools of its `Access` through
//! [`capability::tool`]. It has no files, no environment, no arguments, no sockets, no DNS.
//! **Invariant:** a credential is added behind the choke point and scrubbed from all that comes back;
//! it is in no report, log line, trace or error.
//! **Invariant:** a limit that is hit ends the call; a guest cannot go on from it. Only a denial is an
//! answer that the guest sees.
//! **Invariant:** an instance serves one call.

mod anatomy;
mod busy;
mod call;
pub mod capability;
pub mod cassette;
mod component;
mod engine;
mod host;
mod load;
pub mod measure;
mod outcome;
mod plugin;
mod sandbox;
mod scrub;
mod secret;
mod shared;
mod state;
mod stdio;
mod stop;

pub use anatomy::{Anatomy, anatomy};
pub use call::{Access, CallKind, CallReport, CallRequest, Usage, context};
pub use capability::http::Probe;
pub use component::{ComponentError, Inspection, MANIFEST_SECTION, embed_manifest, inspect};
pub use engine::Allocation;
pub use host::{Callback, Exchange, HostCall, LogLevel, LogLine, LogSource, StepHost};
pub use load::PrepareError;
pub use outcome::{CallOutcome, WAKE_DELAY_MIN, WakeUp};
pub use plugin::Plugin;
pub use sandbox::{Sandbox, SandboxError, SandboxOptions};
pub use scrub::{Scrubber, StreamScrubber};
pub use secret::{EnvironmentAndFiles, Secret, SecretError, SecretSource};
