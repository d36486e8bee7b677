//! One step of a workflow file.

use serde_json::Value;

use crate::failure::FailureClass;
use crate::name::{ActionName, ConnectionName, PluginName, RoleName, StepName};
use crate::problem::{Extent, Report, did_you_mean};
use crate::workflow::{ApprovalGate, Approver, OnFailure, RetryPolicy, RollbackPart};

use super::draft::{At, DraftConnections, DraftGate, DraftStep, DraftTemplate, DraftUses, PlacedExpression};
use super::fields::{Fields, one_of};
use super::node::{Field, Kind, Node};
use super::workflow::{Defaults, read_description};
use super::{for_each, nested, service};

const KEYS: &[&str] = &[
    "description",
    "phase",
    "needs",
    "uses",
    "connection",
    "connections",
    "with",
    "for_each",
    "when",
    "retry",
    "timeout",
    "delay",
    "gates",
    "on_failure",
    "rollback",
    "rollback_after",
    "requires",
    "delivers",
    "pivot",
    "mandatory",
];

/// What a step has that runs when the release is about to end.
const FINALLY_KEYS: &[&str] = &[
    "description",
    "needs",
    "uses",
    "connection",
    "connections",
    "with",
    "for_each",
    "when",
    "retry",
    "timeout",
    "delay",
    "on_failure",
];

/// The most attempts of a step.
const ATTEMPTS_MAX: u32 = 100;

/// Reads a step of `steps`, or of `finally`.
pub(super) fn read(report: &mut Report<'_>, field: &Field, defaults: &Defaults, finally: bool) -> DraftStep {
    let name = At { value: field.name.clone(), extent: field.name_extent };
    if let Some(name) = report.parsed_text::<StepName>(&name, "name")
        && name.value.item().is_some()
    {
        report
            .error(name.extent, "name", format!("`{}` is no name for a step", name.value))
            .note("a name with a dot is that of one of the items that a step runs for");
    }
    let what = format!("step `{}`", field.name);
    let mut step = DraftStep {
        with_extent: name.extent,
        name,
        description: None,
        phase: None,
        needs: Vec::new(),
        uses: None,
        uses_file: None,
        uses_workflow: None,
        connections: DraftConnections::Unbound,
        with: None,
        with_is_broken: false,
        for_each: None,
        when: None,
        retry: defaults.retry.clone().unwrap_or_default(),
        timeout: defaults.timeout,
        delay: None,
        gates: Vec::new(),
        on_failure: defaults.on_failure,
        rollback: RollbackPart::default(),
        mandatory: false,
        pivot: false,
        rollback_after: Vec::new(),
        requires: Vec::new(),
        delivers: None,
        finally,
    };
    if finally && step.on_failure == OnFailure::Rollback {
        step.on_failure = OnFailure::Pause;
    }
    let keys = if finally { FINALLY_KEYS } else { KEYS };
    let Some(fields) = report.fields(&field.value, &what, keys) else { return step };
    step.description = read_description(report, &fields);
    step.phase = fields.value("phase").and_then(|it| report.text(it, "`phase`"));
    step.needs = fields.value("needs").map(|it| read_needs(report, it)).unwrap_or_default();
    match fields.value("uses") {
        Some(node) => match &node.kind {
            Kind::Text(text) if text.starts_with("./") || text.starts_with("../") => {
                step.uses_file = nested::read_file_name(report, node);
                for key in ["connection", "connections"] {
                    if let Some(field) = fields.get(key) {
                        report
                            .error(field.name_extent, "connection", "a workflow binds its connections itself")
                            .suggest("leave it out");
                    }
                }
            }
            _ => step.uses = read_uses(report, node),
        },
        None => {
            report
                .error(field.name_extent, "missing-key", format!("{what} does not say what it runs"))
                .suggest("add `uses: <plugin>/<action>`");
        }
    }
    step.connections = read_connections(report, &fields);
    if let Some(field) = fields.get("with") {
        step.with_extent = field.name_extent;
        step.with = read_with(report, &field.value);
        step.with_is_broken = step.with.is_none() && field.value.kind != Kind::Null;
    }
    step.for_each = fields.get("for_each").and_then(|it| for_each::read(report, it));
    step.when = fields.value("when").and_then(|it| read_when(report, it));
    if let Some(field) = fields.get("retry") {
        step.retry = read_retry(report, field, defaults.retry.as_ref());
    }
    if let Some(node) = fields.value("timeout") {
        step.timeout = report.span(node, "`timeout`");
    }
    if let Some(node) = fields.value("delay") {
        step.delay = report.span(node, "`delay`");
    }
    if let Some(node) = fields.value("gates") {
        step.gates = read_gates(report, node);
    }
    if let Some(node) = fields.value("on_failure") {
        step.on_failure = read_on_failure(report, node).unwrap_or_default();
        if finally && step.on_failure == OnFailure::Rollback {
            report
                .error(node.extent, "finally", "a step that runs last rolls nothing back: by then all is decided")
                .suggest("write `pause`, `fail` or `continue`");
        }
    }
    if let Some(node) = fields.value("rollback") {
        let words = [("automatic", RollbackPart::Automatic), ("skip", RollbackPart::Skip)];
        step.rollback = report.word(node, "`rollback`", &words).unwrap_or_default();
    }
    if let Some(node) = fields.value("mandatory") {
        step.mandatory = report.flag(node, "`mandatory`").unwrap_or_default();
    }
    if let Some(node) = fields.value("pivot") {
        step.pivot = report.flag(node, "`pivot`").unwrap_or_default();
    }
    step.rollback_after = fields
        .value("rollback_after")
        .map(|it| report.texts(it, "`rollback_after`", "a step's name"))
        .unwrap_or_default();
    step.requires = fields.value("requires").map(|it| service::read_requires(report, it)).unwrap_or_default();
    step.delivers = fields.value("delivers").and_then(|it| service::read_delivers(report, it));
    step
}

