//! `attach-evidence`: a file on a change or task, once.

use crate::instance::{CHANGES, Instance, TASKS, role};
use base64::Engine;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use windlass_sdk::{Action, Answer, Context, Effect, Failure, Method, Outcome, Role};

/// Attaches a file.
pub(crate) struct AttachEvidence;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttachEvidenceInput {
    /// The change: its number or sys_id.
    change: Option<String>,
    /// The change task, instead of the change.
    task: Option<String>,
    /// The file's name.
    file_name: String,
    /// The file's media type.
    #[serde(default = "default_content_type")]
    content_type: String,
    /// The file's content as text.
    text: Option<String>,
    /// The file's content in Base64, instead of as text.
    base64: Option<String>,
}

fn default_content_type() -> String {
    "text/plain".to_owned()
}

/// The attached file.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EvidenceReport {
    /// The attachment's identity.
    sys_id: String,
    /// The file's name.
    file_name: String,
    /// The file's size.
    size_bytes: u64,
    /// The file's digest.
    sha256: String,
    /// Where the content can be had.
    url: String,
}

impl Action for AttachEvidence {
    const NAME: &'static str = "attach-evidence";
    const DESCRIPTION: &'static str = "Attaches a file to a change or task, unless it is there.";
    const EFFECT: Effect = Effect::IdempotentWrite;

    type Input = AttachEvidenceInput;
    type Output = EvidenceReport;
    type State = ();

    fn connections() -> Vec<Role> {
        let role = role()
            .allow(&[Method::Get], "/api/now/table/change_task/**")
            .allow(&[Method::Get], "/api/now/attachment")
            .allow(&[Method::Post], "/api/now/attachment/file");
        vec![role]
    }

    fn start(ctx: &Context, input: AttachEvidenceInput) -> Answer<Self> {
        let wrong = |message: &str| Failure::invalid("evidence", message).never();
        let (table, reference) = match (&input.change, &input.task) {
            (Some(change), None) => (CHANGES, change),
            (None, Some(task)) => (TASKS, task),
            (Some(_), Some(_)) | (None, None) => return Err(wrong("give either `change` or `task`")),
        };
        let bytes = match (&input.text, &input.base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(base64)) => base64::engine::general_purpose::STANDARD
                .decode(base64.trim())
                .map_err(|error| wrong(&format!("`base64` is not Base64: {error}")))?,
            (Some(_), Some(_)) | (None, None) => return Err(wrong("give either `text` or `base64`")),
        };
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let size_bytes = bytes.len() as u64;

        let instance = Instance::connect(ctx)?;
        let record = instance.record(table, reference)?;
        let same_size = size_bytes.to_string();
        let existing = instance.attachments(record.sys_id())?.into_iter().find(|attachment| {
            let same =
                if attachment.hash.is_empty() { attachment.size_bytes == same_size } else { attachment.hash == sha256 };
            attachment.file_name == input.file_name && same
        });
        let attachment = match existing {
            Some(attachment) => {
                ctx.log().info(format!("{} has `{}` already", record.number(), input.file_name));
                attachment
            }
            None => {
                let attachment =
                    instance.attach(table, record.sys_id(), &input.file_name, &input.content_type, bytes)?;
                ctx.log().info(format!("attached `{}` to {}", input.file_name, record.number()));
                attachment
            }
        };
        Ok(Outcome::done(EvidenceReport {
            url: instance.attachment_url(&attachment.sys_id),
            sys_id: attachment.sys_id,
            file_name: attachment.file_name,
            size_bytes,
            sha256,
        }))
    }
}
