//! Releases that wait for each other in a circle: one keeps its place in a concurrency group while it is held for a
//! service, and who is to deliver that waits for this very place; or two take two groups in opposite orders, by releases
//! inside of them. Nobody of them goes on until a person does something.
//!
//! What is asked is whether a release will end, or deliver something. It will not if something of that waits only for
//! what will not come about either. Who waits for nobody that is known may be helped from elsewhere, and is in no
//! circle.
//!
//! **Invariant:** nothing is kept: a circle is found by who looks at a release in it, from how releases stand.

use std::collections::{BTreeMap, BTreeSet};

use windlass_engine::{Release, StepState};
use windlass_model::event::{HeldBy, Operation};
use windlass_model::graph::StepIndex;
use windlass_model::name::ReleaseId;
use windlass_model::plan::Runs;
use windlass_model::service::Promise;

use crate::nested::Begun;
use crate::runtime::{Runtime, RuntimeError};
use crate::view::ReleaseView;

/// How much is looked at: where more hangs together, nothing is said.
const GOALS_MAX: usize = 200;

/// Something that is to come about: the end of a release, or that one of its steps delivers; a step of one inside of
/// it is `outer/inner`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Goal {
    pub(crate) release: String,
    pub(crate) step: Option<String>,
}

impl Goal {
    pub(crate) fn end(release: &ReleaseId) -> Self {
        Self { release: release.to_string(), step: None }
    }
}

/// What something waits for, and that any of these ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Of which step; none when the release as a whole waits.
    pub(crate) step: Option<String>,
    /// In words, without who: `waits for a place in group prod, which ledger-1 has`.
    pub(crate) text: String,
    pub(crate) any_of: Vec<Goal>,
    /// Whether it waits for a place that others have.
    pub(crate) is_for_place: bool,
}

/// All that is known of who waits for whom.
type Graph = BTreeMap<Goal, Vec<Waits>>;

/// A circle, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Circle {
    /// Link by link.
    pub(crate) links: Vec<String>,
    /// Who has a place for which another one in it waits; else the first.
    pub(crate) holder: String,
}

impl Circle {
    pub(crate) fn text(&self) -> String {
        format!("nobody goes on: {}: it is a circle", self.links.join("; "))
    }
}

/// What will not come about: each waits only for what will not, either.
fn stuck(graph: &Graph) -> BTreeSet<&Goal> {
    let mut stuck: BTreeSet<&Goal> = graph.keys().collect();
    loop {
        let is_stuck = |goal: &&Goal| graph[*goal].iter().any(|it| is_in_vain(it, &stuck));
        let still: BTreeSet<&Goal> = stuck.iter().copied().filter(is_stuck).collect();
        if still.len() == stuck.len() {
            return still;
        }
        stuck = still;
    }
}

fn is_in_vain(waits: &Waits, stuck: &BTreeSet<&Goal>) -> bool {
    !waits.any_of.is_empty() && waits.any_of.iter().all(|it| stuck.contains(it))
}

/// The circle in which one of a goal's waits ends, if it does.
fn circle(graph: &Graph, goal: &Goal, first: &Waits) -> Option<Circle> {
    let stuck = stuck(graph);
    if !is_in_vain(first, &stuck) {
        return None;
    }
    let (mut goal, mut waits, mut seen) = (goal, first, BTreeSet::new());
    let (mut links, mut holder) = (Vec::new(), None);
    // The end of a release and what it delivers may wait for the same.
    while seen.insert((&goal.release, &waits.text)) {
        links.push(format!("{} {}", goal.release, waits.text));
        let next = waits.any_of.first()?;
        if waits.is_for_place {
            holder = Some(next.release.clone());
        }
        let (next, theirs) = graph.get_key_value(next)?;
        (goal, waits) = (next, theirs.iter().find(|it| is_in_vain(it, &stuck))?);
    }
    Some(Circle { holder: holder.unwrap_or_else(|| goal.release.clone()), links })
}

/// A release that does not exist yet: what it would wait for, and what it would deliver.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) name: &'static str,
    pub(crate) waits: Waits,
    pub(crate) promise: Promise,
}

