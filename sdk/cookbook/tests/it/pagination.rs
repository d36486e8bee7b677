use serde_json::{Value, json};
use windlass_sdk::testing::{MockHost, Reply};

use crate::step;

fn host() -> MockHost {
    MockHost::new().connection("tracker", "https://tracker.test/api").connection("forge", "https://forge.test/api")
}

fn page(numbers: &[u64], next: Option<&str>) -> Reply {
    let items: Vec<Value> = numbers.iter().map(|it| json!({ "number": it })).collect();
    Reply::json(200, json!({ "items": items, "next": next }))
}

fn linked(numbers: &[u64], link: &str) -> Reply {
    let items: Vec<Value> = numbers.iter().map(|it| json!({ "number": it })).collect();
    Reply::json(200, json!(items)).header("Link", link)
}

#[test]
fn pages_are_followed_to_the_last_and_each_issue_taken_once() {
    let host = host();
    host.reply("GET /issues", page(&[1, 2], Some("a b/c")));
    host.reply("GET /issues", page(&[2, 3], Some("d")));
    host.reply("GET /issues", page(&[4], Some("")));
    let output = step("list-by-cursor", json!({})).run(&host).expect("a list");
    assert_eq!(output, json!({ "issues": [1, 2, 3, 4], "complete": true }));
    assert_eq!(host.requests()[1].query["cursor"], "a b/c");
}

#[test]
fn a_list_without_an_end_ends() {
    let host = host();
    host.always("GET /issues", page(&[1], Some("same")));
    assert_eq!(step("list-by-cursor", json!({})).run(&host).expect_err("no end").code, "pages-in-a-circle");

    let mut number = 0;
    let host = MockHost::new().connection("tracker", "https://tracker.test/api").serve(move |_| {
        number += 1;
        Some(page(&[number], Some(&number.to_string())))
    });
    let output = step("list-by-cursor", json!({ "items_max": 3 })).run(&host).expect("a list");
    assert_eq!(output, json!({ "issues": [1, 2, 3], "complete": false }));
    let output = step("list-by-cursor", json!({})).run(&host).expect("a list");
    assert_eq!((output["issues"].as_array().map(Vec::len), &output["complete"]), (Some(90), &json!(false)));
}

#[test]
fn links_are_followed_below_the_connection_only() {
    let host = host();
    let first =
        "<https://forge.test/api/issues?page=0>; rel=\"first\", <https://forge.test/api/issues?page=2>; rel=\"next\"";
    host.reply("GET /issues", linked(&[1], first));
    host.reply("GET /issues", linked(&[2], "</api/issues?page=3>; title=\"x\"; rel=next"));
    host.reply("GET /issues", linked(&[3], "<https://forge.test/api/issues?page=1>; rel=\"prev\""));
    let output = step("list-by-link", json!({})).run(&host).expect("a list");
    assert_eq!(output, json!({ "issues": [1, 2, 3], "complete": true }));
    assert_eq!(host.requests()[2].query["page"], "3");

    for elsewhere in ["https://evil.test/api/issues", "https://forge.test/apis/issues", "/issues"] {
        host.reply("GET /issues", linked(&[1], &format!("<{elsewhere}>; rel=\"next\"")));
        let failure = step("list-by-link", json!({})).run(&host).expect_err("elsewhere");
        assert_eq!(failure.code, "page-elsewhere", "{failure}");
    }
}
