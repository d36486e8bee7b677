//! What is written, byte for byte, and how it is read back.
//!
//! Every value starts with two bytes: the version of its format, and where the rest is.
//!
//! | second byte | what follows |
//! |---|---|
//! | 0 | the value itself |
//! | 1 | the SHA-256 of a blob, which holds the value with its own two first bytes |
//!
//! The values themselves are CBOR with numbered fields (see [`v1`]); documents are the caller's bytes.
//!
//! **Invariant:** what a version has once written, every later Windlass reads; the files in
//! `tests/golden` are the proof. A field gets a new number, or the version a new module; a number
//! is never used for something else.
//! **Invariant:** reading never panics, whatever the bytes.

mod alert;
mod claim;
mod convert;
mod dry_run;
pub mod v1;

use serde_json::Value;
use windlass_model::digest::Digest;
use windlass_model::event::{Event, Record};

use crate::Outline;

/// The newest version of values that this crate writes and reads.
pub const VERSION: u32 = 1;

/// The deepest nesting of a JSON value in an event. Readers of JSON stop at 128.
pub const JSON_DEPTH_MAX: usize = 120;

const VERSION_BYTE: u8 = 1;
const HERE: u8 = 0;
const IN_BLOB: u8 = 1;

/// Why bytes are no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Garbled(String);

impl Garbled {
    pub(crate) fn new(what: impl ToString) -> Self {
        Self(what.to_string())
    }
}

/// Where a value is.
#[derive(Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// Here it is.
    Here(&'a [u8]),
    /// In the blob of this digest.
    InBlob(Digest),
}

/// Reads the two first bytes of a value.
pub fn open(value: &[u8]) -> Result<Place<'_>, Garbled> {
    match value {
        [VERSION_BYTE, HERE, rest @ ..] => Ok(Place::Here(rest)),
        [VERSION_BYTE, IN_BLOB, rest @ ..] => match <[u8; 32]>::try_from(rest) {
            Ok(digest) => Ok(Place::InBlob(Digest::from_bytes(digest))),
            Err(_) => Err(Garbled::new(format!("a reference to a blob has 32 bytes, not {}", rest.len()))),
        },
        [VERSION_BYTE, place, ..] => Err(Garbled::new(format!("a value cannot be at place {place}"))),
        [version, _, ..] => {
            Err(Garbled::new(format!("it has format {version}, and formats up to {VERSION} are known")))
        }
        [] | [_] => Err(Garbled::new(format!("{} bytes are no value", value.len()))),
    }
}

/// Reads a value that must be in place.
pub fn open_here(value: &[u8]) -> Result<&[u8], Garbled> {
    match open(value)? {
        Place::Here(rest) => Ok(rest),
        Place::InBlob(_) => Err(Garbled::new("a reference where the value itself should be")),
    }
}

/// Writes a value that stands for the one in a blob.
pub fn reference(digest: &Digest) -> Vec<u8> {
    let mut value = Vec::with_capacity(34);
    value.extend([VERSION_BYTE, IN_BLOB]);
    value.extend(digest.as_bytes());
    value
}

/// Writes a record.
pub fn encode_record(record: &Record) -> Vec<u8> {
    encode(&convert::from_record(record), 512)
}