fn read_needs(report: &mut Report<'_>, node: &Node) -> Vec<At<String>> {
    let mut needs: Vec<At<String>> = Vec::new();
    for need in report.texts(node, "`needs`", "a step's name") {
        if needs.iter().any(|it| it.value == need.value) {
            report.warning(need.extent, "duplicate-need", format!("`{}` is needed twice", need.value));
        } else {
            needs.push(need);
        }
    }
    needs
}

/// `plugin/action@version`
fn read_uses(report: &mut Report<'_>, node: &Node) -> Option<DraftUses> {
    let text = report.text(node, "`uses`")?;
    let inner = report.source.slice(text.extent);
    let quote = usize::from(inner.starts_with(['"', '\'']));
    let begin = text.extent.start + quote;
    let part = |from: usize, to: usize| Extent { start: begin + from, end: begin + to };
    if text.value.contains("${{") {
        report.error(text.extent, "uses", "what a step runs is fixed when the release starts; it holds no expression");
        return None;
    }
    let (path, version) = match text.value.split_once('@') {
        Some((path, version)) => (path, Some(version)),
        None => (text.value.as_str(), None),
    };
    let Some((plugin, action)) = path.split_once('/') else {
        report
            .error(text.extent, "uses", format!("`{}` names no action of a plugin", text.value))
            .suggest("write `plugin/action`, for example `jenkins/trigger-build`, or with versions that will do: `jenkins/trigger-build@^1.2`");
        return None;
    };
    let plugin_at = At { value: plugin.to_owned(), extent: part(0, plugin.len()) };
    let action_at = At { value: action.to_owned(), extent: part(plugin.len() + 1, path.len()) };
    let version_extent = part((path.len() + 1).min(text.value.len()), text.value.len());
    let plugin = report.parsed_text::<PluginName>(&plugin_at, "name");
    let action = report.parsed_text::<ActionName>(&action_at, "name");
    let version = match version.map(|it| it.parse::<semver::VersionReq>()) {
        None => Some(semver::VersionReq::STAR),
        Some(Ok(version)) => Some(version),
        Some(Err(error)) => {
            report.error(version_extent, "version", format!("this names no versions: {error}")).suggest(
                "write for example `@^1.2` (1.2 or newer, below 2), `@=1.2.3` (exactly this) or nothing (the newest)",
            );
            None
        }
    };
    Some(DraftUses { plugin: plugin?, action: action?, version: At { value: version?, extent: version_extent } })
}

