//! Talking to a service that wants OAuth2: the plugin has nothing to do with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_sdk::http::path;
use windlass_sdk::{Action, Answer, Context, Effect, FailureClass, Method, Outcome, Role};

pub(crate) struct ReadBalance;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// The account's number.
    account: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Output {
    /// In cents.
    balance: i64,
}

impl Action for ReadBalance {
    const NAME: &'static str = "read-balance";
    const DESCRIPTION: &'static str = "Reads an account's balance.";
    const EFFECT: Effect = Effect::Read;
    type Input = Input;
    type Output = Output;
    type State = ();

    fn connections() -> Vec<Role> {
        // The token server is not among these: the host asks it.
        vec![Role::required("ledger", "The ledger.").allow(&[Method::Get], "/accounts/*")]
    }

    fn start(ctx: &Context, input: Input) -> Answer<Self> {
        let balance: Output =
            ctx.http("ledger")?.get(path(["accounts", &input.account])).send().and_then(|it| it.json()).map_err(
                // The host renewed the token already: another attempt would get the same answer.
                |failure| if failure.class == FailureClass::Unauthenticated { failure.pause() } else { failure },
            )?;
        Ok(Outcome::done(balance))
    }
}
