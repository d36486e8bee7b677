//! What a plugin may know of the endpoints that are bound to its roles.

use windlass_bindings::windlass::plugin::connections;
use windlass_model::problem::listed;

use crate::host::{HostCall, LogLevel, LogSource};
use crate::state::CallState;

impl connections::Host for CallState {
    fn get(&mut self, role: String) -> wasmtime::Result<Option<connections::Connection>> {
        let (_, name, action) = self.shared.target("connections.get")?;
        let is_asked_for = action.connections.contains_key(role.as_str());
        let bound = self.shared.access.connections.get(role.as_str()).filter(|_| is_asked_for);
        if !is_asked_for && !std::mem::replace(&mut self.role_told, true) {
            let declared = listed(action.connections.keys());
            let told = format!(
                "the plugin asks for the connection of the role `{role}`, and its action `{name}` declares {declared}"
            );
            self.shared.spend_log(1, told.len())?;
            self.shared.log(LogLevel::Warn, told, Vec::new(), LogSource::Host);
        }
        let role = self.shared.scrubber().text(role);
        self.shared.host.host_call(HostCall::Connection { role, connection: bound.map(|it| it.name.clone()) });
        Ok(bound.map(|connection| connections::Connection {
            name: connection.name.as_str().to_owned(),
            base_url: connection.base_url.clone().unwrap_or_default(),
            properties: connection.properties.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        }))
    }
}