fn read_connections(report: &mut Report<'_>, fields: &Fields<'_>) -> DraftConnections {
    match (fields.get("connection"), fields.get("connections")) {
        (None, None) => DraftConnections::Unbound,
        (Some(_), Some(many)) => {
            report
                .error(many.name_extent, "connection", "`connection` and `connections` do not go together")
                .suggest("keep `connections`, which says for each role what it is bound to");
            DraftConnections::Unreadable
        }
        (Some(one), None) => {
            if let Kind::Object(_) = one.value.kind {
                report
                    .error(one.name_extent, "connection", "`connection` is one name")
                    .suggest("a mapping of roles is written `connections`");
                return DraftConnections::Unreadable;
            }
            read_connection(report, &one.value).map_or(DraftConnections::Unreadable, DraftConnections::Only)
        }
        (None, Some(many)) => {
            if let Kind::Text(_) = many.value.kind {
                report
                    .error(many.name_extent, "connection", "`connections` is a mapping of roles to names")
                    .suggest("the only connection of an action is written `connection`");
                return DraftConnections::Unreadable;
            }
            let Some(by_role) = report.mapping(&many.value, "`connections`") else {
                return DraftConnections::Unreadable;
            };
            let mut bound = Vec::new();
            for field in by_role {
                let role = At { value: field.name.clone(), extent: field.name_extent };
                let role = report.parsed_text::<RoleName>(&role, "name");
                let Some(pair) = role.zip(read_connection(report, &field.value)) else {
                    return DraftConnections::Unreadable;
                };
                bound.push(pair);
            }
            DraftConnections::ByRole(bound)
        }
    }
}

fn read_connection(report: &mut Report<'_>, node: &Node) -> Option<At<ConnectionName>> {
    if let Kind::Text(text) = &node.kind {
        if text.contains("${{") {
            report
                .error(
                    node.extent,
                    "connection",
                    "a connection is bound when the release starts; its name holds no expression",
                )
                .note("what a release can reach is known and checked before it starts");
            return None;
        }
        if text.contains("://") {
            report
                .error(node.extent, "connection", "a connection is named, not written out")
                .suggest("declare it with `windlass connection add` and write its name here");
            return None;
        }
    }
    report.parsed(node, "`connection`", "name")
}

fn read_with(report: &mut Report<'_>, node: &Node) -> Option<DraftTemplate> {
    if node.kind == Kind::Null {
        return None;
    }
    report.mapping(node, "`with`")?;
    refuse_secrets(report, node);
    report.template(node)
}

/// Texts written out under a name that promises a secret.
fn refuse_secrets(report: &mut Report<'_>, node: &Node) {
    match &node.kind {
        Kind::Object(fields) => {
            for field in fields {
                match &field.value.kind {
                    Kind::Text(text) if names_a_secret(&field.name) && !text.is_empty() && !text.contains("${{") => {
                        let problem = report.error(
                            field.name_extent,
                            "secret",
                            format!(
                                "`{}` is written out here, and a workflow file is no place for a secret",
                                field.name
                            ),
                        );
                        problem.masked = Some(field.value.extent);
                        problem.note("plugins never see credentials: the host adds those of the step's connection to its requests");
                        problem.suggest(
                            "keep it in a connection (`windlass connection add`) and bind that with `connection:`",
                        );
                    }
                    _ => refuse_secrets(report, &field.value),
                }
            }
        }
        Kind::List(items) => items.iter().for_each(|it| refuse_secrets(report, it)),
        Kind::Null | Kind::Boolean(_) | Kind::Number(_) | Kind::Text(_) => {}
    }
}

