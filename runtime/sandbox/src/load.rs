//! From a component's bytes to a plugin that can be called.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};
use windlass_bindings::PluginPre;
use windlass_bindings::windlass::plugin;
use windlass_model::digest::Digest;
use windlass_model::failure::StepError;
use windlass_model::manifest::{InvalidManifest, Limits, Manifest};

use crate::busy;
use crate::call::{Access, Usage, open_store, until_the_end};
use crate::component::{self, ComponentError};
use crate::engine::{MEMORIES_MAX, TABLES_PER_INSTANCE};
use crate::host::{Callback, Exchange, LogLine, StepHost};
use crate::outcome;
use crate::plugin::{Plugin, ReadyAction};
use crate::sandbox::Inner;
use crate::shared::Shared;
use crate::state::CallState;

/// Why a component cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The bytes are no component with a manifest.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// wasmtime refuses it.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// It needs what the host does not have.
    #[error("the component imports what this host does not know: {}", .0.join(", "))]
    UnknownImports(Vec<String>),
    /// It imports or exports known names in another shape.
    #[error("the component does not fit the contract `windlass:plugin@0.1`: {0}")]
    Contract(String),
    /// `manifest` did not answer.
    #[error("the component's function `manifest` failed: {0}")]
    Manifest(StepError),
    /// What `manifest` gives is not acceptable.
    #[error(transparent)]
    InvalidManifest(#[from] InvalidManifest),
    /// The embedded manifest is not what `manifest` gives.
    #[error(
        "the embedded manifest is not what the component's function `manifest` gives{0}: build it again with `windlass plugin build`"
    )]
    ManifestDiffers(String),
    /// It needs more of the pools than one may have.
    #[error("the component has {what}, which is more than one plugin may take of this host")]
    TooLarge {
        /// What it has.
        what: String,
    },
}

pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    crate::capability::http::request::bound(&mut linker)?;
    plugin::log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut CallState| state)?;
    plugin::progress::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut CallState| state)?;
    plugin::connections::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut CallState| state)?;
    plugin::checkpoint::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut CallState| state)?;
    plugin::callbacks::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut CallState| state)?;
    plugin::tools::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut CallState| state)?;
    Ok(linker)
}

/// A component that is compiled and linked.
pub(crate) struct Linked {
    pre: PluginPre<CallState>,
    weight: u32,
}

/// Compiles and links; takes up to seconds where the cache has nothing.
pub(crate) fn link(sandbox: &Inner, bytes: &[u8]) -> Result<Linked, PrepareError> {
    // Also refuses core modules and texts, which wasmtime would take or explain badly.
    // Without its manifest it is the same code, compiled once: `describe` sees it before, `prepare` after embedding.
    let bytes = component::without_manifest(bytes)?;
    let component = Component::from_binary(&sandbox.engine, &bytes)
        .map_err(|error| PrepareError::Invalid(cut(&error.root_cause().to_string())))?;
    let of_component = component.component_type();
    let mut unknown = of_component.imports(&sandbox.engine).map(|(name, _)| name).filter(|it| !is_known_import(it));
    let mut named: Vec<String> = unknown.by_ref().take(UNKNOWN_IMPORTS_TOLD_MAX).map(cut).collect();
    if !named.is_empty() {
        named.extend(Some(unknown.count()).filter(|it| *it > 0).map(|more| format!("and {more} more")));
        return Err(PrepareError::UnknownImports(named));
    }
    let contract = |error: wasmtime::Error| {
        let said: Vec<String> = error.chain().map(ToString::to_string).collect();
        PrepareError::Contract(cut(&said.join(": ")))
    };
    let pre = sandbox.linker.instantiate_pre(&component).map_err(contract)?;
    let pre = PluginPre::new(pre).map_err(contract)?;
    let weight = component
        .resources_required()
        .map_or(1, |it| it.num_memories.max(it.num_tables.div_ceil(TABLES_PER_INSTANCE)).max(1));
    let weight_max = MEMORIES_MAX.min(sandbox.instances_max);
    if weight > weight_max {
        let tables = weight_max * TABLES_PER_INSTANCE;
        return Err(PrepareError::TooLarge { what: format!("more than {weight_max} memories or {tables} tables") });
    }
    Ok(Linked { pre, weight })
}

/// Imports that a message names.
const UNKNOWN_IMPORTS_TOLD_MAX: usize = 20;

/// What of a component's own words a message repeats.
const WORDS_CHARS_MAX: usize = 400;

