//! `trigger-build`: starts a build exactly once, however often it is asked to.

use crate::api::{Correlated, Jenkins, building_role};
use crate::build::{BuildReport, Unstable};
use crate::follow::{self, Following, Stage};
use crate::job::{JobName, ParameterValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use windlass_sdk::{Action, Answer, Context, Effect, Event, Failure, Find, Found, HumanDuration, Role};

/// Triggers a build and follows it to its end.
pub(crate) struct TriggerBuild;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TriggerInput {
    /// Full name of the job: `payments` or `team/payments`.
    pub(crate) job: String,
    /// Parameters of the build; the job has to declare each.
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, ParameterValue>,
    /// The string parameter by which the build is recognised; the plugin gives it its value.
    #[serde(default = "default_correlation_parameter")]
    pub(crate) correlation_parameter: String,
    /// What to make of a result `UNSTABLE`.
    #[serde(default)]
    pub(crate) unstable: Unstable,
    /// How often to look; less often, up to 15 s, while nothing happens.
    #[serde(default = "default_poll_interval")]
    pub(crate) poll_interval: HumanDuration,
}

fn default_correlation_parameter() -> String {
    "WINDLASS_KEY".to_owned()
}

fn default_poll_interval() -> HumanDuration {
    HumanDuration::seconds(2)
}

/// What was about to be triggered: recorded before it is, so that a cancel can look for it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Intent {
    /// The value of the correlation parameter; none if the job does not declare it.
    pub(crate) key: Option<String>,
}

/// The checkpoint of the intent.
pub(crate) const INTENT: &str = "intent";

impl Action for TriggerBuild {
    const NAME: &'static str = "trigger-build";
    const DESCRIPTION: &'static str =
        "Triggers a build with parameters and follows it: queue, console, result, artifacts and tests.";
    const EFFECT: Effect = Effect::Write;

    type Input = TriggerInput;
    type Output = BuildReport;
    type State = Following;

    fn connections() -> Vec<Role> {
        vec![building_role()]
    }

    fn start(ctx: &Context, input: TriggerInput) -> Answer<Self> {
        let jenkins = Jenkins::connect(ctx)?;
        let name = JobName::parse(&input.job)?;
        let job = jenkins.job(&name)?;
        let correlation = input.correlation_parameter.as_str();
        if input.parameters.contains_key(correlation) {
            let message = format!(
                "`{correlation}` gets its value from Windlass; name another `correlation_parameter` to set it yourself"
            );
            return Err(Failure::invalid("reserved-parameter", message).never());
        }
        job.check(&name, &input.parameters)?;

        let key = job.declares(correlation).then(|| ctx.idempotency_key().to_owned());
        if key.is_none() {
            ctx.log().warn(format!(
                "job `{name}` declares no string parameter `{correlation}`: a build whose answer gets lost cannot be recognised"
            ));
        }
        if let Some(key) = key.as_deref().filter(|_| ctx.attempt() > 1)
            && let Some(found) = jenkins.correlated(&name, correlation, key)?
            && still_counts(&found, input.unstable)
        {
            ctx.log().info(format!("an earlier attempt has triggered the build of `{name}` already"));
            return Ok(
                Following::new(Stage::from(&found), Some(key.to_owned())).begin(format!("found the build of `{name}`"))
            );
        }

        ctx.once(INTENT, || Ok(Intent { key: key.clone() }))?;
        let mut form: Vec<(String, String)> =
            input.parameters.iter().map(|(parameter, value)| (parameter.clone(), value.to_string())).collect();
        form.extend(key.iter().map(|key| (correlation.to_owned(), key.clone())));
        let lost = match jenkins.trigger(&name, job.has_parameters().then_some(&form)) {
            Ok(item) => {
                ctx.log().info(format!("triggered a build of `{name}`: item {item} of the queue"));
                return Ok(
                    Following::new(Stage::Queued { item }, key).begin(format!("the build of `{name}` is in the queue"))
                );
            }
            Err(error) if !error.effect_unknown => return Err(error.failure),
            Err(error) => error.failure,
        };
        let Some(key) = key else {
            let doing = format!("triggering `{name}` (a build may have been started; look before it is tried again)");
            return Err(lost.context(doing).pause());
        };
        match jenkins.correlated(&name, correlation, &key) {
            Ok(Some(found)) => {
                ctx.log().info(format!("Jenkins' answer got lost; found the build of `{name}` by its key"));
                Ok(Following::new(Stage::from(&found), Some(key)).begin(format!("found the build of `{name}`")))
            }
            // The next attempt looks again before it triggers.
            Ok(None) | Err(_) => Err(lost.context(format!("triggering `{name}`"))),
        }
    }

    fn resume(ctx: &Context, input: TriggerInput, state: Following, _: Event) -> Answer<Self> {
        follow::poll(ctx, &input, state)
    }
}

impl Find for TriggerBuild {
    fn find(ctx: &Context, input: TriggerInput) -> Found<Self> {
        let jenkins = Jenkins::connect(ctx)?;
        let name = JobName::parse(&input.job)?;
        let correlation = input.correlation_parameter.as_str();
        if !jenkins.job(&name)?.declares(correlation) {
            let message = format!(
                "job `{name}` declares no parameter `{correlation}`, so nobody can tell whether this step's build was triggered: look in Jenkins"
            );
            return Err(Failure::not_found("not-correlated", message).pause());
        }
        let key = ctx.idempotency_key();
        let found = jenkins.correlated(&name, correlation, key)?;
        Ok(found.map(|found| {
            Following::new(Stage::from(&found), Some(key.to_owned())).begin(format!("found the build of `{name}`"))
        }))
    }
}

/// A build that ended badly belongs to an earlier attempt, which said so; this one makes another.
fn still_counts(found: &Correlated, unstable: Unstable) -> bool {
    match found {
        Correlated::Queued(_) => true,
        Correlated::Built(build) => match build.result.as_deref() {
            None | Some("SUCCESS") => true,
            Some("UNSTABLE") => unstable == Unstable::Accept,
            Some(_) => build.building,
        },
    }
}