/// Whether a key is one under which people write secrets: `api_key`, `clientSecret`.
pub(crate) fn names_a_secret(key: &str) -> bool {
    let mut words = String::new();
    for (at, letter) in key.char_indices() {
        let begins = letter.is_ascii_uppercase() && at > 0 && !key[..at].ends_with(|it: char| it.is_ascii_uppercase());
        if begins || matches!(letter, '-' | '_' | '.' | ' ') {
            words.push('_');
        }
        if letter.is_alphanumeric() {
            words.extend(letter.to_lowercase());
        }
    }
    const ENDINGS: &[&str] = &[
        "password",
        "passwd",
        "passphrase",
        "token",
        "secret",
        "api_key",
        "apikey",
        "private_key",
        "access_key",
        "secret_key",
        "credential",
        "credentials",
        "authorization",
    ];
    ENDINGS.iter().any(|ending| words.strip_suffix(ending).is_some_and(|it| it.is_empty() || it.ends_with('_')))
}

pub(super) fn read_when(report: &mut Report<'_>, node: &Node) -> Option<PlacedExpression> {
    let text = match &node.kind {
        Kind::Text(text) => text.clone(),
        Kind::Boolean(it) => it.to_string(),
        _ => {
            report.wrong_type(node, "`when`", "a condition such as `parameters.dry == false`");
            return None;
        }
    };
    if !text.contains("${{") {
        let trimmed = text.trim();
        let start = text.len() - text.trim_start().len();
        return report.expression(node, &text, start..start + trimmed.len(), false);
    }
    let template = report.template(node)?;
    match template.expressions.as_slice() {
        [one] if !one.embedded => Some(one.clone()),
        _ => {
            report
                .error(node.extent, "condition", "`when` is one expression, without text around it")
                .suggest("write it without braces: `when: parameters.environment == 'production'`");
            None
        }
    }
}

/// A retry policy; what it does not say is as in `base`.
pub(super) fn read_retry(report: &mut Report<'_>, field: &Field, base: Option<&RetryPolicy>) -> RetryPolicy {
    let mut retry = base.cloned().unwrap_or_default();
    if let Kind::Number(number) = &field.value.kind {
        report
            .error(field.value.extent, "wrong-type", "`retry` is a mapping, not a number")
            .suggest(format!("write `retry: {{ attempts: {number} }}`"));
        return retry;
    }
    let Some(fields) = report.fields(&field.value, "`retry`", &["attempts", "backoff", "max_backoff", "within", "on"])
    else {
        return retry;
    };
    match fields.value("attempts") {
        Some(node) => {
            if let Some(attempts) = report.count(node, "`attempts`", "retry-bound", 1..=ATTEMPTS_MAX) {
                retry.attempts = attempts;
            }
        }
        None if base.is_none() => {
            report
                .error(field.name_extent, "retry-bound", "`retry` does not say how many attempts there are")
                .note("a retry policy without a bound is refused")
                .suggest("add `attempts:`, the first one included, for example `attempts: 3`");
        }
        None => {}
    }
    let backoff = fields.value("backoff").and_then(|it| report.span(it, "`backoff`"));
    retry.backoff = backoff.unwrap_or(retry.backoff);
    match fields.value("max_backoff").and_then(|it| report.span(it, "`max_backoff`").map(|span| (span, it.extent))) {
        Some((most, extent)) => {
            if most < retry.backoff {
                report.error(
                    extent,
                    "retry-bound",
                    format!("`max_backoff` is shorter than `backoff`, {}", retry.backoff),
                );
            }
            retry.max_backoff = most;
        }
        None => retry.max_backoff = retry.max_backoff.max(retry.backoff),
    }
    if let Some(within) = fields.value("within").and_then(|it| report.span(it, "`within`")) {
        retry.within = Some(within);
    }
    if let Some(node) = fields.value("on") {
        retry.on = read_classes(report, node);
    }
    retry
}

