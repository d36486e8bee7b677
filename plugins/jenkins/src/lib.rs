//! Jenkins: triggers a build with parameters, follows it from the queue to its end with its console, and reads builds.
//!
//! A build carries the step's idempotency key in a parameter that the job declares (`WINDLASS_KEY` unless the step
//! names another), so that a build whose answer was lost is found again instead of being started twice.

mod api;
mod build;
mod cancel;
mod console;
mod follow;
mod get_build;
mod job;
mod trigger;

use get_build::GetBuild;
use trigger::TriggerBuild;

windlass_sdk::plugin! {
    name: "jenkins",
    description: "Triggers and follows builds on a Jenkins controller.",
    actions: [TriggerBuild: cancel + find, GetBuild],
}
