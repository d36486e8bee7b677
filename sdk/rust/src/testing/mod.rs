//! A host for a plugin's own tests, and a step that goes through it.
//!
//! Nothing here is a sandbox or a network: answers are scripted ([`MockHost::reply`], [`MockHost::serve`]), time is a
//! value that only moves when a test or a wake moves it. What the real host checks is checked here too: requests
//! against the manifest's connection roles, inputs and outputs against its schemas.
//!
//! ```
//! # use windlass_sdk::*; use schemars::JsonSchema; use serde::{Serialize, Deserialize};
//! # #[derive(Deserialize, JsonSchema)] struct Input {}
//! # #[derive(Serialize, Deserialize, JsonSchema)] struct Output { version: String }
//! # struct Version;
//! # impl Action for Version {
//! #     const NAME: &'static str = "version"; const DESCRIPTION: &'static str = "Reads the version.";
//! #     const EFFECT: Effect = Effect::Read;
//! #     type Input = Input; type Output = Output; type State = ();
//! #     fn connections() -> Vec<Role> { vec![Role::required("app", "The application.").allow(&[Method::Get], "/version")] }
//! #     fn start(ctx: &Context, _: Input) -> Answer<Self> { Ok(Outcome::done(ctx.http("app")?.get("/version").send()?.json()?)) }
//! # }
//! # windlass_sdk::plugin! { name: "app", description: "Reads.", actions: [Version] }
//! # fn main() {
//! use windlass_sdk::testing::{MockHost, Reply, TestStep};
//!
//! let host = MockHost::new().connection("app", "https://app.test");
//! host.reply("GET /version", Reply::json(200, serde_json::json!({ "version": "1.2.3" })));
//! let step = TestStep::new(plugin(), "version", serde_json::json!({}));
//! assert_eq!(step.run(&host).expect("it answers")["version"], "1.2.3");
//! # }
//! ```
#![allow(clippy::missing_panics_doc, reason = "a test's host panics where the test is wrong")]

mod mock_host;
mod step;

pub use mock_host::{LogLine, MockHost, Reply, SeenRequest};
pub use step::{TestStep, Tested};
