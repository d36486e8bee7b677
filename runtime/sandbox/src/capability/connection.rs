//! What a plugin may know of the endpoints that are bound to its roles.

use windlass_bindings::windlass::plugin::connections;

use crate::host::HostCall;
use crate::state::CallState;

impl connections::Host for CallState {
    fn get(&mut self, role: String) -> wasmtime::Result<Option<connections::Connection>> {
        let (_, _, action) = self.shared.target("connections.get")?;
        let is_asked_for = action.connections.contains_key(role.as_str());
        let bound = self.shared.access.connections.get(role.as_str()).filter(|_| is_asked_for);
        let role = self.shared.scrubber().text(role);
        self.shared.host.host_call(HostCall::Connection { role, connection: bound.map(|it| it.name.clone()) });
        Ok(bound.map(|connection| connections::Connection {
            name: connection.name.as_str().to_owned(),
            base_url: connection.base_url.clone().unwrap_or_default(),
            properties: connection.properties.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        }))
    }
}
