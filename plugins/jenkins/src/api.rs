//! The part of Jenkins' REST API that the plugin uses.

use crate::build::{ActionEntry, Build, TestReport, Tests, carries};
use crate::job::{Job, JobName};
use serde::Deserialize;
use windlass_sdk::http::{Endpoint, Request, SendError};
use windlass_sdk::{Context, Failure, FailureClass, Method, Response, Role};

const ROLE: &str = "jenkins";

/// The role of the controller, with the requests that reading needs.
pub(crate) fn reading_role() -> Role {
    Role::required(ROLE, "The Jenkins controller; its base URL is Jenkins' root URL.").allow(&[Method::Get], "/job/**")
}

/// The role with what triggering, following and stopping needs too.
pub(crate) fn building_role() -> Role {
    reading_role()
        .allow(&[Method::Get], "/queue/**")
        .allow(&[Method::Get], "/crumbIssuer/api/json")
        .allow(&[Method::Post], "/job/**/build")
        .allow(&[Method::Post], "/job/**/buildWithParameters")
        .allow(&[Method::Post], "/job/**/stop")
        .allow(&[Method::Post], "/queue/cancelItem")
}

/// A Jenkins controller.
pub(crate) struct Jenkins<'a> {
    http: Endpoint<'a>,
}

/// An item of the queue, which Jenkins forgets some minutes after it left.
#[derive(Debug, Deserialize)]
pub(crate) struct QueueItem {
    /// Why it waits.
    pub(crate) why: Option<String>,
    #[serde(default)]
    pub(crate) cancelled: bool,
    /// The build that came of it.
    pub(crate) executable: Option<Executable>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Executable {
    pub(crate) number: u64,
    pub(crate) url: Option<String>,
}

/// Where a build with a correlation key was found.
#[derive(Debug)]
pub(crate) enum Correlated {
    Queued(u64),
    Built(Build),
}

/// A part of a console.
pub(crate) struct ConsoleResponse {
    pub(crate) response: Response,
    /// Where the next part begins.
    pub(crate) end: Option<u64>,
    /// Whether the build may write more.
    pub(crate) more: bool,
}

/// Why a POST was not answered as it should, and whether it may have had its effect nevertheless.
pub(crate) struct PostError {
    pub(crate) failure: Failure,
    pub(crate) effect_unknown: bool,
}

#[derive(Deserialize)]
struct Crumb {
    crumb: String,
    #[serde(rename = "crumbRequestField")]
    field: String,
}

impl<'a> Jenkins<'a> {
    pub(crate) fn connect(ctx: &Context<'a>) -> Result<Self, Failure> {
        Ok(Self { http: ctx.http(ROLE)? })
    }

    pub(crate) fn job(&self, name: &JobName) -> Result<Job, Failure> {
        let request = self.http.get(format!("{}/api/json", name.path())).query("tree", Job::TREE);
        let response = request.send().map_err(|failure| match failure.class {
            FailureClass::NotFound => {
                let message = format!("there is no job `{name}`, or the connection's user may not see it");
                Failure::not_found("job-not-found", message)
            }
            _ => failure,
        })?;
        response.json()
    }

    /// Starts a build; the answer is the queue item's number.
    pub(crate) fn trigger(&self, name: &JobName, form: Option<&[(String, String)]>) -> Result<u64, PostError> {
        let verb = if form.is_some() { "buildWithParameters" } else { "build" };
        let response = self.post(&format!("{}/{verb}", name.path()), form)?;
        let location = response.header("location").unwrap_or_default();
        location.trim_end_matches('/').rsplit_once("/queue/item/").and_then(|(_, id)| id.parse().ok()).ok_or_else(
            || PostError {
                failure: Failure::internal(
                    "no-queue-item",
                    format!("Jenkins did not say which queue item it made: `{location}`"),
                ),
                effect_unknown: true,
            },
        )
    }

    /// An item of the queue; none when Jenkins does not know it (any more).
    pub(crate) fn queue_item(&self, id: u64) -> Result<Option<QueueItem>, Failure> {
        let response = self.http.get(format!("/queue/item/{id}/api/json")).accept(404).send()?;
        if response.status() == 404 { Ok(None) } else { response.json().map(Some) }
    }

