//! Watching a release until it ends.

use std::time::{SystemTime, UNIX_EPOCH};

use windlass_model::time::Timestamp;
use windlass_server::Client;
use windlass_server::api::VoteBody;
use windlass_server::view::{ReleaseView, StepView, WaitView};

use super::Context;
use crate::tree::Live;

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_millis() as u64)
}

/// What to do when a step waits for an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Approvals {
    /// Nothing; somebody else answers.
    Wait,
    /// Ask on the terminal and answer for this person.
    Ask(&'static str),
    /// Answer yes for this person.
    Give(&'static str),
}

/// How long a release is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// To its end.
    End,
    /// To its end, or until nothing goes on without a person's decision.
    Decision,
}

impl Until {
    pub(crate) fn is_reached(self, view: &ReleaseView) -> bool {
        let waits_for_a_person = |it: &WaitView| ["decision", "pause", "rollback"].contains(&it.cause.as_str());
        let goes_on = |it: &StepView| ["running", "retrying", "canceling", "rolling_back"].contains(&it.state.as_str());
        view.ended
            || self == Self::Decision
                && !view.waits.is_empty()
                && view.waits.iter().all(waits_for_a_person)
                && !view.steps.iter().flat_map(|it| std::iter::once(it).chain(&it.items)).any(goes_on)
    }
}

/// Shows a release until it ends, or nobody drives it any more; gives how it stood last.
pub(crate) async fn watch(
    client: &Client,
    release: &str,
    context: &Context<'_>,
    approvals: Approvals,
) -> anyhow::Result<ReleaseView> {
    watch_until(client, release, context, approvals, Until::End).await
}

/// The same, for so long.
pub(crate) async fn watch_until(
    client: &Client,
    release: &str,
    context: &Context<'_>,
    approvals: Approvals,
    until: Until,
) -> anyhow::Result<ReleaseView> {
    let path = format!("/v1/releases/{release}");
    let mut live = Live::new(context.output.is_live());
    let (views, mut view) = tokio::sync::watch::channel(client.get::<ReleaseView>(&path).await?);
    let watching = client.clone();
    let watch_path = format!("{path}/watch");
    let task = tokio::spawn(async move {
        watching
            .lines(&watch_path, |it: ReleaseView| {
                views.send_replace(it);
            })
            .await
    });
    let mut answered: Vec<(String, String)> = Vec::new();
    let mut redraw = tokio::time::interval(std::time::Duration::from_millis(250));
    loop {
        let seen = view.borrow_and_update().clone();
        if !context.output.is_json() {
            live.show(&seen, now());
        }
        if until.is_reached(&seen) {
            break;
        }
        let own = seen.waits.iter().map(|it| (release, it));
        let inner = seen.within.iter().flat_map(|inner| inner.waits.iter().map(|it| (inner.release.as_str(), it)));
        let is_answered = |of: &str, step: &str| answered.iter().any(|it| it.0 == of && it.1 == step);
        let open = own.chain(inner).find(|(of, it)| it.cause == "approval" && !is_answered(of, &it.step));
        if let Some((of, wait)) = open {
            live.leave();
            if answer(client, of, wait, approvals, context).await? {
                answered.push((of.to_owned(), wait.step.clone()));
            }
        }
        let gone = tokio::select! {
            changed = view.changed() => changed.is_err(),
            // The clocks of running steps go on.
            _ = redraw.tick(), if context.output.is_live() => false,
        };
        if gone {
            break;
        }
    }
    task.abort();
    live.leave();
    Ok(client.get(&path).await?)
}

/// Answers an approval gate as it was asked to; tells whether there is nothing more to do about it.
async fn answer(
    client: &Client,
    release: &str,
    wait: &WaitView,
    approvals: Approvals,
    context: &Context<'_>,
) -> anyhow::Result<bool> {
    let (person, approved, comment) = match approvals {
        Approvals::Wait => return Ok(true),
        Approvals::Give(person) => (person, true, String::new()),
        Approvals::Ask(person) => {
            let question = format!("\nApprove `{}` of {release} as {person}? [y/N] ", wait.step);
            let Some(line) = context.output.ask(&question).await? else {
                context.output.note(format_args!("no answer; {} approves it", wait.command));
                return Ok(true);
            };
            match line.trim() {
                "y" | "Y" | "yes" => (person, true, String::new()),
                _ => (person, false, "not approved on the terminal".to_owned()),
            }
        }
    };
    let body = VoteBody { step: Some(wait.step.clone()), approved, comment, on_behalf_of: Some(person.to_owned()) };
    let _: ReleaseView = client.post(&format!("/v1/releases/{release}/votes"), &body).await?;
    Ok(true)
}

/// 0 when it succeeded, 1 when it did not.
pub(crate) fn exit_code(view: &ReleaseView) -> u8 {
    u8::from(!view.succeeded)
}
