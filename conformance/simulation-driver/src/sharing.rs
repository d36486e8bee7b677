//! What releases share beside the runtime: connections with breakers, services, places in groups.
//!
//! What each seed shares has dice of its own, so that seeds that share nothing tell what they told before.

use std::sync::Arc;

use futures::FutureExt as _;
use serde_json::{Value, json};
use windlass_engine::{CallId, Release};
use windlass_model::check::Installed;
use windlass_model::connection::Connection;
use windlass_model::digest::Digest;
use windlass_model::event::{Event, HeldBy, Record};
use windlass_model::manifest::Manifest;
use windlass_model::service::Place;
use windlass_server::Runtime;
use windlass_server::catalog;
use windlass_simulation::dice::Dice;
use windlass_simulation::people::actor;
use windlass_simulation::violation::{Violation, ensure};
use windlass_store::{DocumentKind, Store as _};

use crate::people::sleep;
use crate::shared::{Shared, State};

/// How many connections there are.
pub(crate) const CONNECTIONS: u64 = 2;

/// How many services there are.
const SERVICES: u64 = 3;

/// Groups, with how many of each may run: each has one order and one limit, so that its rules never change.
const GROUPS: [(&str, &str, u32); 4] = [
    ("in-turn", "oldest_first", 1),
    ("newest", "newest_first", 1),
    ("latest", "latest_only", 1),
    ("two", "unordered", 2),
];

/// What releases share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sharing {
    pub(crate) connections: bool,
    pub(crate) services: bool,
    pub(crate) groups: bool,
}

impl Sharing {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self { connections: dice.permille(250), services: dice.permille(250), groups: dice.permille(250) }
    }

    /// Adds to a workflow what it shares with others.
    pub(crate) fn add_to(self, dice: &mut Dice, document: &mut Value) {
        let phase = document.get("phases").and_then(Value::as_array).and_then(|it| it.first());
        let phase = phase.and_then(|it| it.get("name").or(Some(it))).cloned();
        let mut steps = Vec::new();
        if self.connections {
            for at in 0..dice.between(1, 3) {
                let connection = format!("c{}", dice.below(CONNECTIONS));
                let retry = json!({ "attempts": dice.between(1, 4), "backoff": "2s", "on": ["transient", "internal"] });
                let on_failure = ["pause", "fail", "continue", "rollback"][dice.below(4) as usize];
                let step = json!({
                    "uses": "link/touch@^1", "connection": connection, "retry": retry, "on_failure": on_failure,
                });
                steps.push((format!("l{at}"), step));
            }
        }
        if self.services {
            let delivered = dice.below(SERVICES);
            if dice.permille(700) {
                let delivers =
                    json!({ "service": format!("v{delivered}"), "version": format!("1.{}.0", dice.below(9)) });
                steps.push(("d0".to_owned(), json!({ "uses": "world/write-rf@^1", "delivers": delivers })));
            }
            if dice.permille(700) {
                let other = (delivered + dice.between(1, SERVICES - 1)) % SERVICES;
                let requires = json!({ "service": format!("v{other}"), "version": ">=1.0" });
                steps.push(("r0".to_owned(), json!({ "uses": "world/write-rf@^1", "requires": requires })));
            }
        }
        for (name, mut step) in steps {
            if let Some(phase) = &phase {
                step["phase"] = phase.clone();
            }
            document["steps"][name] = step;
        }
        if self.groups && dice.permille(800) {
            let (group, order, limit) = GROUPS[dice.below(GROUPS.len() as u64) as usize];
            document["concurrency"] = json!({ "group": group, "order": order, "limit": limit });
        }
    }
}

/// A plugin that needs a connection, and the connections.
fn link() -> (Manifest, Vec<Connection>) {
    let manifest = json!({
        "name": "link", "version": "1.0.0", "contract": "0.1", "description": "what is elsewhere",
        "actions": { "touch": {
            "description": "touches it", "effect": "idempotent_write", "cancel": true, "rollback": true,
            "input": { "type": "object", "additionalProperties": false },
            "output": { "type": "object" },
            "connections": { "there": { "description": "where it is" } },
        } },
    });
    let manifest = serde_json::from_value(manifest).expect("a manifest");
    let connection =
        |at| json!({ "name": format!("c{at}"), "base_url": "http://127.0.0.1:1", "private_network": true });
    let connections = (0..CONNECTIONS).map(|it| serde_json::from_value(connection(it)).expect("a connection"));
    (manifest, connections.collect())
}

/// Installs it for those who write workflows.
pub(crate) fn install(catalog: &mut Installed) {
    let (manifest, connections) = link();
    catalog.add_plugin(manifest, Digest::of(b"link"));
    connections.into_iter().for_each(|it| catalog.add_connection(it));
}

impl Shared {
    /// Installs it in the installation that is simulated.
    pub(crate) fn install(&self) {
        let (manifest, connections) = link();
        let put = |kind, name: &str, bytes: serde_json::Result<Vec<u8>>| {
            let bytes = bytes.expect("plain JSON");
            let put = self.disk.put_document(kind, name, bytes).now_or_never();
            put.expect("the memory store answers at once").expect("it keeps everything");
        };
        let plugin = catalog::Installed { component: Digest::of(b"link"), manifest };
        put(DocumentKind::Plugin, "link@1.0.0", serde_json::to_vec(&plugin));
        for connection in connections {
            put(DocumentKind::Connection, connection.name.as_str(), serde_json::to_vec(&connection));
        }
    }

