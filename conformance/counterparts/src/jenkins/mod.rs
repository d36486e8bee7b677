//! A simulated Jenkins controller: jobs, the queue, builds which progress with the clock.
//!
//! **Invariant:** builds move only in [`Jenkins::advance`], which is called with the time before any answer.
//! **Invariant:** two queue items with the same job and parameters become one while the first waits, as in
//! Jenkins; with different parameters they stay two.

mod build;
mod job;
mod page;
mod route;
mod tree;

pub use job::{JobConfiguration, ParameterDefinition, TestCounts};
pub(crate) use page::error_page;

use crate::authentication::Presented;
use crate::effect::EffectLog;
use crate::http::{Reply, Request};
use crate::simulator::SimulatorOptions;
use build::Build;
use hyper::StatusCode;
use job::Job;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The version in the header `X-Jenkins`.
const VERSION: &str = "2.479.1";
/// The parameter whose value is the key of an effect.
const KEY_PARAMETER: &str = "WINDLASS_KEY";

/// The controller.
pub(crate) struct Jenkins {
    url: String,
    options: SimulatorOptions,
    jobs: BTreeMap<String, Job>,
    queue: Vec<QueueItem>,
    next_item: u64,
    /// What makes crumbs hard to guess.
    salt: [u8; 16],
    next_session: u64,
}

/// What waits for an executor, or did so recently.
struct QueueItem {
    id: u64,
    job: String,
    parameters: Vec<(String, Value)>,
    user: String,
    since_ms: i64,
    /// When its quiet period ends.
    ready_ms: i64,
    state: ItemState,
}

enum ItemState {
    Waiting,
    Left { number: u64, at_ms: i64 },
    Cancelled { at_ms: i64 },
}

/// A build asked for.
struct Ask {
    job: String,
    parameters: Vec<(String, Value)>,
    user: String,
    quiet_ms: Option<i64>,
    extra_ms: i64,
}

impl Jenkins {
    pub(crate) fn new(url: &str, options: &SimulatorOptions) -> Jenkins {
        let mut jenkins = Jenkins {
            url: format!("{url}/"),
            options: options.clone(),
            jobs: BTreeMap::new(),
            queue: Vec::new(),
            next_item: 1,
            salt: rand::random(),
            next_session: 1,
        };
        jenkins.configure(JobConfiguration::payments(options));
        jenkins
    }

    /// Adds a job or changes one, whose builds then stay.
    pub(crate) fn configure(&mut self, configuration: JobConfiguration) {
        let name = configuration.name.trim_matches('/').to_owned();
        match self.jobs.get_mut(&name) {
            Some(job) => job.configuration = configuration,
            None => {
                self.jobs.insert(name, Job { configuration, builds: Vec::new() });
            }
        }
    }

    pub(crate) fn configurations(&self) -> Vec<&JobConfiguration> {
        self.jobs.values().map(|job| &job.configuration).collect()
    }

    /// Starts the builds whose turn has come, in the order of their turns.
    pub(crate) fn advance(&mut self, now_ms: i64, effects: &mut EffectLog) {
        loop {
            let due = self
                .queue
                .iter()
                .enumerate()
                .filter(|(_, item)| matches!(item.state, ItemState::Waiting))
                .filter_map(|(index, item)| Some((self.start_ms(item)?, item.id, index)))
                .filter(|(start_ms, _, _)| *start_ms <= now_ms)
                .min();
            let Some((start_ms, _, index)) = due else { break };
            self.start(index, start_ms, effects);
        }
        let retention = i64::try_from(self.options.queue_item_retention.as_millis());
        let oldest = now_ms.saturating_sub(retention.unwrap_or(i64::MAX));
        self.queue.retain(|item| match item.state {
            ItemState::Waiting => true,
            ItemState::Left { at_ms, .. } | ItemState::Cancelled { at_ms } => at_ms >= oldest,
        });
    }

    /// When an item can start: after its quiet period, and for a job which does not run concurrently after
    /// the build before it. None for a job that is gone.
    fn start_ms(&self, item: &QueueItem) -> Option<i64> {
        let job = self.jobs.get(&item.job)?;
        let free_ms = match job.builds.last() {
            Some(build) if !job.configuration.concurrent => build.end_ms(),
            _ => i64::MIN,
        };
        Some(item.ready_ms.max(free_ms))
    }

    fn start(&mut self, index: usize, start_ms: i64, effects: &mut EffectLog) {
        let item = &mut self.queue[index];
        let Some(job) = self.jobs.get_mut(&item.job) else { return };
        let number = job.next_number();
        let build = Build::new(&job.configuration, item, number, start_ms);
        item.state = ItemState::Left { number, at_ms: start_ms };
        effects.add(
            start_ms,
            "build.started",
            build.target(),
            build.key(),
            json!({ "queue_item": item.id, "parameters": parameters_object(&item.parameters) }),
        );
        job.builds.push(build);
    }