fn read_classes(report: &mut Report<'_>, node: &Node) -> Vec<FailureClass> {
    let names = || FailureClass::ALL.into_iter().map(|(_, name)| name);
    let mut classes = Vec::new();
    for text in report.texts(node, "`on`", "a class of failures") {
        match FailureClass::from_name(&text.value) {
            Some(class) if classes.contains(&class) => {}
            Some(class) => classes.push(class),
            None => {
                let problem =
                    report.error(text.extent, "unknown-value", format!("`{}` is no class of failures", text.value));
                problem.note(format!("the classes are {}", one_of(names())));
                problem.suggest_some(did_you_mean(&text.value, names()));
            }
        }
    }
    classes
}

pub(super) fn read_on_failure(report: &mut Report<'_>, node: &Node) -> Option<OnFailure> {
    let words = [
        ("pause", OnFailure::Pause),
        ("fail", OnFailure::Fail),
        ("continue", OnFailure::Continue),
        ("rollback", OnFailure::Rollback),
    ];
    report.word(node, "`on_failure`", &words)
}

fn read_gates(report: &mut Report<'_>, node: &Node) -> Vec<DraftGate> {
    let Kind::List(items) = &node.kind else {
        report.wrong_type(node, "`gates`", "a list (`- approval: …`)");
        return Vec::new();
    };
    let mut gates = Vec::new();
    for item in items {
        let Some(fields) = report.fields(item, "a gate", &["approval"]) else { continue };
        match fields.get("approval") {
            Some(field) => gates.extend(read_approval(report, field)),
            None => {
                report
                    .error(item.extent, "missing-key", "a gate says what it waits for")
                    .suggest("write `- approval: { from: group:<name> }`");
            }
        }
    }
    gates
}

fn read_approval(report: &mut Report<'_>, field: &Field) -> Option<DraftGate> {
    let fields = report.fields(&field.value, "`approval`", &["from", "min", "requester", "message"])?;
    let mut from = Vec::new();
    match fields.value("from") {
        Some(node) => {
            for text in report.texts(node, "`from`", "an approver") {
                if let Some(approver) = report.parsed_text::<Approver>(&text, "approver") {
                    if from.contains(&approver.value) {
                        report.warning(
                            approver.extent,
                            "duplicate-approver",
                            format!("`{}` is named twice", approver.value),
                        );
                    } else {
                        from.push(approver.value);
                    }
                }
            }
            if node.kind == Kind::List(Vec::new()) {
                report
                    .error(node.extent, "approver", "nobody could approve")
                    .suggest("name `user:<name>` or `group:<name>`");
            }
        }
        None => {
            report
                .error(field.name_extent, "missing-key", "the approval does not say who may give it")
                .suggest("add `from: group:<name>` or `from: [user:<name>, …]`");
        }
    }
    let mut min = 1;
    if let Some(node) = fields.value("min")
        && let Some(count) = report.count(node, "`min`", "approval-min", 1..=1000)
    {
        min = count;
        let users = from.len();
        let only_users = !from.is_empty() && from.iter().all(|it| matches!(it, Approver::User(_)));
        if only_users && min as usize > users {
            report
                .error(node.extent, "approval-min", format!("{min} people must approve, but only {users} can"))
                .suggest("name more users, or a group, or lower `min`");
        }
    }
    let words = [("excluded", false), ("allowed", true)];
    let requester_may_approve =
        fields.value("requester").and_then(|it| report.word(it, "`requester`", &words)).unwrap_or(false);
    let message = fields.value("message").and_then(|it| {
        report.text(it, "`message`")?;
        report.template(it)
    });
    let template = message.as_ref().map(|it| it.template.clone()).filter(|it| it.to_json() != Value::Null);
    Some(DraftGate { gate: ApprovalGate { from, min, requester_may_approve, message: template }, message })
}
