use std::cell::RefCell;
use std::rc::Rc;

use serde_json::json;
use windlass_sdk::http::TransportErrorKind;
use windlass_sdk::testing::{MockHost, Reply, SeenRequest};
use windlass_sdk::{FailureClass, Method};

use crate::step;

const FILE: &[u8] = b"0123456789abcdefghij-";

/// What the target got, and which of its answers get lost.
#[derive(Default)]
struct Target {
    got: Vec<u8>,
    patches: u32,
    lost: Vec<u32>,
    broken: bool,
}

fn serve(target: &mut Target, etag: &str, seen: &SeenRequest) -> Option<Reply> {
    let offset = |target: &Target| target.got.len().to_string();
    match (seen.method, seen.path.as_str()) {
        (Method::Head, "/files/a.iso") => {
            Some(Reply::status(200).header("Content-Length", FILE.len().to_string()).header("ETag", "\"v1\""))
        }
        (Method::Get, "/files/a.iso") if seen.header("If-Match") != Some(etag) => Some(Reply::status(412)),
        (Method::Get, "/files/a.iso") => {
            let range = seen.header("Range")?.strip_prefix("bytes=")?;
            let (first, last) = range.split_once('-')?;
            let piece = &FILE[first.parse().ok()?..=last.parse().ok()?];
            Some(Reply::text(206, String::from_utf8_lossy(piece)))
        }
        (Method::Post, "/uploads") => Some(Reply::json(201, json!({ "id": "u-1" }))),
        (Method::Head, "/uploads/u-1") => Some(Reply::status(200).header("Upload-Offset", offset(target))),
        (Method::Patch, "/uploads/u-1") => {
            target.patches += 1;
            if target.broken {
                return Some(Reply::status(503));
            }
            assert_eq!(seen.header("Upload-Offset"), Some(offset(target).as_str()), "no hole, nothing twice");
            target.got.extend_from_slice(&seen.body);
            if target.lost.contains(&target.patches) {
                return Some(Reply::error(TransportErrorKind::Interrupted));
            }
            Some(Reply::status(204).header("Upload-Offset", offset(target)))
        }
        _ => None,
    }
}

fn host(target: Target, etag: &'static str) -> (MockHost, Rc<RefCell<Target>>) {
    let target = Rc::new(RefCell::new(target));
    let served = Rc::clone(&target);
    let host = MockHost::new().connection("store", "https://store.test").connection("target", "https://target.test");
    (host.serve(move |seen| serve(&mut served.borrow_mut(), etag, seen)), target)
}

#[test]
fn all_of_it_arrives_once_although_answers_get_lost() {
    let (host, target) = host(Target { lost: vec![1, 4], ..Target::default() }, "\"v1\"");
    let output = step("upload", json!({ "file": "a.iso", "piece_bytes": 4 })).run(&host).expect("it arrives");
    assert_eq!(output, json!({ "upload": "u-1", "bytes": FILE.len() }));
    assert_eq!(target.borrow().got, FILE);
    assert_eq!(target.borrow().patches, 6, "no piece was sent twice");
}

#[test]
fn where_nothing_arrives_the_retry_policy_decides() {
    let (host, target) = host(Target { broken: true, ..Target::default() }, "\"v1\"");
    let step = step("upload", json!({ "file": "a.iso", "piece_bytes": 4 }));
    assert_eq!(step.run(&host).expect_err("nothing arrives").class, FailureClass::Transient);
    target.borrow_mut().broken = false;
    step.run(&host).expect("another attempt goes on");
    assert_eq!((host.count("POST /uploads"), target.borrow().got.as_slice()), (1, FILE));
}

#[test]
fn a_file_that_is_changed_meanwhile_is_not_mixed() {
    let (host, target) = host(Target::default(), "\"v2\"");
    let failure = step("upload", json!({ "file": "a.iso" })).run(&host).expect_err("it was changed");
    assert_eq!((failure.code.as_str(), target.borrow().got.len()), ("file-changed", 0));
}