/// Reads what [`encode_record`] wrote, without its first two bytes.
pub fn decode_record(bytes: &[u8]) -> Result<Record, Garbled> {
    convert::to_record(decode::<v1::Record<'_>>(bytes)?)
}

/// Writes an outline.
pub fn encode_outline(outline: &Outline) -> Vec<u8> {
    encode(&convert::from_outline(outline), 256)
}

/// Reads what [`encode_outline`] wrote, without its first two bytes.
pub fn decode_outline(bytes: &[u8]) -> Result<Outline, Garbled> {
    convert::to_outline(decode::<v1::Outline<'_>>(bytes)?)
}

/// Writes a document.
pub fn encode_document(bytes: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes.len() + 2);
    value.extend([VERSION_BYTE, HERE]);
    value.extend(bytes);
    value
}

/// Writes a number.
pub fn encode_number(number: u64) -> Vec<u8> {
    let mut value = vec![VERSION_BYTE, HERE];
    value.extend(number.to_be_bytes());
    value
}

/// Reads what [`encode_number`] wrote, with its first two bytes.
pub fn decode_number(value: &[u8]) -> Result<u64, Garbled> {
    let bytes = open_here(value)?;
    Ok(u64::from_be_bytes(bytes.try_into().map_err(|_| Garbled::new("a number has 8 bytes"))?))
}

/// Whether every JSON value of an event can be read back.
pub fn is_shallow(event: &Event) -> bool {
    use windlass_model::event::{Intervention, SkipReason};
    let shallow = |value: &Value| is_within(value, JSON_DEPTH_MAX);
    match event {
        Event::ReleaseCreated(created) => shallow(&created.parameters),
        Event::StepSkipped { reason: SkipReason::Condition { values, .. }, .. } => {
            values.iter().all(|(_, it)| shallow(it))
        }
        Event::AttemptStarted { input, .. } => input.as_ref().is_none_or(shallow),
        Event::AttemptSucceeded { output, .. } | Event::OutputGiven { output, .. } => shallow(output),
        Event::Intervened { intervention: Intervention::Skip { output, .. }, .. } => {
            output.as_ref().is_none_or(shallow)
        }
        Event::Intervened { intervention: Intervention::ReplaceOutput { output, .. }, .. } => shallow(output),
        Event::ReleaseEnded { outputs, .. } => shallow(outputs),
        Event::FannedOut { items, .. } => items.iter().all(shallow),
        Event::Joined { output, .. } => output.as_ref().is_none_or(shallow),
        Event::StepSkipped {
            reason: SkipReason::NeedsSkipped | SkipReason::Rehearsal | SkipReason::Person { .. },
            ..
        }
        | Event::StepsReset { .. }
        | Event::RollbackSettled { .. }
        | Event::DelayOver { .. }
        | Event::DeadlinePassed { .. }
        | Event::FinallyStarted { .. }
        | Event::StepHeld { .. }
        | Event::Voted { .. }
        | Event::Suspended { .. }
        | Event::Resumed { .. }
        | Event::CheckpointRecorded { .. }
        | Event::CallInterrupted { .. }
        | Event::EffectNotFound { .. }
        | Event::AttemptFailed { .. }
        | Event::LeftAlone
        | Event::ParentTold
        | Event::AttemptTimedOut { .. }
        | Event::Intervened { .. }
        | Event::FailingStarted { .. }
        | Event::CancelingStarted { .. }
        | Event::RollbackStarted { .. }
        | Event::RollbackOverdue
        | Event::AlertTaken { .. }
        | Event::Escalated { .. }
        | Event::CauseGiven { .. }
        | Event::OutputsRefused { .. }
        | Event::StepCanceled { .. }
        | Event::CallbackKept { .. }
        | Event::CallHeld { .. }
        | Event::CallLetThrough { .. }
        | Event::GatesLeftOut { .. }
        | Event::InputUnknown { .. }
        | Event::DryRunTold { .. }
        | Event::Admitted
        | Event::Superseded { .. } => true,
    }
}

fn is_within(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|it| is_within(it, depth - 1)),
        Value::Object(fields) => depth > 0 && fields.values().all(|it| is_within(it, depth - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn encode<T: minicbor::Encode<()>>(value: &T, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    bytes.extend([VERSION_BYTE, HERE]);
    minicbor::encode(value, &mut bytes).expect("writing to memory does not fail");
    bytes
}

fn decode<'b, T: minicbor::Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, Garbled> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let value = decoder.decode().map_err(Garbled::new)?;
    match bytes.len() - decoder.position() {
        0 => Ok(value),
        rest => Err(Garbled::new(format!("{rest} bytes are left over at its end"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_bytes_say_what_follows() {
        assert_eq!(open(&[1, 0, 7, 8]), Ok(Place::Here(&[7, 8])));
        let digest = Digest::of(b"content");
        assert_eq!(open(&reference(&digest)), Ok(Place::InBlob(digest)));
        for (bad, says) in [
            (&[][..], "0 bytes are no value"),
            (&[1], "1 bytes are no value"),
            (&[2, 0, 7], "it has format 2, and formats up to 1 are known"),
            (&[1, 2, 7], "a value cannot be at place 2"),
            (&[1, 1, 7], "a reference to a blob has 32 bytes, not 1"),
        ] {
            assert_eq!(open(bad).expect_err("garbled").to_string(), says);
        }
    }

    #[test]
    fn what_follows_a_value_is_not_ignored() {
        let record = Record {
            at: windlass_model::time::Timestamp(5),
            events: vec![Event::AttemptTimedOut { step: "build".parse().expect("a name") }],
        };
        let mut value = encode_record(&record);
        assert_eq!(decode_record(open_here(&value).expect("in place")), Ok(record));
        value.push(0);
        assert!(decode_record(open_here(&value).expect("in place")).is_err());
    }

    #[test]
    fn json_is_shallow_up_to_what_can_be_read_back() {
        let nested = |depth: usize| {
            let mut value = Value::Null;
            for _ in 0..depth {
                value = Value::Array(vec![value]);
            }
            Event::AttemptSucceeded { step: "build".parse().expect("a name"), output: value }
        };
        assert!(is_shallow(&nested(JSON_DEPTH_MAX)));
        assert!(!is_shallow(&nested(JSON_DEPTH_MAX + 1)));
        let record = Record { at: windlass_model::time::Timestamp(5), events: vec![nested(JSON_DEPTH_MAX)] };
        assert_eq!(decode_record(&encode_record(&record)[2..]), Ok(record));
    }
}
