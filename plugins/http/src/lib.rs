//! HTTP: reads from and writes to any endpoint that a connection grants, and checks an application's health over a
//! window of time.

mod expectation;
mod get;
mod health_check;
mod request;
mod response;

use get::Get;
use health_check::HealthCheck;
use request::Write;

windlass_sdk::plugin! {
    name: "http",
    description: "Sends HTTP requests and checks an application's health.",
    actions: [Get, Write, HealthCheck],
}
