//! Counterparts for tests and the demo: what Windlass talks to when the real thing is not there.
//!
//! Two HTTP simulators written from the vendors' public documentation (Jenkins, ServiceNow), the services of the cookbook, an echo server,
//! and a stand-in for the `helm` command. Each says that it is simulated, on the wire and on screen.
//!
//! **Invariant:** nothing here reaches out: a simulator listens on loopback and answers, the stand-in writes
//! only below the folder which its kubeconfig names.
//! **Invariant:** what a simulator shows follows from the requests it got and from the clock. There are no
//! background tasks; time is looked at when a request arrives ([`Simulator`]).
//! **Not here:** any credential of a real system, and any claim that a vendor behaves this way beyond what
//! `README.md` lists as checked.

mod authentication;
mod control;
mod echo;
mod effect;
mod fault;
pub mod helm;
mod http;
mod jenkins;
mod recipes;
mod servicenow;
mod simulator;

pub use effect::Effect;
pub use fault::{Fault, FaultAction};
pub use jenkins::{JobConfiguration, ParameterDefinition, TestCounts};
pub use simulator::{RequestRecord, Running, Simulator, SimulatorKind, SimulatorOptions};