impl Runtime {
    /// All that the coming about of a goal depends on; none where that is too much.
    async fn goals(&self, first: Vec<Goal>, planned: Option<&Planned>) -> Result<Option<Graph>, RuntimeError> {
        let (mut graph, mut open) = (Graph::new(), first);
        let mut releases: BTreeMap<String, Option<Box<Release>>> = BTreeMap::new();
        while let Some(goal) = open.pop() {
            if graph.contains_key(&goal) {
                continue;
            }
            if graph.len() == GOALS_MAX {
                return Ok(None);
            }
            let waits = match planned.filter(|it| it.name == goal.release) {
                Some(planned) => vec![planned.waits.clone()],
                None => {
                    if !releases.contains_key(&goal.release) {
                        let read = match goal.release.parse() {
                            Ok(id) => self.release(&id).await,
                            Err(_) => continue,
                        };
                        let release = match read {
                            Ok(release) => Some(release),
                            Err(RuntimeError::UnknownRelease(_)) => None,
                            Err(error) => return Err(error),
                        };
                        releases.insert(goal.release.clone(), release);
                    }
                    let release = releases[&goal.release].as_deref();
                    release.map_or_else(Vec::new, |it| self.waits_of(it, goal.step.as_deref(), planned))
                }
            };
            open.extend(waits.iter().flat_map(|it| it.any_of.iter().cloned()));
            graph.insert(goal, waits);
        }
        Ok(Some(graph))
    }

    /// What the end of a release, or what a step of it delivers, waits for.
    fn waits_of(&self, release: &Release, step: Option<&str>, planned: Option<&Planned>) -> Vec<Waits> {
        if release.outcome().is_some() {
            return Vec::new();
        }
        if release.is_queued() {
            return self.waits_for_place(release.id()).into_iter().collect();
        }
        let plan = release.plan();
        let (first, rest) = step.map_or(("", None), |it| it.split_once('/').map_or((it, None), |(a, b)| (a, Some(b))));
        let target = first.parse().ok().and_then(|it| plan.index_of(&it));
        let ancestors = target.map(|it| plan.graph().ancestors(it));
        let concerns = |it: StepIndex| {
            let place = release.definition_index(it);
            ancestors.as_ref().is_none_or(|before| before.contains(&place) || target == Some(place))
        };
        let mut all = Vec::new();
        for (call, hold) in release.held_calls().filter(|(call, _)| concerns(call.step)) {
            if let HeldBy::Service(need) = &hold.by {
                let step = release.name_of(call.step);
                let by: Vec<Goal> = self.inner.services.deliverers(release, call.step, need, planned);
                // What it is to deliver itself is under way, or waits for something that is told of anyway.
                if by.iter().any(|it| it.release == release.id().to_string()) {
                    continue;
                }
                let whom = by.iter().map(|it| it.release.as_str()).collect::<BTreeSet<_>>();
                let whom = whom.into_iter().collect::<Vec<_>>().join(" or ");
                let text = format!("waits for {need} (step `{step}`), which {whom} is to deliver");
                all.push(Waits { step: Some(step.to_string()), text, any_of: by, is_for_place: false });
            }
        }
        let items = plan.graph().steps().flat_map(|it| release.all_items(it));
        for index in plan.graph().steps().chain(items).filter(|it| concerns(*it)) {
            let run = release.step(index);
            let StepState::Active(activity) = &run.state else { continue };
            if !matches!(release.pin(index).runs, Runs::Plan(_)) {
                continue;
            }
            let (step, begun) = (release.name_of(index), Begun::of(run));
            let inside = rest.filter(|_| Some(release.definition_index(index)) == target);
            // A rollback is one of all that the step began.
            let waited_for: Vec<_> = match activity.operation {
                Operation::Rollback => begun.newest_first().collect(),
                Operation::Start | Operation::Cancel => begun.last_of_this_run().into_iter().collect(),
            };
            for inner in waited_for {
                let text = format!("waits for {inner}, which its step `{step}` began");
                let any_of = vec![Goal { release: inner.to_string(), step: inside.map(str::to_owned) }];
                all.push(Waits { step: Some(step.to_string()), text, any_of, is_for_place: false });
            }
        }
        all
    }

