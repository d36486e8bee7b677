//! `requires` and `delivers` of a step: versions of services.

use crate::name::{EnvironmentName, ServiceName};
use crate::problem::Report;
use crate::service::{Delivers, Requires, parse_requirement, parse_version};

use super::draft::{DraftTemplate, DraftVersion};
use super::node::{Kind, Node};

const KEYS: &[&str] = &["service", "version", "environment"];

/// One, or a list.
pub(super) fn read_requires(report: &mut Report<'_>, node: &Node) -> Vec<DraftVersion> {
    let each = match &node.kind {
        Kind::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    let check = |text: &str| parse_requirement(text).map(|_| ());
    let suggestion = "write `requires: { service: ledger, version: '>=2.4' }`";
    each.into_iter().filter_map(|it| read(report, it, "`requires`", suggestion, &check)).collect()
}

pub(super) fn read_delivers(report: &mut Report<'_>, node: &Node) -> Option<DraftVersion> {
    if let Kind::List(_) = node.kind {
        report
            .error(node.extent, "wrong-type", "a step delivers one version of one service")
            .suggest("let each service have a step that says when its version is there");
        return None;
    }
    let check = |text: &str| parse_version(text).map(|_| ());
    let suggestion = "write `delivers: { service: ledger, version: '${{ parameters.version }}' }`";
    read(report, node, "`delivers`", suggestion, &check)
}

fn read(
    report: &mut Report<'_>,
    node: &Node,
    what: &str,
    suggestion: &str,
    check: &dyn Fn(&str) -> Result<(), String>,
) -> Option<DraftVersion> {
    if let Kind::Text(_) = node.kind {
        report.error(node.extent, "wrong-type", format!("{what} is a mapping, not a text")).suggest(suggestion);
        return None;
    }
    let fields = report.fields(node, what, KEYS)?;
    for key in ["service", "version"] {
        if fields.value(key).is_none() {
            report.error(node.extent, "missing-key", format!("{what} does not say which {key}")).suggest(suggestion);
        }
    }
    let service = fields.value("service").and_then(|it| report.parsed::<ServiceName>(it, "`service`", "name"));
    let name = |text: &str| text.parse::<EnvironmentName>().map(|_| ()).map_err(|error| error.to_string());
    let environment = fields.value("environment").map(|it| read_text(report, it, "`environment`", &name));
    let version = fields.value("version").and_then(|it| read_text(report, it, "`version`", check));
    // One that is there and could not be read has been said.
    let environment = match environment {
        Some(read) => Some(read?),
        None => None,
    };
    Some(DraftVersion { service: service?.value, environment, version: version? })
}

/// A text that may hold expressions over parameters; one that holds none is checked as it is.
fn read_text(
    report: &mut Report<'_>,
    node: &Node,
    what: &str,
    check: &dyn Fn(&str) -> Result<(), String>,
) -> Option<DraftTemplate> {
    let text = report.text(node, what)?;
    let template = report.template(node)?;
    if template.expressions.is_empty()
        && let Err(error) = check(&text.value)
    {
        report.error(text.extent, "version", error);
        return None;
    }
    for placed in &template.expressions {
        let mut others = placed.expression.references().into_iter().filter(|it| it.path[0] != "parameters");
        if let Some(other) = others.next() {
            let message = format!("{what} is known before a release starts, and `{}` is not", other.path.join("."));
            report.error(placed.extent, "version", message).suggest("name parameters only");
        }
    }
    Some(template)
}

impl DraftVersion {
    pub(super) fn requires(&self) -> Requires {
        let environment = self.environment.as_ref().map(|it| it.template.clone());
        Requires { service: self.service.clone(), environment, version: self.version.template.clone() }
    }

    pub(super) fn delivers(&self) -> Delivers {
        let environment = self.environment.as_ref().map(|it| it.template.clone());
        Delivers { service: self.service.clone(), environment, version: self.version.template.clone() }
    }
}