fn cut(text: &str) -> String {
    match text.char_indices().nth(WORDS_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn is_known_import(name: &str) -> bool {
    let (name, version) = name.split_once('@').unwrap_or((name, ""));
    if let Some(interface) = name.strip_prefix("windlass:plugin/") {
        return version.starts_with("0.1.")
            && matches!(
                interface,
                "step-types" | "log" | "progress" | "connections" | "checkpoint" | "callbacks" | "tools"
            );
    }
    let packages =
        ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/", "wasi:http/"];
    version.starts_with("0.2.") && packages.iter().any(|it| name.starts_with(it))
}

/// Asks the component for its manifest, in an instance that can reach nothing.
pub(crate) async fn describe(sandbox: &Arc<Inner>, linked: &Linked) -> Result<String, PrepareError> {
    ask_manifest(sandbox, &linked.pre, linked.weight).await.0.map_err(PrepareError::Manifest)
}

/// The manifest as the component gives it, and what that used.
pub(crate) async fn ask_manifest(
    sandbox: &Arc<Inner>,
    pre: &PluginPre<CallState>,
    weight: u32,
) -> (Result<String, StepError>, Usage) {
    let _permit = sandbox.permits.acquire_many(weight).await;
    let _running = sandbox.ticker.run();
    let shared = Arc::new(Shared::new(
        Arc::clone(sandbox),
        Arc::new(Nobody),
        Arc::new(Access::default()),
        Limits::default().effective(&sandbox.bound),
        None,
        false,
        crate::cassette::Deck::None,
    ));
    let manifest = until_the_end(&shared, async {
        let (mut store, instance) = busy::made(|| async {
            let mut store = open_store(&shared);
            let instance = pre.instantiate_async(&mut store).await?;
            Ok((store, instance))
        })
        .await?;
        instance.windlass_plugin_step().call_manifest(&mut store).await
    })
    .await;
    (manifest.map_err(|error| outcome::fallen(&error, &shared)), shared.usage())
}

/// Checks that a component's manifests agree and makes it ready.
pub(crate) async fn prepare(
    sandbox: &Arc<Inner>,
    digest: Digest,
    embedded: &[u8],
    linked: Linked,
) -> Result<Plugin, PrepareError> {
    let manifest = Manifest::parse(embedded)?;
    let given = describe(sandbox, &linked).await?;
    let embedded: Option<Value> = serde_json::from_slice(embedded).ok();
    let given: Option<Value> = serde_json::from_str(&given).ok();
    if given.is_none() || embedded != given {
        let place = embedded.zip(given).and_then(|(one, other)| difference(&one, &other, String::new()));
        return Err(PrepareError::ManifestDiffers(place.map(|it| format!(" at `{it}`")).unwrap_or_default()));
    }
    let mut actions = BTreeMap::new();
    for (name, action) in &manifest.actions {
        let ready = ReadyAction::new(action, &sandbox.bound)
            .map_err(|error| InvalidManifest(vec![format!("action `{name}`: {error}")]))?;
        actions.insert(name.clone(), ready);
    }
    Ok(Plugin { digest, manifest, actions, pre: linked.pre, weight: linked.weight })
}

/// Where two values first differ.
fn difference(one: &Value, other: &Value, place: String) -> Option<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => one
            .iter()
            .find_map(|(name, value)| {
                difference(value, other.get(name).unwrap_or(&Value::Null), format!("{place}/{name}"))
            })
            .or_else(|| other.keys().find(|it| !one.contains_key(*it)).map(|name| format!("{place}/{name}"))),
        _ if one == other => None,
        _ => Some(place),
    }
}

/// The host of an instance that only describes itself.
pub(crate) struct Nobody;

impl StepHost for Nobody {
    fn log(&self, _line: LogLine) {}
    fn status(&self, _text: String) {}
    fn percent(&self, _percent: u8) {}
    fn link(&self, _title: String, _url: String) {}
    fn checkpoint(&self, _name: &str) -> Option<Vec<u8>> {
        None
    }
    fn record_checkpoint(&self, _name: String, _value: Vec<u8>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Err("nothing is recorded here".to_owned())))
    }
    fn create_callback(&self) -> BoxFuture<'_, Result<Callback, String>> {
        Box::pin(std::future::ready(Err("there are no callbacks here".to_owned())))
    }
    fn has_callback(&self, _topic: &str) -> bool {
        false
    }
    fn trace(&self, _exchange: Exchange) {}
}

/// A store as calls get it, of an instance that only describes itself.
#[cfg(test)]
pub(crate) fn store_for_tests() -> wasmtime::Store<CallState> {
    let options = crate::SandboxOptions { instances_max: 1, ..crate::SandboxOptions::default() };
    let sandbox = crate::Sandbox::new(options).expect("a sandbox");
    open_store(&Arc::new(Shared::new(
        sandbox.inner(),
        Arc::new(Nobody),
        Arc::default(),
        windlass_model::manifest::EffectiveLimits::DEFAULT,
        None,
        false,
        crate::cassette::Deck::None,
    )))
}
