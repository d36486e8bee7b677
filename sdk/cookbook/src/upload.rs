//! Carrying something large from one system to another, in pieces, so that no lost answer costs more than one of them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_sdk::http::{Endpoint, path};
use windlass_sdk::{
    Action, Answer, Context, Effect, Event, Failure, FailureClass, Method, Outcome, Response, Role, suspend,
};

pub(crate) struct Upload;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// The file, as the store names it.
    file: String,
    /// How many bytes go in one request.
    #[serde(default = "piece_bytes")]
    #[schemars(range(min = 1, max = 4_194_304))]
    piece_bytes: u64,
}

fn piece_bytes() -> u64 {
    1024 * 1024
}

/// How many pieces one call carries: with the largest, half of the 16 MiB that a call may send.
const PIECES_PER_CALL: u32 = 2;

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Output {
    /// The upload, as the service names it.
    upload: String,
    /// How many bytes the service has.
    bytes: u64,
}

/// How far it is the service is asked; only what it has counts.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct State {
    upload: String,
    size: u64,
    /// Which version of the file it is.
    etag: String,
}

#[derive(Deserialize)]
struct Created {
    id: String,
}

impl Action for Upload {
    const NAME: &'static str = "upload";
    const DESCRIPTION: &'static str = "Carries a file from a store to a service that takes uploads in pieces.";
    const EFFECT: Effect = Effect::IdempotentWrite;
    type Input = Input;
    type Output = Output;
    type State = State;

    fn connections() -> Vec<Role> {
        vec![
            Role::required("store", "Where the file is.").allow(&[Method::Get, Method::Head], "/files/*"),
            Role::required("target", "Where it goes.")
                .allow(&[Method::Post], "/uploads")
                .allow(&[Method::Head, Method::Patch], "/uploads/*"),
        ]
    }

    fn start(ctx: &Context, input: Input) -> Answer<Self> {
        // After a definite failure (the file was changed) another attempt is other work, and begins anew.
        let state = ctx.once("upload", || {
            let head = ctx.http("store")?.head(path(["files", &input.file])).send()?;
            let (size, etag) = (number(&head, "Content-Length")?, text(&head, "ETag")?.to_owned());
            let body = json!({ "name": input.file, "size": size });
            let created: Created = ctx.http("target")?.post("/uploads").json(&body).idempotency_key().send()?.json()?;
            Ok(State { upload: created.id, size, etag })
        })?;
        carry(ctx, &input, state)
    }

    fn resume(ctx: &Context, input: Input, state: State, _: Event) -> Answer<Self> {
        carry(ctx, &input, state)
    }
}

fn carry(ctx: &Context, input: &Input, state: State) -> Answer<Upload> {
    let (store, target) = (ctx.http("store")?, ctx.http("target")?);
    let place = path(["uploads", &state.upload]);
    let mut at = offset(&target, &place)?;
    for _ in 0..PIECES_PER_CALL {
        if at >= state.size {
            break;
        }
        let piece = piece(&store, input, &state, at)?;
        let request = target.patch(&place).header("Upload-Offset", at);
        let sent = request.body("application/offset+octet-stream", piece).send();
        let now = match sent.and_then(|it| number(&it, "Upload-Offset")) {
            Ok(now) => now,
            // An answer got lost, this one's or an earlier one's: only the service knows what arrived.
            Err(failure) if failure.class.passes() || failure.class == FailureClass::Conflict => {
                let now = offset(&target, &place)?;
                if now <= at {
                    return Err(failure);
                }
                now
            }
            Err(failure) => return Err(failure),
        };
        if now <= at {
            let message = format!("the service takes pieces and still has {now} of {} bytes", state.size);
            return Err(Failure::internal("no-progress", message));
        }
        at = now;
    }
    if at >= state.size {
        ctx.progress().percent(100);
        return Ok(Outcome::done(Output { upload: state.upload, bytes: at }));
    }
    ctx.progress().percent(u8::try_from(at * 100 / state.size).unwrap_or(99));
    let status = format!("{at} of {} bytes", state.size);
    // The next call has an instance and limits of its own.
    Ok(suspend(state).after(Duration::ZERO).status(status))
}

fn piece(store: &Endpoint, input: &Input, state: &State, at: u64) -> Result<Vec<u8>, Failure> {
    let last = (at + input.piece_bytes).min(state.size) - 1;
    let request = store.get(path(["files", &input.file])).header("If-Match", &state.etag);
    let response = request.header("Range", format!("bytes={at}-{last}")).accept(412).send()?;
    match response.status() {
        206 => response.bytes(),
        412 => {
            let message = format!("{} was changed while it was being carried", input.file);
            Err(Failure::conflict("file-changed", message).never())
        }
        // The whole file, from its beginning: sent on from `at`, it would be another file.
        other => Err(Failure::internal("no-ranges", format!("the store answers {other} to a range")).never()),
    }
}

fn offset(target: &Endpoint, place: &str) -> Result<u64, Failure> {
    number(&target.head(place).send()?, "Upload-Offset")
}

fn text<'r>(response: &'r Response, name: &str) -> Result<&'r str, Failure> {
    let missing = || Failure::internal("unexpected-response", format!("the answer has no header `{name}`"));
    response.header(name).ok_or_else(missing)
}

fn number(response: &Response, name: &str) -> Result<u64, Failure> {
    let text = text(response, name)?;
    let wrong = |_| Failure::internal("unexpected-response", format!("the header `{name}` is `{text}`, no number"));
    text.trim().parse().map_err(wrong)
}