    /// Looks for the newest build with this value of this parameter. The queue comes first: what leaves it meanwhile
    /// is among the builds.
    pub(crate) fn correlated(&self, name: &JobName, parameter: &str, key: &str) -> Result<Option<Correlated>, Failure> {
        #[derive(Deserialize)]
        struct Queue {
            #[serde(default)]
            items: Vec<Item>,
        }
        #[derive(Deserialize)]
        struct Item {
            id: u64,
            #[serde(default)]
            actions: Vec<Option<ActionEntry>>,
        }
        #[derive(Deserialize)]
        struct Builds {
            #[serde(default)]
            builds: Vec<Build>,
        }
        let tree = "items[id,actions[parameters[name,value]]]";
        let queue: Queue = self.http.get("/queue/api/json").query("tree", tree).send()?.json()?;
        if let Some(item) = queue.items.iter().find(|item| carries(&item.actions, parameter, key)) {
            return Ok(Some(Correlated::Queued(item.id)));
        }
        let request = self.http.get(format!("{}/api/json", name.path())).query("tree", Build::LIST_TREE);
        let builds: Builds = request.send()?.json()?;
        let newest =
            builds.builds.into_iter().filter(|build| build.carries(parameter, key)).max_by_key(|build| build.number);
        Ok(newest.map(Correlated::Built))
    }

    /// A build by number, or by one of Jenkins' names such as `lastBuild`.
    pub(crate) fn build(&self, name: &JobName, build: &str) -> Result<Build, Failure> {
        let request = self.http.get(format!("{}/{build}/api/json", name.path())).query("tree", Build::TREE);
        let response = request.send().map_err(|failure| match failure.class {
            FailureClass::NotFound => {
                Failure::not_found("build-not-found", format!("job `{name}` has no build `{build}`"))
            }
            _ => failure,
        })?;
        response.json()
    }

    /// The test report; none if the build has none.
    pub(crate) fn tests(&self, name: &JobName, number: u64) -> Result<Option<Tests>, Failure> {
        let request = self
            .http
            .get(format!("{}/{number}/testReport/api/json", name.path()))
            .query("tree", "passCount,failCount,skipCount,totalCount")
            .accept(404);
        let response = request.send()?;
        if response.status() == 404 {
            return Ok(None);
        }
        response.json().map(|report: TestReport| Some(report.into()))
    }

    /// The console from an offset on.
    pub(crate) fn console(
        &self,
        name: &JobName,
        number: u64,
        offset: u64,
        limit: usize,
    ) -> Result<ConsoleResponse, Failure> {
        let response = self
            .http
            .get(format!("{}/{number}/logText/progressiveText", name.path()))
            .query("start", offset)
            .limit(limit)
            .send()?;
        let end = response.header("x-text-size").and_then(|size| size.trim().parse().ok());
        let more = response.header("x-more-data").is_some_and(|more| more.trim() == "true");
        Ok(ConsoleResponse { response, end, more })
    }

    /// What became of the item has to be looked at: Jenkins answers 500 for one that has left the queue meanwhile.
    pub(crate) fn cancel_item(&self, id: u64) -> Result<(), Failure> {
        match self.post(&format!("/queue/cancelItem?id={id}"), None) {
            Err(error) if error.failure.code == "http-500" => Ok(()),
            Err(error) => gone_is_fine(error.failure),
            Ok(_) => Ok(()),
        }
    }

    pub(crate) fn stop(&self, name: &JobName, number: u64) -> Result<(), Failure> {
        self.post(&format!("{}/{number}/stop", name.path()), None)
            .map(|_| ())
            .or_else(|error| gone_is_fine(error.failure))
    }

    /// A POST, with a crumb if Jenkins asks for one (it does for passwords, not for API tokens).
    fn post(&self, path: &str, form: Option<&[(String, String)]>) -> Result<Response, PostError> {
        let failure = match self.post_request(path, form).try_send() {
            Ok(response) => return Ok(response),
            Err(error) => self.post_error(path, error),
        };
        if failure.failure.code != "http-403" || !failure.failure.message.to_ascii_lowercase().contains("crumb") {
            return Err(failure);
        }
        let known = |failure| PostError { failure, effect_unknown: false };
        let issued = self.http.get("/crumbIssuer/api/json").send().map_err(known)?;
        // A crumb is good for the session that it was issued in.
        let session = issued.header("set-cookie").and_then(|cookie| cookie.split(';').next()).map(str::to_owned);
        let Crumb { crumb, field } = issued.json().map_err(known)?;
        let mut request = self.post_request(path, form).header(&field, crumb);
        if let Some(session) = session {
            request = request.header("Cookie", session);
        }
        request.try_send().map_err(|error| self.post_error(path, error))
    }

    fn post_request(&self, path: &str, form: Option<&[(String, String)]>) -> Request<'a> {
        // Jenkins answers a POST of its user interface with a redirect to a page.
        let request = self.http.post(path).accept(302).accept(303);
        let fields = form.unwrap_or_default();
        request.form(fields.iter().map(|(name, value)| (name, value)))
    }

    fn post_error(&self, path: &str, error: SendError) -> PostError {
        let effect_unknown = error.effect_unknown();
        let failure = error.failure(Method::Post, &self.http.url(path));
        PostError { failure, effect_unknown }
    }
}

fn gone_is_fine(failure: Failure) -> Result<(), Failure> {
    if failure.class == FailureClass::NotFound { Ok(()) } else { Err(failure) }
}
