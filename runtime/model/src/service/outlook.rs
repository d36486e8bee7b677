//! What will come about of all that is promised: worked out once, from what is live.
//!
//! Each delivery counts the needs before it that are not met. One whose count is nought is possible, and meets needs
//! in its turn. So each delivery and each need is visited once; only within one place is each version held against
//! each requirement that is still unmet there.

use std::collections::BTreeMap;

use super::solve::Known;
use super::{Delivery, Need, Place, PromisedDelivery, PromisedNeed};

/// A delivery that a release promises.
pub(super) struct Coming<'k> {
    pub(super) release: &'k str,
    pub(super) promised: &'k PromisedDelivery,
    /// All that its release needs.
    pub(super) needs: &'k [PromisedNeed],
    pub(super) is_possible: bool,
    /// How many needs before it are not met.
    missing: usize,
}

/// A need as often as somebody has it.
struct Wanted<'k> {
    need: &'k Need,
    /// The deliveries that wait for it.
    before: Vec<usize>,
}

/// What will come about.
pub(super) struct Outlook<'k> {
    known: &'k Known,
    /// By release, each in the order of its promise.
    coming: Vec<Coming<'k>>,
    by_place: BTreeMap<&'k Place, Vec<usize>>,
}

impl<'k> Outlook<'k> {
    pub(super) fn of(known: &'k Known) -> Self {
        let mut outlook = Self { known, coming: Vec::new(), by_place: BTreeMap::new() };
        let mut wanted: BTreeMap<&Place, BTreeMap<String, Wanted<'_>>> = BTreeMap::new();
        for (release, promise) in &known.promises {
            let first = outlook.coming.len();
            for promised in &promise.deliveries {
                outlook.by_place.entry(&promised.delivery.place).or_default().push(outlook.coming.len());
                let needs = promise.needs.as_slice();
                outlook.coming.push(Coming { release, promised, needs, is_possible: false, missing: 0 });
            }
            let mut before = vec![Vec::new(); promise.needs.len()];
            for (at, promised) in promise.deliveries.iter().enumerate() {
                promised.after.iter().for_each(|it| before[*it].push(first + at));
            }
            for (PromisedNeed { need, .. }, before) in promise.needs.iter().zip(before) {
                if before.is_empty() || known.is_live(need) {
                    continue;
                }
                before.iter().for_each(|it| outlook.coming[*it].missing += 1);
                let here = wanted.entry(&need.place).or_default();
                let wanted = here.entry(need.version.to_string()).or_insert(Wanted { need, before: Vec::new() });
                wanted.before.extend(before);
            }
        }
        outlook.settle(wanted);
        outlook
    }

    fn settle(&mut self, mut wanted: BTreeMap<&Place, BTreeMap<String, Wanted<'_>>>) {
        let mut open: Vec<usize> = (0..self.coming.len()).filter(|it| self.coming[*it].missing == 0).collect();
        while let Some(next) = open.pop() {
            self.coming[next].is_possible = true;
            let delivery = &self.coming[next].promised.delivery;
            let Some(here) = wanted.get_mut(&delivery.place) else { continue };
            let mut met = Vec::new();
            here.retain(|_, it| {
                let is_met = meets(it.need, delivery);
                if is_met {
                    met.append(&mut it.before);
                }
                !is_met
            });
            for at in met {
                self.coming[at].missing -= 1;
                if self.coming[at].missing == 0 {
                    open.push(at);
                }
            }
        }
    }

    /// The deliveries to this place, in the order of the releases' names.
    pub(super) fn to(&self, place: &Place) -> impl Iterator<Item = &Coming<'k>> {
        self.by_place.get(place).into_iter().flatten().map(|it| &self.coming[*it])
    }

    /// The first delivery that would meet a need, whether it can come about or not.
    pub(super) fn promised(&self, need: &Need) -> Option<&Coming<'k>> {
        self.to(&need.place).find(|it| meets(need, &it.promised.delivery))
    }

    /// The first delivery that will meet a need.
    pub(super) fn deliverer(&self, need: &Need) -> Option<&Coming<'k>> {
        self.to(&need.place).find(|it| it.is_possible && meets(need, &it.promised.delivery))
    }

    pub(super) fn will_be_met(&self, need: &Need) -> bool {
        self.known.is_live(need) || self.deliverer(need).is_some()
    }
}

fn meets(need: &Need, delivery: &Delivery) -> bool {
    #[cfg(test)]
    COMPARED.set(COMPARED.get() + 1);
    need.is_met_by(delivery)
}

#[cfg(test)]
std::thread_local! {
    /// How often a delivery was held against a need.
    pub(super) static COMPARED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
