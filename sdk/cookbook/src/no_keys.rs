//! Creating something once at a service that knows no idempotency keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_sdk::{Action, Answer, Context, Effect, Failure, Find, Found, Method, Outcome, Role};

pub(crate) struct OpenTicket;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// What people read first.
    #[schemars(length(min = 1))]
    title: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Output {
    /// The ticket's number.
    ticket: u64,
}

#[derive(Deserialize)]
struct Ticket {
    number: u64,
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Tickets {
    tickets: Vec<Ticket>,
}

impl Action for OpenTicket {
    const NAME: &'static str = "open-ticket";
    const DESCRIPTION: &'static str = "Opens a ticket, once.";
    const EFFECT: Effect = Effect::Write;
    type Input = Input;
    type Output = Output;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![Role::required("desk", "The ticket system.").allow(&[Method::Get, Method::Post], "/tickets")]
    }

    fn start(ctx: &Context, input: Input) -> Answer<Self> {
        let ticket = ctx.once("ticket", || match marked(ctx)? {
            Some(ticket) => Ok(ticket),
            None => create(ctx, &input),
        })?;
        Ok(Outcome::done(Output { ticket }))
    }
}

impl Find for OpenTicket {
    fn find(ctx: &Context, _: Input) -> Found<Self> {
        Ok(marked(ctx)?.map(|ticket| Outcome::done(Output { ticket })))
    }
}

/// What tells this step's ticket from all others. People see it, so it says what it is.
fn marker(ctx: &Context) -> String {
    format!("[windlass {}]", ctx.idempotency_key())
}

/// The ticket that an earlier attempt opened.
fn marked(ctx: &Context) -> Result<Option<u64>, Failure> {
    let marker = marker(ctx);
    let found: Tickets = ctx.http("desk")?.get("/tickets").query("text", ctx.idempotency_key()).send()?.json()?;
    // A search finds what is like the text, too.
    let mut ours = found.tickets.iter().filter(|it| it.text.contains(&marker)).map(|it| it.number);
    match (ours.next(), ours.next()) {
        (Some(one), Some(other)) => {
            let message = format!("tickets {one} and {other} are both marked {marker}: close one of them");
            Err(Failure::conflict("ticket-twice", message).pause())
        }
        (found, _) => Ok(found),
    }
}

fn create(ctx: &Context, input: &Input) -> Result<u64, Failure> {
    let desk = ctx.http("desk")?;
    let body = json!({ "title": input.title, "text": marker(ctx) });
    match desk.post("/tickets").json(&body).try_send() {
        Ok(response) => Ok(response.json::<Ticket>()?.number),
        Err(error) => {
            let unknown = error.effect_unknown();
            let failure = error.failure(Method::Post, &desk.url("/tickets"));
            if !unknown {
                return Err(failure);
            }
            // It may be there, and not in the index yet: not found is no proof, so nothing creates it again.
            marked(ctx)?.ok_or_else(|| {
                failure.context("the ticket may have been opened: look for its marker, then go on").pause()
            })
        }
    }
}
