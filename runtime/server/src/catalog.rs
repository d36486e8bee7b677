//! What operators declared: installed plugins, connections, tools, groups.
//!
//! Kept in memory and written through to the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use windlass_model::check::PluginLookup;
use windlass_model::connection::{Connection, Tool};
use windlass_model::digest::Digest;
use windlass_model::manifest::Manifest;
use windlass_model::name::{ConnectionName, PluginName, ToolName};
use windlass_store::{DocumentKind, Store, StoreError};

use crate::people::Groups;

/// An installed plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Installed {
    /// Digest of the component.
    pub component: Digest,
    /// What it says of itself.
    pub manifest: Manifest,
}

/// What operators declared.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Plugins by name and version; the versions in order.
    pub plugins: BTreeMap<PluginName, BTreeMap<semver::Version, Installed>>,
    /// Connections by name.
    pub connections: BTreeMap<ConnectionName, Connection>,
    /// Tools by name.
    pub tools: BTreeMap<ToolName, Tool>,
    /// Groups of people.
    pub groups: Groups,
}

/// A declaration to keep or to remove.
#[derive(Debug, Clone, PartialEq)]
pub enum Declaration {
    /// A plugin.
    Plugin(Box<Installed>),
    /// A connection.
    Connection(Connection),
    /// A tool.
    Tool(Tool),
    /// A group and its members.
    Group(String, Vec<String>),
}

/// Why a catalog cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A declaration cannot be read.
    #[error("the stored {kind} `{name}` cannot be read: {source}")]
    Unreadable {
        /// Which kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

fn read<T: serde::de::DeserializeOwned>(
    store: &dyn Store,
    kind: DocumentKind,
    label: &'static str,
) -> Result<Vec<(String, T)>, CatalogError> {
    let documents = store.documents(kind)?;
    documents
        .into_iter()
        .map(|(name, bytes)| match serde_json::from_slice(&bytes) {
            Ok(it) => Ok((name, it)),
            Err(source) => Err(CatalogError::Unreadable { kind: label, name, source }),
        })
        .collect()
}

impl Catalog {
    /// Reads what is declared.
    pub fn load(store: &dyn Store) -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        for (_, installed) in read::<Installed>(store, DocumentKind::Plugin, "plugin")? {
            catalog.take(Declaration::Plugin(Box::new(installed)));
        }
        for (_, connection) in read(store, DocumentKind::Connection, "connection")? {
            catalog.take(Declaration::Connection(connection));
        }
        for (_, tool) in read(store, DocumentKind::Tool, "tool")? {
            catalog.take(Declaration::Tool(tool));
        }
        for (name, members) in read(store, DocumentKind::Group, "group")? {
            catalog.take(Declaration::Group(name, members));
        }
        Ok(catalog)
    }

    /// Takes a declaration in, in memory only.
    pub fn take(&mut self, declaration: Declaration) {
        match declaration {
            Declaration::Plugin(it) => {
                self.plugins.entry(it.manifest.name.clone()).or_default().insert(it.manifest.version.clone(), *it);
            }
            Declaration::Connection(it) => {
                self.connections.insert(it.name.clone(), it);
            }
            Declaration::Tool(it) => {
                self.tools.insert(it.name.clone(), it);
            }
            Declaration::Group(name, members) => {
                self.groups.0.insert(name, members);
            }
        }
    }

    /// The manifest of a component that is installed.
    pub fn manifest(&self, component: Digest) -> Option<&Manifest> {
        self.plugins.values().flat_map(BTreeMap::values).find(|it| it.component == component).map(|it| &it.manifest)
    }
}

impl Declaration {
    /// Keeps it in the store; durable when this returns.
    pub async fn keep(&self, store: &Arc<dyn Store>) -> Result<(), StoreError> {
        let encode = |it: Result<Vec<u8>, serde_json::Error>| it.expect("declarations hold only what JSON can hold");
        let (kind, name, bytes) = match self {
            Self::Plugin(it) => {
                let name = format!("{}@{}", it.manifest.name, it.manifest.version);
                (DocumentKind::Plugin, name, encode(serde_json::to_vec(it)))
            }
            Self::Connection(it) => (DocumentKind::Connection, it.name.to_string(), encode(serde_json::to_vec(it))),
            Self::Tool(it) => (DocumentKind::Tool, it.name.to_string(), encode(serde_json::to_vec(it))),
            Self::Group(name, members) => (DocumentKind::Group, name.clone(), encode(serde_json::to_vec(members))),
        };
        store.put_document(kind, &name, bytes).await
    }
}

impl windlass_model::check::Catalog for Catalog {
    fn plugin(&self, name: &PluginName, version: &semver::VersionReq) -> PluginLookup<'_> {
        let Some(versions) = self.plugins.get(name) else {
            return PluginLookup::Unknown { names: self.plugins.keys().cloned().collect() };
        };
        match versions.iter().rev().find(|(it, _)| version.matches(it)) {
            Some((_, installed)) => {
                PluginLookup::Found { manifest: &installed.manifest, component: installed.component }
            }
            None => PluginLookup::NoSuchVersion { installed: versions.keys().cloned().collect() },
        }
    }

    fn connection(&self, name: &ConnectionName) -> Option<&Connection> {
        self.connections.get(name)
    }

    fn connections(&self) -> Vec<&ConnectionName> {
        self.connections.keys().collect()
    }

    fn tool(&self, name: &ToolName) -> Option<&Tool> {
        self.tools.get(name)
    }

    fn tools(&self) -> Vec<&ToolName> {
        self.tools.keys().collect()
    }
}
