//! What `windlass bench` measures works; how fast it is, is not judged here.

use serde_json::json;
use windlass_sandbox::measure::instantiate_call_drop;

use crate::support::{Given, code, request, world};

#[tokio::test]
async fn calls_are_measured() {
    let world = world().await;
    let noop = || request("noop", Given { input: json!({}), ..Given::default() });
    let times = instantiate_call_drop(&world.sandbox, &world.hostile, 200, noop).await.expect("all work");
    assert!(times.p50 <= times.p99 && times.p99 <= times.max);
    let failed = instantiate_call_drop(&world.sandbox, &world.hostile, 2, || request("fail", Given::default())).await;
    assert_eq!(code(&failed.expect_err("it fails")), "on-purpose");
}
