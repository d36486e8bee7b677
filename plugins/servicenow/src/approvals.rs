//! `read-approvals`, `await-approval`: who has to agree, and whether they did.

use crate::instance::{Instance, role};
use crate::record::Record;
use crate::states::{self, ASSESS, AUTHORIZED, CANCELED, NEW};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use windlass_sdk::{
    Action, Answer, Context, Effect, Event, Failure, HumanDuration, Method, Outcome, RetryAdvice, Role, suspend,
};

const APPROVERS_MAX: u32 = 200;
const INTERVAL_MIN: Duration = Duration::from_millis(500);
/// So many polls in a row may fail before the step does.
const FAILED_POLLS_MAX: u32 = 20;

/// The approvals of a change.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Approvals {
    /// The change's number.
    number: String,
    /// The change's state in words.
    state_label: String,
    /// `not requested`, `requested`, `approved` or `rejected`.
    approval: String,
    /// Who was asked.
    approvers: Vec<Approver>,
}

/// One who was asked.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Approver {
    /// Name.
    name: String,
    /// `requested`, `approved`, `rejected`, `not_required`, …
    state: String,
    /// What they said.
    comments: Option<String>,
    /// When it last changed.
    updated: Option<String>,
}

fn reading() -> Role {
    role().allow(&[Method::Get], "/api/now/table/sysapproval_approver")
}

fn approvals(instance: &Instance, change: &Record) -> Result<Approvals, Failure> {
    let query = format!("sysapproval={}", change.sys_id());
    let approvers = instance.query("sysapproval_approver", &query, APPROVERS_MAX)?;
    let approvers = approvers
        .iter()
        .map(|approver| Approver {
            name: approver.display("approver").to_owned(),
            state: approver.value("state").to_owned(),
            comments: approver.shown("comments"),
            updated: approver.given("sys_updated_on"),
        })
        .collect();
    Ok(Approvals {
        number: change.number().to_owned(),
        state_label: states::label(change),
        approval: change.value("approval").to_owned(),
        approvers,
    })
}

/// Reads the approvals of a change.
pub(crate) struct ReadApprovals;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadApprovalsInput {
    /// The change: its number or sys_id.
    change: String,
}

impl Action for ReadApprovals {
    const NAME: &'static str = "read-approvals";
    const DESCRIPTION: &'static str = "Reads who was asked to approve a change and what they said.";
    const EFFECT: Effect = Effect::Read;

    type Input = ReadApprovalsInput;
    type Output = Approvals;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![reading()]
    }

    fn start(ctx: &Context, input: ReadApprovalsInput) -> Answer<Self> {
        let instance = Instance::connect(ctx)?;
        let change = instance.change(&input.change)?;
        approvals(&instance, &change).map(Outcome::done)
    }
}

/// Waits until a change is approved or rejected.
pub(crate) struct AwaitApproval;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AwaitApprovalInput {
    /// The change: its number or sys_id.
    change: String,
    /// How often to look.
    #[serde(default = "default_poll_interval")]
    poll_interval: HumanDuration,
}

fn default_poll_interval() -> HumanDuration {
    HumanDuration::seconds(30)
}

/// A wait for approval.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Awaiting {
    failed_polls: u32,
}

impl Action for AwaitApproval {
    const NAME: &'static str = "await-approval";
    const DESCRIPTION: &'static str = "Waits until a change is approved; a rejected one fails the step.";
    const EFFECT: Effect = Effect::Read;

    type Input = AwaitApprovalInput;
    type Output = Approvals;
    type State = Awaiting;

    fn connections() -> Vec<Role> {
        vec![reading()]
    }

    fn start(ctx: &Context, input: AwaitApprovalInput) -> Answer<Self> {
        look(ctx, &input)
    }

    fn resume(ctx: &Context, input: AwaitApprovalInput, state: Awaiting, _: Event) -> Answer<Self> {
        let failure = match look(ctx, &input) {
            Err(failure) if failure.class.passes() && state.failed_polls < FAILED_POLLS_MAX => failure,
            answer => return answer,
        };
        ctx.log().warn(format!("ServiceNow cannot be asked now: {}", failure.message));
        let wait = match failure.retry {
            RetryAdvice::After(wait) => wait.max(input.poll_interval.0),
            _ => input.poll_interval.0,
        };
        let state = Awaiting { failed_polls: state.failed_polls + 1 };
        let status = format!("ServiceNow does not answer ({}); asking again", failure.code);
        Ok(suspend(state).after(wait.max(INTERVAL_MIN)).status(status))
    }
}

fn look(ctx: &Context, input: &AwaitApprovalInput) -> Answer<AwaitApproval> {
    let instance = Instance::connect(ctx)?;
    let change = instance.change(&input.change)?;
    let number = change.number();
    let (state, approval) = (change.value("state"), change.value("approval"));
    if state == CANCELED {
        return Err(Failure::canceled("change-canceled", format!("{number} was canceled")));
    }
    let answers = approvals(&instance, &change)?;
    if approval == "rejected" {
        let said: Vec<String> = answers
            .approvers
            .iter()
            .filter(|approver| approver.state == "rejected")
            .map(|approver| match &approver.comments {
                Some(comments) => format!("{} ({comments})", approver.name),
                None => approver.name.clone(),
            })
            .collect();
        let by = if said.is_empty() { String::new() } else { format!(" by {}", said.join(", ")) };
        return Err(Failure::rejected("change-rejected", format!("{number} was rejected{by}")).never());
    }
    // An approval in an early state is only the first of several.
    let authorized = AUTHORIZED.contains(&state) || (approval == "approved" && state != NEW && state != ASSESS);
    if authorized {
        ctx.log().info(format!("{number} is approved and in state {}", answers.state_label));
        return Ok(Outcome::done(answers));
    }
    let waiting: Vec<&str> = answers
        .approvers
        .iter()
        .filter(|approver| approver.state == "requested")
        .map(|approver| approver.name.as_str())
        .collect();
    let status = match waiting.as_slice() {
        [] => format!("{number} is in state {}; approval {approval}", answers.state_label),
        few if few.len() <= 3 => format!("{number} waits for {}", few.join(", ")),
        many => format!("{number} waits for {} and {} others", many[..2].join(", "), many.len() - 2),
    };
    Ok(suspend(Awaiting::default()).after(input.poll_interval.0.max(INTERVAL_MIN)).status(status))
}
