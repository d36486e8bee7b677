//! `get-build`: reads a build.

use crate::api::{Jenkins, reading_role};
use crate::build::BuildReport;
use crate::job::JobName;
use schemars::JsonSchema;
use serde::Deserialize;
use windlass_sdk::{Action, Answer, Context, Effect, Outcome, Role};

/// Reads a build.
pub(crate) struct GetBuild;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetBuildInput {
    /// Full name of the job: `payments` or `team/payments`.
    job: String,
    /// Its number, or which one.
    #[serde(default)]
    build: BuildReference,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum BuildReference {
    /// By number.
    Number(u64),
    /// By what became of it.
    Named(Named),
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Named {
    Last,
    LastCompleted,
    LastSuccessful,
    LastStable,
}

impl Default for BuildReference {
    fn default() -> Self {
        Self::Named(Named::Last)
    }
}

impl Action for GetBuild {
    const NAME: &'static str = "get-build";
    const DESCRIPTION: &'static str = "Reads a build: result, artifacts and tests.";
    const EFFECT: Effect = Effect::Read;

    type Input = GetBuildInput;
    type Output = BuildReport;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![reading_role()]
    }

    fn start(ctx: &Context, input: GetBuildInput) -> Answer<Self> {
        let jenkins = Jenkins::connect(ctx)?;
        let job = JobName::parse(&input.job)?;
        let reference = match input.build {
            BuildReference::Number(number) => number.to_string(),
            BuildReference::Named(Named::Last) => "lastBuild".to_owned(),
            BuildReference::Named(Named::LastCompleted) => "lastCompletedBuild".to_owned(),
            BuildReference::Named(Named::LastSuccessful) => "lastSuccessfulBuild".to_owned(),
            BuildReference::Named(Named::LastStable) => "lastStableBuild".to_owned(),
        };
        let build = jenkins.build(&job, &reference)?;
        let tests = jenkins.tests(&job, build.number)?;
        Ok(Outcome::done(build.report(&job, tests)))
    }
}
