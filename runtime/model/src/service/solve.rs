//! Whether all that is needed will be there: a need is met by what is live, or by a delivery before which only needs
//! are met that will be met themselves. What is left when nothing more follows waits for nobody, or in a circle.

use std::collections::{BTreeMap, BTreeSet};

use semver::Version;

use super::outlook::{Coming, Outlook};
use super::{Need, Place, Promise};

/// What is known of services when somebody asks.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What is live.
    pub live: BTreeMap<Place, Version>,
    /// What open releases need and will deliver, by the release.
    pub promises: BTreeMap<String, Promise>,
}

/// A need that is not met yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedWait {
    /// The step that waits.
    pub step: String,
    /// For what.
    pub need: Need,
    /// The release that will deliver it, and which version.
    pub by: (String, Version),
}

impl Known {
    pub(super) fn is_live(&self, need: &Need) -> bool {
        self.live.get(&need.place).is_some_and(|it| need.version.matches(it))
    }
}

/// Why a need will not be met, link by link.
fn chain(known: &Known, outlook: &Outlook<'_>, need: &Need) -> Vec<String> {
    let (mut links, mut seen, mut need) = (Vec::new(), BTreeSet::new(), need);
    loop {
        seen.insert(need.to_string());
        let Some(Coming { release, promised, needs, .. }) = outlook.promised(need) else {
            links.push(nobody(known, outlook, need));
            return links;
        };
        let mut link = format!("{release} is to deliver {} (step `{}`)", promised.delivery, promised.step);
        let unmet = promised.after.iter().map(|it| &needs[*it]).find(|it| !outlook.will_be_met(&it.need));
        let Some(unmet) = unmet else {
            links.push(link);
            return links;
        };
        link.push_str(&format!(" after {} is live, which its step `{}` requires", unmet.need, unmet.step));
        links.push(link);
        if seen.contains(&unmet.need.to_string()) {
            links.push("and that is where this began: it is a circle".to_owned());
            return links;
        }
        need = &unmet.need;
    }
}

fn nobody(known: &Known, outlook: &Outlook<'_>, need: &Need) -> String {
    let live = match known.live.get(&need.place) {
        Some(version) => format!("live is {version}"),
        None => "none is live".to_owned(),
    };
    let others: Vec<String> = outlook
        .to(&need.place)
        .map(|it| format!("{} is to deliver {}", it.release, it.promised.delivery.version))
        .collect();
    let others = if others.is_empty() { String::new() } else { format!(", {}", others.join(", ")) };
    format!("nobody is to deliver {need}: {live}{others}")
}

/// What a release will wait for; refused, with the whole chain of each, when something of it will never be there.
///
/// `known` holds the promise of the release itself, too.
pub fn plan_waits(known: &Known, release: &str) -> Result<Vec<PlannedWait>, Vec<String>> {
    let (mut waits, mut refused) = (Vec::new(), Vec::new());
    let outlook = Outlook::of(known);
    for promised in known.promises.get(release).map(|it| it.needs.as_slice()).unwrap_or_default() {
        let need = &promised.need;
        if known.is_live(need) {
            continue;
        }
        match outlook.deliverer(need) {
            Some(it) => waits.push(PlannedWait {
                step: promised.step.clone(),
                need: need.clone(),
                by: (it.release.to_owned(), it.promised.delivery.version.clone()),
            }),
            None => {
                let chain = chain(known, &outlook, need).join("; ");
                refused.push(format!("step `{}` requires {need}; {chain}", promised.step));
            }
        }
    }
    if refused.is_empty() { Ok(waits) } else { Err(refused) }
}