    /// Tells of the circles that a release's waits end in.
    pub(crate) async fn tell_circles(&self, release: &Release, view: &mut ReleaseView) -> Result<(), RuntimeError> {
        // Somebody in a circle waits for a place: needs alone that will never be met are refused, or told as such.
        if self.nobody_waits() {
            return Ok(());
        }
        let waits = self.waits_of(release, None, None);
        if waits.is_empty() {
            return Ok(());
        }
        let goal = Goal::end(release.id());
        let Some(graph) = self.goals(vec![goal.clone()], None).await? else { return Ok(()) };
        for first in &waits {
            let Some(circle) = circle(&graph, &goal, first) else { continue };
            let step = first.step.as_deref().unwrap_or_default();
            let is_it = |cause: &str| matches!(cause, "queue" | "service" | "outside");
            let Some(wait) = view.waits.iter_mut().find(|it| it.step == step && is_it(&it.cause)) else { continue };
            wait.text = format!("{}; {}", wait.text, circle.text());
            wait.command = format!("windlass release cancel {} --reason …", circle.holder);
            wait.owner = format!("whoever answers for {}", circle.holder);
            view.headline = if step.is_empty() { wait.text.clone() } else { format!("{step}: {}", wait.text) };
            wait.circle = circle.links;
        }
        Ok(())
    }

    /// The circle that a release would close which begins with this wait and would deliver this.
    pub(crate) async fn would_close(&self, planned: Planned) -> Result<Option<Circle>, RuntimeError> {
        let goal = Goal { release: planned.name.to_owned(), step: None };
        let graph = self.goals(vec![goal.clone()], Some(&planned)).await?;
        Ok(graph.and_then(|it| circle(&it, &goal, &planned.waits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a > b | c` waits for either; `a >> b` for a place that b has; a line each.
    fn graph(text: &str) -> Graph {
        let goal = |it: &str| Goal { release: it.trim().to_owned(), step: None };
        let mut graph = Graph::new();
        for line in text.split(';').map(str::trim) {
            let (who, whom) = line.split_once('>').expect("who > whom");
            let is_for_place = whom.starts_with('>');
            let any_of: Vec<Goal> = whom.trim_start_matches('>').split('|').map(goal).collect();
            for one in &any_of {
                graph.entry(one.clone()).or_default();
            }
            let text = format!("waits for {}", any_of[0].release);
            graph.entry(goal(who)).or_default().push(Waits { step: None, text, any_of, is_for_place });
        }
        graph
    }

    fn told(text: &str, who: &str) -> Option<(String, String)> {
        let graph = graph(text);
        let (goal, waits) = graph.get_key_value(&Goal { release: who.to_owned(), step: None })?;
        let circle = waits.iter().find_map(|it| circle(&graph, goal, it))?;
        Some((circle.text(), circle.holder))
    }

    #[test]
    fn a_circle_is_told_from_wherever_one_looks() {
        let pair = "pay >ledger; ledger >>pay";
        let expected = "nobody goes on: pay waits for ledger; ledger waits for pay: it is a circle";
        assert_eq!(told(pair, "pay"), Some((expected.to_owned(), "pay".to_owned())));
        let (text, holder) = told(pair, "ledger").expect("a circle");
        assert!(text.starts_with("nobody goes on: ledger waits for pay; pay waits") && holder == "pay", "{text}");
        // One that only waits for who is in it.
        assert!(told("web >pay; pay >ledger; ledger >>pay", "web").is_some());
        // Opposite orders: each has what the other one's inner release waits for.
        assert!(told("one >in-one; in-one >>two; two >in-two; in-two >>one", "in-two").is_some());
    }

    #[test]
    fn who_may_yet_be_helped_is_in_no_circle() {
        // Another holder, or another who delivers, goes on.
        assert_eq!(told("pay >ledger; ledger >>pay | other", "pay"), None);
        assert_eq!(told("pay >ledger | spare; ledger >>pay", "ledger"), None);
        assert_eq!(told("pay >ledger", "pay"), None);
        // That one waits in the circle, too.
        assert!(told("pay >ledger; ledger >>pay | other; other >ledger", "pay").is_some());
        // All that one waits for is needed.
        assert!(told("pay >ledger; pay >free; ledger >>pay", "pay").is_some());
    }
}
