//! Hints, made from typed errors in one place.

use windlass_server::RuntimeError;
use windlass_server::client::ClientError;
use windlass_store::StoreError;

/// What there are lists of, by the command's name for it.
const LISTED: [&str; 8] = ["release", "plugin", "connection", "tool", "schedule", "breaker", "limit", "service"];

/// What to do about an error, where we know.
pub(crate) fn of(error: &anyhow::Error) -> Option<String> {
    let client = error.chain().find_map(|it| it.downcast_ref::<ClientError>());
    match client {
        Some(ClientError::NoAnswer { .. }) => {
            Some("if that process hangs, end it; the next command goes on from the journal".to_owned())
        }
        Some(ClientError::Refused { status, .. }) if status.as_u16() == 404 => {
            let told = format!("{error:#}");
            let what = LISTED.iter().find(|it| told.contains(&format!("no {it} `")))?;
            Some(format!("`windlass {what} list` shows those that there are"))
        }
        Some(ClientError::Refused { body, .. }) => missing_parameter(&body.error),
        Some(ClientError::Runtime(error)) => of_runtime(error),
        _ => error.chain().find_map(|it| it.downcast_ref::<RuntimeError>()).and_then(of_runtime),
    }
}

/// A parameter that a release lacks is told as the workflow names it; how a command is given one, here.
fn missing_parameter(error: &str) -> Option<String> {
    let missing = error.split("; ").find(|it| it.starts_with('`') && it.ends_with(" is missing"))?;
    Some(format!("`--param {}=…` gives it", missing.split('`').nth(1)?))
}

fn of_runtime(error: &RuntimeError) -> Option<String> {
    match error {
        RuntimeError::Store(StoreError::Locked { .. }) => {
            Some("a process that owns the store answers on its socket; this one does not, so it may be starting or ending: try again".to_owned())
        }
        _ => None,
    }
}
