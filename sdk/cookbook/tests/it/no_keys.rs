use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use windlass_sdk::http::TransportErrorKind;
use windlass_sdk::testing::{MockHost, Reply, SeenRequest, TestStep};
use windlass_sdk::{Method, Operation, Outcome, RetryAdvice};

use crate::step;

/// A desk whose search finds what is like the text, and whose answers to `POST` may get lost.
#[derive(Default)]
struct Desk {
    tickets: Vec<Value>,
    loses: bool,
    /// Whether what was just opened is in the index.
    indexes: bool,
}

fn host(desk: Desk) -> (MockHost, Rc<RefCell<Desk>>) {
    let desk = Rc::new(RefCell::new(desk));
    let served = Rc::clone(&desk);
    let serve = move |seen: &SeenRequest| {
        let mut desk = served.borrow_mut();
        if seen.method == Method::Get {
            let tickets = if desk.indexes { desk.tickets.clone() } else { Vec::new() };
            return Some(Reply::json(200, json!({ "tickets": tickets })));
        }
        let ticket = json!({ "number": desk.tickets.len() + 1, "text": seen.json::<Value>()["text"] });
        desk.tickets.push(ticket.clone());
        Some(if desk.loses { Reply::error(TransportErrorKind::TimedOut) } else { Reply::json(201, ticket) })
    };
    (MockHost::new().connection("desk", "https://desk.test").serve(serve), desk)
}

fn open() -> TestStep {
    step("open-ticket", json!({ "title": "Index is slow" }))
}

#[test]
fn a_ticket_is_opened_once_although_the_answer_got_lost() {
    let (host, desk) = host(Desk { loses: true, indexes: true, ..Desk::default() });
    assert_eq!(open().run(&host).expect("found again"), json!({ "ticket": 1 }));
    assert_eq!(open().run(&host).expect("recorded"), json!({ "ticket": 1 }));
    assert_eq!(desk.borrow().tickets.len(), 1);
}

#[test]
fn not_found_is_no_proof_where_the_index_lags() {
    let (host, desk) = host(Desk { loses: true, ..Desk::default() });
    let failure = open().run(&host).expect_err("nobody knows");
    assert_eq!(failure.retry, RetryAdvice::Pause);
    assert!(failure.message.contains("look for its marker"), "{failure}");
    // A person waits until it is in the index, and goes on.
    desk.borrow_mut().indexes = true;
    assert_eq!(open().run(&host).expect("found"), json!({ "ticket": 1 }));
    assert_eq!(desk.borrow().tickets.len(), 1);
}

#[test]
fn only_its_own_marker_counts_and_two_are_one_too_many() {
    let key = TestStep::key(Operation::Start);
    let other = json!({ "number": 7, "text": format!("see {key}") });
    let (host, desk) = host(Desk { indexes: true, tickets: vec![other], ..Desk::default() });
    assert_eq!(open().find(&host).expect("an answer"), None);
    let ours = json!({ "number": 8, "text": format!("[windlass {key}]") });
    desk.borrow_mut().tickets.push(ours.clone());
    assert_eq!(open().find(&host).expect("an answer"), Some(Outcome::Done(json!({ "ticket": 8 }))));
    desk.borrow_mut().tickets.push(ours);
    assert_eq!(open().find(&host).expect_err("two").code, "ticket-twice");
}