    /// What is about to be called is let through by everything that could hold it, as of this moment.
    pub(crate) fn is_let_through(&self, runtime: &Runtime, release: &Release, call: CallId) -> Result<(), Violation> {
        let name = release.name_of(call.step);
        let who = format!("{}/{name}", release.id());
        for required in &release.definition(call.step).requires {
            let Ok(need) = release.with_scope(|scope| required.resolve(scope)) else { continue };
            let live = runtime.service(&need.place).ok().and_then(|it| it.live);
            let is_live = live.as_ref().is_some_and(|it| it.parse().is_ok_and(|it| need.version.matches(&it)));
            // What was changed in this same moment may have been changed after it was asked.
            let written = format!("{}/{}", need.place.environment, need.place.service);
            let is_old = self.state().services_changed.get(&written) != Some(&self.clock.passed());
            ensure(is_live || !is_old, "what requires a version begins when it is live", || {
                format!("{who} needs {need}, live is {live:?}")
            })?;
            self.count("service: a step that requires one began");
        }
        let wall = self.clock.wall();
        let connections = &release.pin(call.step).connections;
        let keys: Vec<String> = connections.values().map(|it| format!("connection:link/{it}")).collect();
        for breaker in runtime.breakers().iter().filter(|it| it.key == "global" || keys.contains(&it.key)) {
            // What it did in this same moment it may have done after it was asked.
            let is_old = breaker.since < wall;
            let is_probe = breaker.probe.as_deref() == Some(&who);
            let passes = breaker.state == "closed" || breaker.state == "half-open" && is_probe;
            ensure(passes || !is_old, "nothing passes a breaker that holds it", || {
                format!("{who} is called, and {} is {}, its probe {:?}", breaker.key, breaker.state, breaker.probe)
            })?;
            if breaker.key != "global" && is_probe {
                self.count("breaker: a connection was probed");
            }
        }
        Ok(())
    }
}

impl State {
    /// A record is durable: whoever got a place by it got one that was free.
    pub(crate) fn has_place(&mut self, id: &windlass_model::name::ReleaseId, record: &Record) -> Result<(), Violation> {
        let Some(seen) = self.releases.get(id) else { return Ok(()) };
        let claim = seen.release.created().claim.as_ref().and_then(|it| it.group.as_ref());
        let Some(group) = claim else { return Ok(()) };
        if let Some(Event::Superseded { by }) = record.events.iter().find(|it| matches!(it, Event::Superseded { .. })) {
            let newer = self.releases.get(by).map(|it| &it.release);
            let is_newer = newer.is_some_and(|it| it.created_at() >= seen.release.created_at() && it.id() != id);
            let same = newer.and_then(|it| it.created().claim.as_ref()?.group.as_ref()) == Some(group);
            self.counts.add("queue: a newer one went on in its stead");
            return ensure(is_newer && same, "a release gives way to a newer one of its group", || {
                format!("{id} gave way to {by}")
            });
        }
        if !record.events.iter().any(|it| matches!(it, Event::Admitted)) {
            return Ok(());
        }
        let waited = seen.records.len() > 1;
        // One that had ended and goes on has a place, even if that is one too many.
        let others = self.releases.values().filter(|it| {
            let theirs = it.release.created().claim.as_ref().and_then(|it| it.group.as_ref());
            let goes_on = it.release.outcome().is_none() && !it.release.is_queued() && !it.has_ended();
            it.release.id() != id && goes_on && theirs.is_some_and(|it| it.name == group.name)
        });
        let (others, limit) = (others.count(), group.limit as usize);
        let name = group.name.clone();
        self.counts.add(if waited { "queue: its turn came" } else { "queue: began at once" });
        ensure(others < limit, "no more of a group go on than may", || {
            format!("{id} begins, and {others} of {name} go on, of {limit} that may")
        })
    }
}

/// People say which version of a service is live, or that none is; not for long.
pub(crate) async fn meddle(shared: Arc<Shared>, runtime: Runtime) {
    loop {
        let (after, at, forgets) = {
            let mut state = shared.state();
            let most = state.profile.people * 5;
            let dice = &mut state.sharing_dice;
            (dice.between(1, most), dice.below(SERVICES), dice.permille(500))
        };
        sleep(after).await;
        if shared.state().healed {
            return;
        }
        let place = place(at);
        let done = if forgets {
            runtime.forget_service(&place, &actor(0), "it is gone".to_owned()).await.is_ok()
        } else {
            runtime.set_service(&place, "1.5.0", actor(0), "it is there".to_owned()).await.is_ok()
        };
        shared.tell(|| {
            format!("somebody says of {place} that {}: {done}", if forgets { "none is live" } else { "1.5.0 is" })
        });
        if done {
            shared.count(if forgets { "service: forgotten by somebody" } else { "service: set by somebody" });
        }
    }
}

/// Nobody delivers what releases wait for: somebody says that it is there.
pub(crate) async fn bring_services(shared: &Arc<Shared>, runtime: &Runtime) {
    let is_held = shared.state().releases.values().any(|it| {
        it.release.outcome().is_none() && it.release.held_calls().any(|(_, it)| matches!(it.by, HeldBy::Service(_)))
    });
    if !is_held {
        return;
    }
    for at in 0..SERVICES {
        let place = place(at);
        if runtime.service(&place).ok().and_then(|it| it.live).is_none() {
            let set = runtime.set_service(&place, "1.5.0", actor(0), "it is there".to_owned()).await;
            shared.tell(|| format!("somebody says that 1.5.0 of {place} is live: {}", set.is_ok()));
        }
    }
}

fn place(at: u64) -> Place {
    let service = format!("v{at}").parse().expect("a name");
    Place { environment: "default".parse().expect("a name"), service }
}
