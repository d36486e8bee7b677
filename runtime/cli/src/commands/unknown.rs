//! Names that nothing has, where they may come later.

use std::collections::BTreeSet;

use windlass_model::connection::Connection;
use windlass_model::name::{ConnectionName, PluginName};
use windlass_model::problem::{did_you_mean, listed};
use windlass_server::api::PluginView;
use windlass_server::client::Client;

use super::Context;

/// Says which of the connections and plugins that something was declared with are not there. It is no error: whoever sets
/// an installation up need not know in which order.
pub(super) async fn note_unknown(
    connections: &[ConnectionName],
    plugins: &[PluginName],
    client: &Client,
    context: &Context<'_>,
) -> anyhow::Result<()> {
    if !connections.is_empty() {
        let known: Vec<Connection> = client.get("/v1/connections").await?;
        let known = known.iter().map(|it| it.name.to_string()).collect();
        connections.iter().for_each(|it| note("connection", it.as_str(), &known, context));
    }
    if !plugins.is_empty() {
        let known: Vec<PluginView> = client.get("/v1/plugins").await?;
        let known = known.iter().map(|it| it.manifest.name.to_string()).collect();
        plugins.iter().for_each(|it| note("plugin", it.as_str(), &known, context));
    }
    Ok(())
}

fn note(what: &str, name: &str, known: &BTreeSet<String>, context: &Context<'_>) {
    if known.contains(name) {
        return;
    }
    let hint = did_you_mean(name, known.iter().map(String::as_str));
    let hint = hint.unwrap_or_else(|| format!("there is {}", listed(known)));
    context.output.note(format_args!("it is declared; there is no {what} `{name}` yet: {hint}"));
}
