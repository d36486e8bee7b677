//! Helm: shows what a chart would change, installs and upgrades it, waits for its workloads, rolls it back.
//!
//! The plugin drives the native `helm` through the granted tool of that name, with the kubeconfig of the connection in
//! the role `cluster`, which it never sees. It never asks helm to wait: a call writes, the step suspends, and later
//! calls look at the workloads until they are ready. Only a chart's own hooks and tests make a call last, since helm
//! runs them in the foreground.
//!
//! **Invariant:** a release that another operation holds is diagnosed, never overwritten; only a revision that carries
//! this step's key is taken for its own.
//!
//! **Invariant:** the data of Kubernetes secrets reaches neither the log nor an output.

mod changes;
mod chart;
mod chart_tests;
mod diff;
mod helm;
mod lint;
mod manifest;
mod readiness;
mod report;
mod roll_back;
mod stderr;
mod target;
mod uninstall;
mod upgrade;
mod upgrade_rollback;
mod wait;

use chart_tests::RunTests;
use diff::Diff;
use lint::Lint;
use report::{ReadHistory, ReadStatus, ReadValues};
use roll_back::RollBack;
use uninstall::Uninstall;
use upgrade::Upgrade;

windlass_sdk::plugin! {
    name: "helm",
    description: "Installs, upgrades and rolls back Helm charts on a Kubernetes cluster.",
    actions: [
        Lint,
        Diff,
        Upgrade: cancel + rollback + find,
        RollBack: cancel + find,
        Uninstall,
        RunTests,
        ReadStatus,
        ReadHistory,
        ReadValues,
    ],
}
