//! Which path of Jenkins does what.

use super::build::{cause_action, parameters_action};
use super::page::{error_page, not_found, page};
use super::tree::Tree;
use super::{Ask, ItemState, Jenkins, QueueItem};
use crate::effect::EffectLog;
use crate::http::{Reply, Request};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

impl Jenkins {
    pub(super) fn route(
        &mut self,
        request: &Request,
        user: &str,
        now_ms: i64,
        queue_extra_ms: i64,
        effects: &mut EffectLog,
    ) -> Reply {
        let parts = request.parts();
        match parts.as_slice() {
            [] => page("Dashboard", &self.jobs.keys().cloned().collect::<Vec<_>>().join("\n")),
            ["api", "json"] => shown(request, &self.root_json(request, now_ms)),
            ["me" | "whoAmI", "api", "json"] => shown(
                request,
                &json!({
                    "_class": "hudson.model.User",
                    "absoluteUrl": format!("{}user/{user}", self.url),
                    "description": "simulated user",
                    "fullName": user,
                    "id": user,
                    "property": [],
                }),
            ),
            ["queue", "api", "json"] => {
                let items: Vec<Value> = self
                    .queue
                    .iter()
                    .rev()
                    .filter(|item| matches!(item.state, ItemState::Waiting))
                    .map(|item| self.item_json(item, now_ms))
                    .collect();
                shown(
                    request,
                    &json!({
                        "_class": "hudson.model.Queue",
                        "discoverableItems": [],
                        "items": items,
                    }),
                )
            }
            ["queue", "item", id, "api", "json"] => match id.parse().ok().and_then(|id| self.item(id)) {
                Some(item) => shown(request, &self.item_json(item, now_ms)),
                None => not_found(),
            },
            ["queue", "cancelItem"] => self.cancel(request, now_ms, effects),
            ["job", ..] => {
                let mut names = Vec::new();
                let mut rest = parts.as_slice();
                while let ["job", name, more @ ..] = rest {
                    names.push(*name);
                    rest = more;
                }
                let name = names.join("/");
                if self.jobs.contains_key(&name) {
                    self.route_job(&name, rest, request, user, now_ms, queue_extra_ms, effects)
                } else if self.jobs.keys().any(|job| job.starts_with(&format!("{name}/"))) {
                    match rest {
                        ["api", "json"] => shown(request, &self.folder_json(&name, request, now_ms)),
                        [] => page(&name, "a folder"),
                        _ => not_found(),
                    }
                } else {
                    not_found()
                }
            }
            _ => not_found(),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a route sees the whole request")]
    fn route_job(
        &mut self,
        name: &str,
        rest: &[&str],
        request: &Request,
        user: &str,
        now_ms: i64,
        queue_extra_ms: i64,
        effects: &mut EffectLog,
    ) -> Reply {
        if let ["build" | "buildWithParameters"] = rest {
            return self.build(name, rest[0], request, user, now_ms, queue_extra_ms, effects);
        }
        if let [number, "stop" | "term" | "kill"] = rest {
            return self.stop(name, number, request, user, now_ms, effects);
        }
        let Some(job) = self.jobs.get(name) else { return not_found() };
        match rest {
            [] => page(name, &job.configuration.description),
            ["api", "json"] => {
                let waiting = self
                    .queue
                    .iter()
                    .find(|item| item.job == name && matches!(item.state, ItemState::Waiting))
                    .map(|item| self.item_json(item, now_ms));
                shown(request, &job.to_json(&self.url, now_ms, in_depth(request), waiting))
            }
            [number, rest @ ..] => {
                let Some(build) = job.build(number, now_ms) else { return not_found() };
                match rest {
                    [] => page(&build.target(), &build.console(now_ms)),
                    ["api", "json"] => shown(request, &build.to_json(job, &self.url, now_ms)),
                    ["consoleText"] => Reply::text(StatusCode::OK, build.console(now_ms)),
                    ["logText", "progressiveText"] => {
                        let text = build.console(now_ms);
                        let start: usize = request
                            .query_value("start")
                            .and_then(|start| start.parse().ok())
                            .filter(|start| *start <= text.len())
                            .unwrap_or(0);
                        let size = text.len().to_string();
                        let news = text.as_bytes()[start..].to_vec();
                        let reply = Reply::text(StatusCode::OK, news).with("x-text-size", size);
                        if build.result(now_ms).is_none() { reply.with("x-more-data", "true") } else { reply }
                    }
                    ["artifact", path @ ..] => {
                        let path = path.join("/");
                        match build.artifacts(now_ms).into_iter().find(|(it, _)| *it == path) {
                            Some((path, text)) => {
                                Reply::new(StatusCode::OK).with("content-type", media_type(path)).body(text)
                            }
                            None => not_found(),
                        }
                    }
                    ["testReport", "api", "json"] => match build.test_report(now_ms) {
                        Some(report) => shown(request, &report),
                        None => not_found(),
                    },
                    _ => not_found(),
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a route sees the whole request")]
    fn build(
        &mut self,
        name: &str,
        action: &str,
        request: &Request,
        user: &str,
        now_ms: i64,
        queue_extra_ms: i64,
        effects: &mut EffectLog,
    ) -> Reply {
        if request.method != Method::POST {
            let message = "Form post is required (You must use POST method to trigger builds)";
            return error_page(StatusCode::METHOD_NOT_ALLOWED, message).with("allow", "POST");
        }
        let Some(job) = self.jobs.get(name) else { return not_found() };
        if job.configuration.disabled {
            return error_page(StatusCode::CONFLICT, &format!("{name} is not buildable"));
        }
        let mut fields = request.query.clone();
        fields.extend(request.form());
        let given = if action == "buildWithParameters" {
            if job.configuration.parameters.is_empty() {
                let message = "This build is not parameterized!";
                return error_page(StatusCode::INTERNAL_SERVER_ERROR, message);
            }
            fields.clone()
        } else if job.configuration.parameters.is_empty() {
            Vec::new()
        } else {
            // The form of the page, which scripts also send: `json={"parameter":[{"name":..,"value":..}]}`.
            match fields.iter().find(|(key, _)| key == "json").map(|(_, text)| form_parameters(text)) {
                Some(Ok(given)) => given,
                Some(Err(error)) => return error_page(StatusCode::BAD_REQUEST, &error),
                None => return error_page(StatusCode::BAD_REQUEST, "Nothing is submitted"),
            }
        };
        let mut parameters = Vec::new();
        for definition in &job.configuration.parameters {
            let value = match given.iter().find(|(key, _)| *key == definition.name) {
                Some((_, text)) => match definition.value(text) {
                    Ok(value) => value,
                    Err(error) => return error_page(StatusCode::INTERNAL_SERVER_ERROR, &error),
                },
                None => definition.default_value(),
            };
            parameters.push((definition.name.clone(), value));
        }
        let quiet_ms = fields
            .iter()
            .find(|(key, _)| key == "delay")
            .and_then(|(_, delay)| delay.trim_end_matches("sec").trim().parse::<i64>().ok()?.checked_mul(1_000));
        let ask = Ask { job: name.to_owned(), parameters, user: user.to_owned(), quiet_ms, extra_ms: queue_extra_ms };
        match self.ask(ask, now_ms, effects) {
            Some(id) => Reply::new(StatusCode::CREATED).with("location", format!("{}queue/item/{id}/", self.url)),
            None => not_found(),
        }
    }

    fn stop(
        &mut self,
        name: &str,
        number: &str,
        request: &Request,
        user: &str,
        now_ms: i64,
        effects: &mut EffectLog,
    ) -> Reply {
        if request.method != Method::POST {
            return error_page(StatusCode::METHOD_NOT_ALLOWED, "POST is required").with("allow", "POST");
        }
        let root = self.url.clone();
        let Some(job) = self.jobs.get_mut(name) else { return not_found() };
        let Some(number) = job.build(number, now_ms).map(|build| build.number) else {
            return not_found();
        };
        let url = format!("{}{number}/", job.url(&root));
        let build = job.builds.iter_mut().find(|build| build.number == number);
        if let Some(build) = build
            && build.stop(now_ms, user)
        {
            let detail = json!({ "by": user });
            effects.add(now_ms, "build.stopped", build.target(), build.key(), detail);
        }
        Reply::new(StatusCode::FOUND).with("location", url)
    }

    fn cancel(&mut self, request: &Request, now_ms: i64, effects: &mut EffectLog) -> Reply {
        if request.method != Method::POST {
            return error_page(StatusCode::METHOD_NOT_ALLOWED, "POST is required").with("allow", "POST");
        }
        let id = request
            .query_value("id")
            .map(str::to_owned)
            .or_else(|| request.form().into_iter().find(|(key, _)| key == "id").map(|(_, id)| id))
            .and_then(|id| id.parse::<u64>().ok());
        let item = self.queue.iter_mut().find(|item| Some(item.id) == id);
        match item {
            None => error_page(StatusCode::NOT_FOUND, "Provided id not found"),
            Some(item) => match item.state {
                ItemState::Waiting => {
                    item.state = ItemState::Cancelled { at_ms: now_ms };
                    effects.add(
                        now_ms,
                        "build.cancelled",
                        item.job.clone(),
                        super::key_of(&item.parameters),
                        json!({ "queue_item": item.id }),
                    );
                    Reply::new(StatusCode::NO_CONTENT)
                }
                ItemState::Left { .. } | ItemState::Cancelled { .. } => {
                    error_page(StatusCode::INTERNAL_SERVER_ERROR, "Could not cancel run")
                }
            },
        }
    }

    fn item_json(&self, item: &QueueItem, now_ms: i64) -> Value {
        let job = self.jobs.get(&item.job);
        let task = job.map_or(Value::Null, |job| job.reference(&self.url, now_ms));
        let mut actions = Vec::new();
        if !item.parameters.is_empty() {
            actions.push(parameters_action(&item.parameters));
        }
        actions.push(cause_action(&item.user));
        let params: String = item
            .parameters
            .iter()
            .map(|(name, value)| {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                format!("\n{name}={value}")
            })
            .collect();
        let in_quiet_period = now_ms < item.ready_ms;
        let running = job.and_then(|job| job.builds.last());
        let (class, why) = match (&item.state, running) {
            (ItemState::Left { .. } | ItemState::Cancelled { .. }, _) => ("LeftItem", None),
            (ItemState::Waiting, _) if in_quiet_period => {
                let left_ms = item.ready_ms - now_ms;
                let why = format!("In the quiet period. Expires in {}.{} sec", left_ms / 1_000, left_ms % 1_000 / 100);
                ("WaitingItem", Some(why))
            }
            (ItemState::Waiting, Some(build)) => {
                let why = format!("Build #{} is already in progress", build.number);
                ("BlockedItem", Some(why))
            }
            (ItemState::Waiting, None) => ("BuildableItem", None),
        };
        let mut value = json!({
            "_class": format!("hudson.model.Queue${class}"),
            "actions": actions,
            "blocked": class == "BlockedItem",
            "buildable": class == "BuildableItem",
            "id": item.id,
            "inQueueSince": item.since_ms,
            "params": params,
            "stuck": false,
            "task": task,
            "url": format!("queue/item/{}/", item.id),
            "why": why,
        });
        match item.state {
            ItemState::Waiting => {
                value["timestamp"] = json!(item.ready_ms);
            }
            ItemState::Left { number, .. } => {
                value["cancelled"] = json!(false);
                value["executable"] = job
                    .and_then(|job| {
                        let build = job.builds.iter().find(|build| build.number == number)?;
                        Some(build.reference(job, &self.url))
                    })
                    .unwrap_or(Value::Null);
            }
            ItemState::Cancelled { .. } => {
                value["cancelled"] = json!(true);
                value["executable"] = Value::Null;
            }
        }
        value
    }

    fn root_json(&self, request: &Request, now_ms: i64) -> Value {
        let view = json!({
            "_class": "hudson.model.AllView",
            "name": "all",
            "url": self.url,
        });
        json!({
            "_class": "hudson.model.Hudson",
            "assignedLabels": [{}],
            "description": "windlass-simulator: this is not Jenkins",
            "jobs": self.jobs_below("", request, now_ms),
            "mode": "NORMAL",
            "nodeDescription": "the simulated Jenkins controller's built-in node",
            "nodeName": "",
            "numExecutors": 2,
            "overallLoad": {},
            "primaryView": view,
            "quietDownReason": null,
            "quietingDown": false,
            "slaveAgentPort": -1,
            "unlabeledLoad": {},
            "url": self.url,
            "useCrumbs": true,
            "useSecurity": true,
            "views": [view],
        })
    }

    fn folder_json(&self, name: &str, request: &Request, now_ms: i64) -> Value {
        let short = name.rsplit('/').next().unwrap_or_default();
        json!({
            "_class": "com.cloudbees.hudson.plugins.folder.Folder",
            "description": "",
            "displayName": short,
            "fullDisplayName": name.replace('/', " » "),
            "fullName": name,
            "name": short,
            "url": format!("{}{}", self.url, super::job::job_path(name)),
            "jobs": self.jobs_below(&format!("{name}/"), request, now_ms),
        })
    }

    /// The jobs and folders directly below a folder, whose name ends with a slash, or below the root.
    fn jobs_below(&self, prefix: &str, request: &Request, now_ms: i64) -> Vec<Value> {
        let full = in_depth(request);
        let mut folders_seen: Vec<&str> = Vec::new();
        let mut below = Vec::new();
        for (name, job) in &self.jobs {
            let Some(rest) = name.strip_prefix(prefix) else { continue };
            match rest.split_once('/') {
                None if full => below.push(job.to_json(&self.url, now_ms, true, None)),
                None => below.push(job.reference(&self.url, now_ms)),
                Some((folder, _)) if folders_seen.contains(&folder) => {}
                Some((folder, _)) => {
                    folders_seen.push(folder);
                    let mut value = self.folder_json(&format!("{prefix}{folder}"), request, now_ms);
                    if !full {
                        value = json!({
                            "_class": value["_class"],
                            "name": value["name"],
                            "url": value["url"],
                        });
                    }
                    below.push(value);
                }
            }
        }
        below
    }
}

/// Whether more than the names of inner objects is asked for.
fn in_depth(request: &Request) -> bool {
    request.query_value("tree").is_some() || request.query_value("depth").is_some_and(|depth| depth != "0")
}

/// The JSON of an object, cut by the query's `tree`.
fn shown(request: &Request, value: &Value) -> Reply {
    match request.query_value("tree").map(Tree::parse) {
        None => Reply::json(StatusCode::OK, value),
        Some(Ok(tree)) => Reply::json(StatusCode::OK, &tree.apply(value)),
        Some(Err(error)) => error_page(StatusCode::BAD_REQUEST, &format!("tree: {error}")),
    }
}

/// The parameters of the form field `json`.
fn form_parameters(text: &str) -> Result<Vec<(String, String)>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let list = match &value["parameter"] {
        Value::Array(list) => list.clone(),
        Value::Object(one) => vec![Value::Object(one.clone())],
        _ => Vec::new(),
    };
    Ok(list
        .iter()
        .filter_map(|parameter| {
            let name = parameter["name"].as_str()?.to_owned();
            let value = match &parameter["value"] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            Some((name, value))
        })
        .collect())
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("json") => "application/json",
        Some("xml") => "application/xml",
        Some("html") => "text/html",
        Some("txt" | "log") => "text/plain",
        _ => "application/octet-stream",
    }
}