/// How a need stands that is not met, in words, and the release that is to meet it.
pub fn describe(known: &Known, need: &Need) -> (String, Option<String>) {
    let outlook = Outlook::of(known);
    match outlook.deliverer(need) {
        Some(Coming { release, promised, .. }) => {
            let live = known.live.get(&need.place).map(|it| format!(", live is {it}")).unwrap_or_default();
            let text = format!("requires {need}; {release} is to deliver {}{live}", promised.delivery.version);
            (text, Some((*release).to_owned()))
        }
        None => (format!("requires {need}; {}", chain(known, &outlook, need).join("; ")), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::outlook::COMPARED;
    use crate::service::{Delivery, PromisedDelivery, PromisedNeed, parse_requirement, parse_version};

    fn place(service: &str) -> Place {
        Place { environment: "production".parse().expect("a name"), service: service.parse().expect("a name") }
    }

    fn need(service: &str, version: &str) -> Need {
        Need { place: place(service), version: parse_requirement(version).expect("versions") }
    }

    /// `ledger 2.4 < bank >=3` delivers after a need; without `<` at once; ` ? x >=1` only needs.
    fn promise(text: &str) -> Promise {
        let mut promise = Promise::default();
        for part in text.split(';').map(str::trim).filter(|it| !it.is_empty()) {
            let (delivers, needs) = part.split_once('<').or_else(|| part.split_once('?')).unwrap_or((part, ""));
            let mut after = BTreeSet::new();
            for words in
                needs.split(',').map(|it| it.split_whitespace().collect::<Vec<_>>()).filter(|it| !it.is_empty())
            {
                after.insert(promise.needs.len());
                promise.needs.push(PromisedNeed { step: "deploy".to_owned(), need: need(words[0], words[1]) });
            }
            if let [service, version] = delivers.split_whitespace().collect::<Vec<_>>().as_slice() {
                let delivery = Delivery { place: place(service), version: parse_version(version).expect("a version") };
                promise.deliveries.push(PromisedDelivery { step: "deploy".to_owned(), delivery, after });
            }
        }
        promise
    }

    fn known(live: &[(&str, &str)], promises: &[(&str, &str)]) -> Known {
        Known {
            live: live.iter().map(|(it, version)| (place(it), parse_version(version).expect("a version"))).collect(),
            promises: promises.iter().map(|(release, it)| ((*release).to_owned(), promise(it))).collect(),
        }
    }

    fn refusal(known: &Known, release: &str) -> String {
        plan_waits(known, release).expect_err("it will never be there").join("\n")
    }

    #[test]
    fn what_is_live_is_not_waited_for_and_what_will_be_is() {
        let known = known(
            &[("ledger", "2.5.0"), ("bank", "1.0.0")],
            &[("bank-2", "bank 1.1"), ("pay-1", "pay 3 < ledger >=2.4, bank ^1.1")],
        );
        let waits = plan_waits(&known, "pay-1").expect("all will be there");
        assert_eq!(waits.len(), 1);
        assert_eq!((waits[0].need.to_string().as_str(), waits[0].by.0.as_str()), ("bank ^1.1 in production", "bank-2"));
        let (text, by) = describe(&known, &waits[0].need);
        assert_eq!(text, "requires bank ^1.1 in production; bank-2 is to deliver 1.1.0, live is 1.0.0");
        assert_eq!(by.as_deref(), Some("bank-2"));
    }

    #[test]
    fn a_release_may_deliver_to_itself_but_not_after_what_waits_for_it() {
        assert_eq!(plan_waits(&known(&[], &[("r-1", "ledger 2; ? ledger >=2")]), "r-1").expect("it will").len(), 1);
        let circle = known(&[], &[("r-1", "ledger 2 < pay >=3; pay 3 < ledger >=2")]);
        let refused = refusal(&circle, "r-1");
        assert!(refused.contains("it is a circle"), "{refused}");
    }

    #[test]
    fn the_whole_chain_is_told() {
        let nobody = known(
            &[("core", "1.0.0")],
            &[
                ("pay-1", "pay 3 < ledger >=2"),
                ("ledger-7", "ledger 2 < bank ^1"),
                ("bank-3", "bank 1.2 < core >=2"),
                ("core-1", "core 1.5"),
            ],
        );
        assert_eq!(
            refusal(&nobody, "pay-1"),
            "step `deploy` requires ledger >=2 in production; ledger-7 is to deliver ledger in production 2.0.0 (step `deploy`) after bank ^1 in production is live, which its step `deploy` requires; bank-3 is to deliver bank in production 1.2.0 (step `deploy`) after core >=2 in production is live, which its step `deploy` requires; nobody is to deliver core >=2 in production: live is 1.0.0, core-1 is to deliver 1.5.0"
        );
        let circle = known(
            &[],
            &[("pay-1", "pay 3 < ledger >=2"), ("ledger-7", "ledger 2 < bank ^1"), ("bank-3", "bank 1.2 < pay >=3")],
        );
        let refused = refusal(&circle, "pay-1");
        for link in ["ledger-7 is to deliver", "bank-3 is to deliver", "pay-1 is to deliver", "it is a circle"] {
            assert!(refused.contains(link), "{link}: {refused}");
        }
    }

    /// So many releases, each to deliver after the one before it; and how often that was looked at.
    fn work(releases: usize, text: impl Fn(usize) -> String, asked: &Need) -> (String, usize) {
        let promises = (0..releases).map(|at| (format!("r-{at}"), promise(&text(at)))).collect();
        let known = Known { live: BTreeMap::new(), promises };
        COMPARED.set(0);
        let (text, _) = describe(&known, asked);
        (text, COMPARED.get())
    }

    #[test]
    fn explaining_a_wait_costs_so_much_per_promise_and_no_more() {
        let link = |at: usize| format!("s{at} 1 < s{} ^1", at + 1);
        for releases in [1000, 4000] {
            // Each waits for the next one, and the last one for nobody, or for nothing.
            let (text, compared) = work(releases, link, &need("s0", "^1"));
            assert_eq!(text.matches("is to deliver").count(), releases + 1, "{releases}");
            assert!(compared <= 4 * releases, "{releases} releases, compared {compared} times");
            let last = |at: usize| if at + 1 == releases { format!("s{at} 1") } else { link(at) };
            let (text, compared) = work(releases, last, &need("s0", "^1"));
            assert!(text.ends_with("r-0 is to deliver 1.0.0"), "{text}");
            assert!(compared <= 4 * releases, "{releases} releases, compared {compared} times");
            // All in one place, and asking for what is the same.
            let same = |at: usize| format!("api {}.0 < core ^1", at + 1);
            let (text, compared) = work(releases, same, &need("api", "^1"));
            assert!(text.ends_with("nobody is to deliver core ^1 in production: none is live"), "{text}");
            assert!(compared <= 4 * releases, "{releases} releases, compared {compared} times");
        }
    }

    /// Against trying every order in which deliveries can happen.
    #[test]
    fn what_will_be_there_is_what_some_order_brings_about() {
        let mut state: u64 = 7;
        let mut dice = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let (mut refusals, mut promises_kept) = (0, 0);
        for _ in 0..2000 {
            let mut known = Known::default();
            for service in ["a", "b", "c"] {
                if dice(3) == 0 {
                    known.live.insert(place(service), Version::new(dice(3), 0, 0));
                }
            }
            for release in 0..3 {
                let mut text = String::new();
                for _ in 0..=dice(2) {
                    let name = |at: u64| ["a", "b", "c"][at as usize];
                    let needs = if dice(2) == 0 { format!("< {} >={}", name(dice(3)), dice(3)) } else { String::new() };
                    text.push_str(&format!("{} {} {needs};", name(dice(3)), dice(3)));
                }
                known.promises.insert(format!("r-{release}"), promise(&text));
            }
            // What is live once everything has happened that can: versions are kept, as each may be asked for first.
            let mut there: Vec<Delivery> =
                known.live.iter().map(|(place, it)| Delivery { place: place.clone(), version: it.clone() }).collect();
            for _ in 0..20 {
                for promise in known.promises.values() {
                    for promised in &promise.deliveries {
                        let is_met = |it: &usize| there.iter().any(|d| promise.needs[*it].need.is_met_by(d));
                        if promised.after.iter().all(is_met) && !there.contains(&promised.delivery) {
                            there.push(promised.delivery.clone());
                        }
                    }
                }
            }
            for (release, promise) in &known.promises {
                let all = promise.needs.iter().all(|it| there.iter().any(|d| it.need.is_met_by(d)));
                assert_eq!(plan_waits(&known, release).is_ok(), all, "{release}: {known:?}");
                if all { promises_kept += 1 } else { refusals += 1 }
            }
        }
        assert!(refusals > 300 && promises_kept > 300, "{refusals} {promises_kept}");
    }
}
