//! What a plugin may know of the endpoints that are bound to its roles.

use windlass_bindings::windlass::plugin::connections;

use crate::state::CallState;

impl connections::Host for CallState {
    fn get(&mut self, role: String) -> wasmtime::Result<Option<connections::Connection>> {
        let (_, _, action) = self.shared.target("connections.get")?;
        if !action.connections.contains_key(role.as_str()) {
            return Ok(None);
        }
        Ok(self.shared.access.connections.get(role.as_str()).map(|connection| connections::Connection {
            name: connection.name.as_str().to_owned(),
            base_url: connection.base_url.clone().unwrap_or_default(),
            properties: connection.properties.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        }))
    }
}
