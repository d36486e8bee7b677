//! What happens between breakers and those who ask them.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use windlass_model::time::Span;
use windlass_store::MemoryStore;

use super::*;

fn key(text: &str) -> BreakerKey {
    text.parse().expect("a key")
}

fn release(number: u64) -> ReleaseId {
    ReleaseId::new("w".parse().expect("a name"), number)
}

fn ana() -> Actor {
    Actor { name: "ana".to_owned(), groups: Vec::new(), authenticated: "test".to_owned() }
}

/// These, half open: one may go through.
fn half_open(keys: &[&str]) -> Breakers {
    let breakers = Breakers::load(Arc::new(MemoryStore::default())).expect("nothing is wrong with it");
    assert!(breakers.is_quiet());
    for text in keys {
        let written = Written { consecutive: Some(1), cooldown: Span(100), ..Written::default() };
        let rule: BreakerSettings = written.try_into().expect("good");
        let long_ago = Timestamp(now().0 - 1_000_000);
        let add = |entries: &mut BTreeMap<BreakerKey, Entry>| {
            let mut breaker = Breaker::new(Some(rule), long_ago);
            breaker.observe("x", Some("no answer".to_owned()), long_ago);
            entries.insert(key(text), Entry { breaker, ..Entry::new() });
            Ok(())
        };
        breakers.change(&key(text), add).now_or_never().expect("at once").expect("written");
    }
    breakers
}

#[test]
fn a_release_held_by_one_breaker_is_no_probe_of_another() {
    let (one, two) = (key("connection:http/api"), key("connection:http/web"));
    let breakers = half_open(&["connection:http/api", "connection:http/web"]);
    breakers.admit(&release(1), false, std::slice::from_ref(&two), "w-1/a").expect("the probe of the second");
    let both = [one.clone(), two.clone()];
    let held = breakers.admit(&release(2), false, &both, "w-2/a").expect_err("the second holds it");
    assert!(!held.is_open, "it waits for its probe");
    let held = held.hold;
    assert_eq!(
        (&held.by, held.owner.as_str()),
        (&HeldBy::Breaker("connection:http/web".to_owned()), "the service behind `web`")
    );
    assert!(breakers.entries()[&one].breaker.wants_a_probe(), "it has given that back");
    assert_eq!(breakers.entries()[&two].waiting, [release(2)].into());
    // The probe is given up: who waits is asked.
    breakers.abandon(std::slice::from_ref(&two), "w-1/a");
    assert_eq!(breakers.look().next, Some(release(2)));
    breakers.admit(&release(2), false, &both, "w-2/a").expect("the probe of both");
    assert_eq!(breakers.look().next, None);
    breakers.admit(&release(3), false, &both, "w-3/a").expect_err("there is a probe");
    // It ends well: all that wait are asked, and what changed is to be written.
    breakers.observe(&both, "w-2/a", None);
    let look = breakers.look();
    assert_eq!((look.free, look.unwritten, look.due), ([release(3)].into(), both.to_vec(), None));
    breakers.admit(&release(3), false, &both, "w-3/a").expect("both are closed");
}

#[test]
fn a_workflow_holds_only_releases_that_have_not_begun() {
    let breakers = half_open(&["workflow:w"]);
    breakers.admit(&release(1), true, &[], "w-1/a").expect("the probe");
    breakers.admit(&release(1), true, &[], "w-1/b").expect("a step of the probe");
    breakers.admit(&release(2), true, &[], "w-2/a").expect_err("there is a probe");
    breakers.admit(&release(3), false, &[], "w-3/b").expect("it is under way");
}

#[test]
fn what_was_written_is_read_back_and_what_cannot_be_read_keeps_nothing_from_working() {
    let store = Arc::new(MemoryStore::default());
    let breakers = Breakers::load(store.clone()).expect("empty");
    let trip = |entries: &mut BTreeMap<BreakerKey, Entry>| {
        entries.entry(BreakerKey::Global).or_insert_with(Entry::new).breaker.trip(ana(), "incident", now());
        Ok(())
    };
    breakers.change(&BreakerKey::Global, trip).now_or_never().expect("at once").expect("written");
    store.put_document(DocumentKind::Breaker, "broken", b"{".to_vec()).now_or_never().expect("at once").expect("put");
    let again = Breakers::load(store).expect("read");
    assert!(!again.is_quiet());
    let held = again.admit(&release(1), false, &[], "w-1/a").expect_err("it is open");
    assert_eq!(
        (held.hold.owner.as_str(), held.hold.text.as_str(), held.hold.until),
        ("ana", "ana opened it: incident", None)
    );
    assert_eq!(again.entries().len(), 1);
}
