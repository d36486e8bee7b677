use serde_json::json;
use windlass_sdk::RetryAdvice;
use windlass_sdk::testing::{MockHost, Reply};

use crate::step;

#[test]
fn it_sends_no_credential_and_leaves_one_that_is_refused_to_people() {
    let host = MockHost::new().connection("ledger", "https://ledger.test");
    let step = step("read-balance", json!({ "account": "7" }));
    host.reply("GET /accounts/7", Reply::json(200, json!({ "balance": 250 })));
    assert_eq!(step.run(&host).expect("a balance"), json!({ "balance": 250 }));
    assert_eq!(host.requests()[0].header("Authorization"), None);
    host.reply("GET /accounts/7", Reply::status(401));
    assert_eq!(step.run(&host).expect_err("refused").retry, RetryAdvice::Pause);
    host.reply("GET /accounts/7", Reply::status(503));
    assert_eq!(step.run(&host).expect_err("it passes").retry, RetryAdvice::ByPolicy);
}