    /// Puts a build into the queue, or finds the item that already waits for the same, and gives its number.
    fn ask(&mut self, ask: Ask, now_ms: i64, effects: &mut EffectLog) -> Option<u64> {
        let same = self.queue.iter().find(|item| {
            matches!(item.state, ItemState::Waiting) && item.job == ask.job && item.parameters == ask.parameters
        });
        if let Some(same) = same {
            return Some(same.id);
        }
        let job = self.jobs.get(&ask.job)?;
        let configured = i64::try_from(job.configuration.queue_ms).unwrap_or(i64::MAX / 4);
        let wait_ms = ask.quiet_ms.unwrap_or(configured).saturating_add(ask.extra_ms);
        let id = self.next_item;
        self.next_item += 1;
        effects.add(
            now_ms,
            "build.queued",
            ask.job.clone(),
            key_of(&ask.parameters),
            json!({ "queue_item": id, "parameters": parameters_object(&ask.parameters) }),
        );
        self.queue.push(QueueItem {
            id,
            job: ask.job,
            parameters: ask.parameters,
            user: ask.user,
            since_ms: now_ms,
            ready_ms: now_ms.saturating_add(wait_ms),
            state: ItemState::Waiting,
        });
        Some(id)
    }

    fn item(&self, id: u64) -> Option<&QueueItem> {
        self.queue.iter().find(|item| item.id == id)
    }

    /// Answers a request and tells whether it was authorised.
    pub(crate) fn answer(
        &mut self,
        request: &Request,
        presented: &Presented,
        now_ms: i64,
        queue_extra_ms: i64,
        effects: &mut EffectLog,
    ) -> (Reply, bool) {
        let user = match (presented.user(&self.options), presented) {
            (Some(user), _) => user.to_owned(),
            (None, Presented::Nothing) => return (self.stamp(page::forbidden(request)), false),
            (None, Presented::Basic { user, .. }) => {
                return (self.stamp(page::unauthorised(user)), false);
            }
            (None, Presented::Bearer(_) | Presented::Unreadable) => {
                return (self.stamp(page::unauthorised("")), false);
            }
        };
        if request.method == hyper::Method::POST && self.options.require_crumb {
            let crumb = request.headers.get("jenkins-crumb").and_then(|it| it.to_str().ok());
            let session = request.cookie(SESSION_COOKIE).unwrap_or_default();
            if crumb != Some(self.crumb(&user, session).as_str()) {
                let message = "No valid crumb was included in the request";
                return (self.stamp(error_page(StatusCode::FORBIDDEN, message)), true);
            }
        }
        let reply = match request.parts().as_slice() {
            ["crumbIssuer", "api", "json"] => self.crumb_reply(request, &user),
            _ => self.route(request, &user, now_ms, queue_extra_ms, effects),
        };
        (self.stamp(reply), true)
    }

    fn stamp(&self, reply: Reply) -> Reply {
        reply.with("x-jenkins", VERSION).with("x-hudson", "1.395").with("x-content-type-options", "nosniff")
    }

    /// The crumb of a user's session. It is bound to the session as in Jenkins since 2.176.2, so a client has
    /// to keep the cookie which came with it.
    fn crumb(&self, user: &str, session: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.salt);
        hash.update(user.as_bytes());
        hash.update([0]);
        hash.update(session.as_bytes());
        hex::encode(hash.finalize())
    }

    fn crumb_reply(&mut self, request: &Request, user: &str) -> Reply {
        let (session, new) = match request.cookie(SESSION_COOKIE) {
            Some(session) => (session.to_owned(), false),
            None => {
                let session = format!("node{}", self.next_session);
                self.next_session += 1;
                (session, true)
            }
        };
        let reply = Reply::json(
            StatusCode::OK,
            &json!({
                "_class": "hudson.security.csrf.DefaultCrumbIssuer",
                "crumb": self.crumb(user, &session),
                "crumbRequestField": "Jenkins-Crumb",
            }),
        );
        if new { reply.with("set-cookie", format!("{SESSION_COOKIE}={session}; Path=/; HttpOnly")) } else { reply }
    }
}

const SESSION_COOKIE: &str = "JSESSIONID.simulated";

/// The value of the parameter that is the caller's key.
fn key_of(parameters: &[(String, Value)]) -> Option<String> {
    parameters.iter().find(|(name, _)| name == KEY_PARAMETER).and_then(|(_, value)| value.as_str()).map(str::to_owned)
}

fn parameters_object(parameters: &[(String, Value)]) -> Value {
    parameters.iter().cloned().collect::<serde_json::Map<_, _>>().into()
}
