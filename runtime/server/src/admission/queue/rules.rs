//! What holds in a queue after whatever happened, looked at from outside of its books.

use windlass_model::concurrency::QueueOrder;
use windlass_model::time::Timestamp;

use super::{Member, Phase, Queue};

impl Queue {
    /// Counts everything anew, and looks whether somebody waits who could go.
    pub(crate) fn assert_rules(&self, now: Timestamp, seed: u64) {
        let running =
            |of: &dyn Fn(&Member) -> bool| self.members.values().filter(|it| it.runs() && of(it)).count() as u32;
        for (name, state) in &self.groups {
            let count = running(&|it| it.group() == Some(name));
            assert!(count == state.running && count <= state.limit, "seed {seed}: group {name}: {count}: {state:?}");
        }
        for (tenant, counts) in &self.tenants {
            let count = running(&|it| it.tenant() == Some(tenant));
            let limit = self.limits.of(tenant).releases.unwrap_or(u32::MAX);
            assert!(count == counts.running && count <= limit, "seed {seed}: {tenant}: {count}: {counts:?}");
        }
        let count = running(&|it| it.counted);
        let limit = self.limits.installation().releases.unwrap_or(u32::MAX);
        assert!(count == self.total.running && count <= limit, "seed {seed}: {count} run of {limit}");
        let waiting = self.members.values().filter(|it| it.waits() && it.counted).count() as u32;
        assert_eq!(waiting, self.total.waiting, "seed {seed}");
        let lined: usize = self.lines.values().flat_map(|it| it.values()).map(|it| it.places().count()).sum();
        let standing = self.members.values().filter(|it| it.phase == Phase::Waiting).count();
        assert_eq!(lined, standing, "seed {seed}");
        for (release, member) in self.members.iter().filter(|(_, it)| it.phase == Phase::Waiting) {
            let state = member.group().and_then(|it| self.groups.get(it));
            let Some(state) = state.filter(|it| it.order == QueueOrder::LatestOnly) else { continue };
            let is_late = state.begun.as_ref().is_some_and(|it| member.place(release) < *it);
            assert!(!is_late, "seed {seed}: {release} would come after {:?}", state.begun);
        }
        let keys: Vec<Option<String>> = self.lines.keys().cloned().collect();
        assert_eq!(self.next(&keys, now), None, "seed {seed}: somebody could go");
        for (release, member) in &self.members {
            let is_told = self.explain(release, now).is_some();
            assert_eq!(is_told, member.phase == Phase::Waiting, "seed {seed}: {release}: {member:?}");
        }
    }
}
