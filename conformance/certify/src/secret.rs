//! The made-up credential: how it is sent, and where it must not be.

use windlass_sandbox::Scrubber;

use crate::SECRET;
use crate::file::Credential;
use crate::memory::Memory;
use crate::transcript::{Event, Record};

/// Where something that only the host or the step may know was said, kept or sent.
pub(crate) fn leaks(memory: &Memory, record: &Record) -> Vec<String> {
    let reversed: String = SECRET.chars().rev().collect();
    let credential = Scrubber::new([SECRET.as_bytes(), reversed.as_bytes()]);
    let topics = memory.topics();
    let topic = Scrubber::new(topics.iter().map(String::as_bytes));
    let mut leaks = Vec::new();
    for event in record.all() {
        let place = match &event {
            Event::Requested { number, .. } => format!("request {number}"),
            Event::Ran { number, .. } => format!("the arguments of run {number}"),
            Event::Said { what, .. } => format!("a {what}"),
            Event::Checkpoint { name, .. } => format!("the checkpoint `{name}`"),
            Event::Suspended { .. } => "a suspension".to_owned(),
            Event::Done { output } => {
                if topic.finds(output.to_string().as_bytes()) {
                    leaks.push("a callback's topic is in the output".to_owned());
                }
                "the output".to_owned()
            }
            Event::Failed { error } if error.code == "credential-in-state" => {
                leaks.push("the credential is in a suspension's state".to_owned());
                continue;
            }
            Event::Failed { .. } => "a failure".to_owned(),
            _ => continue,
        };
        let text = serde_json::to_string(&event).unwrap_or_default();
        if credential.finds(text.as_bytes()) {
            leaks.push(format!("the credential is in {place}"));
        }
    }
    leaks.dedup();
    leaks
}

/// The header by which the made-up credential comes, in small letters, with its value.
pub(crate) fn credential_header(credential: &Credential) -> (String, String) {
    use base64::Engine as _;
    match credential {
        Credential::Bearer => ("authorization".to_owned(), format!("Bearer {SECRET}")),
        Credential::Basic(user) => {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{SECRET}"));
            ("authorization".to_owned(), format!("Basic {pair}"))
        }
        Credential::Header(name) => (name.to_lowercase(), SECRET.to_owned()),
    }
}
