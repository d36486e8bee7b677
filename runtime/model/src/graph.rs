//! Who needs whom, as a directed acyclic graph.
//!
//! **Invariant:** petgraph's indices leave this module only as [`StepIndex`], a step's place in its
//! workflow, and never reach a journal.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::name::{PhaseName, StepName};
use crate::workflow::Workflow;

/// A step's place in its workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepIndex(u32);

impl StepIndex {
    /// For looking into a slice with one entry per step.
    pub fn as_usize(self) -> usize {
        self.0 as usize
    }

    /// A place beyond the steps of a workflow, for what an execution adds to them: the items of a step.
    pub fn beyond(at: usize) -> Self {
        Self(at as u32)
    }

    fn node(self) -> NodeIndex<u32> {
        NodeIndex::new(self.0 as usize)
    }
}

/// Who needs whom.
#[derive(Debug, Clone)]
pub struct Graph {
    edges: DiGraph<(), (), u32>,
    order: Vec<StepIndex>,
    /// Pairs of steps: the second is rolled back after the first, beside what follows from the edges.
    rollback_first: Vec<(StepIndex, StepIndex)>,
}

impl PartialEq for Graph {
    fn eq(&self, other: &Self) -> bool {
        let edges = |it: &Self| -> BTreeSet<(usize, usize)> {
            it.edges
                .edge_indices()
                .filter_map(|edge| it.edges.edge_endpoints(edge))
                .map(|(a, b)| (a.index(), b.index()))
                .collect()
        };
        self.order == other.order && self.rollback_first == other.rollback_first && edges(self) == edges(other)
    }
}

/// Why steps form no graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGraph {
    /// A step needs one that does not exist.
    #[error("step `{step}` needs `{needed}`, which does not exist")]
    UnknownStep {
        /// Who needs it.
        step: StepName,
        /// What is needed.
        needed: StepName,
    },
    /// A rollback would have no order.
    #[error("step `{step}` is to be rolled back after `{first}`, and that cannot be: {why}")]
    RollbackOrder {
        /// Which step.
        step: StepName,
        /// After which.
        first: StepName,
        /// Why not.
        why: &'static str,
    },
    /// Steps need each other in a circle, each the next, the last the first.
    #[error("steps need each other in a circle: {}", .0.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(" needs "))]
    Cycle(Vec<StepName>),
}

impl Graph {
    /// The graph of a workflow: declared needs, and the phases before a step's own.
    ///
    /// Between two phases stands no edge per pair of steps but those from the last steps of the one
    /// to the first steps of the other; an empty phase is passed over.
    pub fn of(workflow: &Workflow) -> Result<Self, InvalidGraph> {
        let mut edges = DiGraph::<(), (), u32>::with_capacity(workflow.steps.len(), workflow.steps.len() * 2);
        let mut places = BTreeMap::new();
        for step in &workflow.steps {
            places.insert(&step.name, edges.add_node(()));
        }
        for step in &workflow.steps {
            for needed in &step.needs {
                let from = places
                    .get(needed)
                    .ok_or_else(|| InvalidGraph::UnknownStep { step: step.name.clone(), needed: needed.clone() })?;
                edges.update_edge(*from, places[&step.name], ());
            }
        }
        add_phase_boundaries(workflow, &mut edges);
        match petgraph::algo::toposort(&edges, None) {
            Ok(order) => {
                let order = order.into_iter().map(|it| StepIndex(it.index() as u32)).collect();
                let rollback_first = rollback_order(workflow, &places, &edges)?;
                Ok(Self { edges, order, rollback_first })
            }
            Err(_) => Err(InvalidGraph::Cycle(shortest_cycle(workflow, &edges))),
        }
    }

    /// All steps, each after those it needs.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = StepIndex> + '_ {
        self.order.iter().copied()
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The steps that `step` waits for.
    pub fn parents(&self, step: StepIndex) -> impl Iterator<Item = StepIndex> + '_ {
        self.edges.neighbors_directed(step.node(), Direction::Incoming).map(|it| StepIndex(it.index() as u32))
    }

    /// All that `step` comes after.
    pub fn ancestors(&self, step: StepIndex) -> std::collections::BTreeSet<StepIndex> {
        let (mut open, mut seen) = (vec![step], std::collections::BTreeSet::new());
        while let Some(next) = open.pop() {
            open.extend(self.parents(next).filter(|it| seen.insert(*it)));
        }
        seen
    }

    /// The steps whose rollback `step` asks to wait for, beside those that follow it.
    pub fn rolled_back_before(&self, step: StepIndex) -> impl Iterator<Item = StepIndex> + '_ {
        self.rollback_first.iter().filter(move |(_, later)| *later == step).map(|(first, _)| *first)
    }

    /// The steps that ask to be rolled back after `step`, beside those that it needs.
    pub fn rolled_back_after(&self, step: StepIndex) -> impl Iterator<Item = StepIndex> + '_ {
        self.rollback_first.iter().filter(move |(first, _)| *first == step).map(|(_, later)| *later)
    }

    /// The steps that wait for `step`.
    pub fn children(&self, step: StepIndex) -> impl Iterator<Item = StepIndex> + '_ {
        self.edges.neighbors_directed(step.node(), Direction::Outgoing).map(|it| StepIndex(it.index() as u32))
    }
}

/// What `rollback_after` asks for, when a rollback then still has an order.
fn rollback_order(
    workflow: &Workflow,
    places: &BTreeMap<&StepName, NodeIndex<u32>>,
    edges: &DiGraph<(), (), u32>,
) -> Result<Vec<(StepIndex, StepIndex)>, InvalidGraph> {
    let mut pairs = Vec::new();
    let mut order = edges.clone();
    order.reverse();
    for step in &workflow.steps {
        for first in &step.rollback_after {
            let from = *places
                .get(first)
                .ok_or_else(|| InvalidGraph::UnknownStep { step: step.name.clone(), needed: first.clone() })?;
            let to = places[&step.name];
            if from == to || petgraph::algo::has_path_connecting(&order, to, from, None) {
                let why = if from == to {
                    "it is the step itself"
                } else if petgraph::algo::has_path_connecting(edges, from, to, None) {
                    "it runs after that step, so its effect goes first"
                } else {
                    "that step waits for it in a rollback"
                };
                return Err(InvalidGraph::RollbackOrder { step: step.name.clone(), first: first.clone(), why });
            }
            order.update_edge(from, to, ());
            pairs.push((StepIndex(from.index() as u32), StepIndex(to.index() as u32)));
        }
    }
    Ok(pairs)
}

fn add_phase_boundaries(workflow: &Workflow, edges: &mut DiGraph<(), (), u32>) {
    let in_phase = |phase: &PhaseName| -> BTreeSet<NodeIndex<u32>> {
        let steps = workflow.steps.iter().enumerate();
        steps.filter(|(_, it)| it.phase.as_ref() == Some(phase)).map(|(at, _)| NodeIndex::new(at)).collect()
    };
    let phases: Vec<_> = workflow.phases.iter().map(in_phase).filter(|it| !it.is_empty()).collect();
    for pair in phases.windows(2) {
        let ends = |it: &&NodeIndex<u32>, set: &BTreeSet<_>, way| {
            !edges.neighbors_directed(**it, way).any(|other| set.contains(&other))
        };
        let last: Vec<_> = pair[0].iter().filter(|it| ends(it, &pair[0], Direction::Outgoing)).copied().collect();
        let first: Vec<_> = pair[1].iter().filter(|it| ends(it, &pair[1], Direction::Incoming)).copied().collect();
        for from in &last {
            for to in &first {
                edges.update_edge(*from, *to, ());
            }
        }
    }
}

/// A short circle for each group of steps that need each other, given what each needs, in the order
/// "needs"; for steps that are not a workflow yet.
pub(crate) fn circles(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut edges = DiGraph::<(), (), u32>::with_capacity(needs.len(), needs.len() * 2);
    for _ in needs {
        edges.add_node(());
    }
    for (at, needed) in needs.iter().enumerate() {
        for from in needed {
            edges.update_edge(NodeIndex::new(*from), NodeIndex::new(at), ());
        }
    }
    let mut found: Vec<Vec<usize>> = petgraph::algo::tarjan_scc(&edges)
        .into_iter()
        .filter(|it| it.len() > 1)
        .filter_map(|mut group| {
            group.sort();
            let shortest =
                group.iter().take(CIRCLE_STARTS_MAX).filter_map(|it| cycle_from(*it, &edges)).min_by_key(Vec::len)?;
            // It begins with the step that stands first in the file, and does not repeat it at its end.
            let mut circle: Vec<usize> = shortest.into_iter().map(NodeIndex::index).collect();
            circle.pop();
            let first = circle.iter().enumerate().min_by_key(|(_, it)| **it).map_or(0, |(at, _)| at);
            circle.rotate_left(first);
            Some(circle)
        })
        .collect();
    found.sort();
    found
}

/// From how many steps of a group a short circle is looked for.
const CIRCLE_STARTS_MAX: usize = 20;

/// A circle with as few steps as there is, in the order "needs".
fn shortest_cycle(workflow: &Workflow, edges: &DiGraph<(), (), u32>) -> Vec<StepName> {
    let mut best: Vec<NodeIndex<u32>> = Vec::new();
    for component in petgraph::algo::tarjan_scc(edges) {
        for start in &component {
            if let Some(cycle) = cycle_from(*start, edges)
                && (best.is_empty() || cycle.len() < best.len())
            {
                best = cycle;
            }
        }
    }
    best.into_iter().map(|it| workflow.steps[it.index()].name.clone()).collect()
}

/// Breadth first against the edges, from a step back to itself.
fn cycle_from(start: NodeIndex<u32>, edges: &DiGraph<(), (), u32>) -> Option<Vec<NodeIndex<u32>>> {
    let mut came_from = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for needed in edges.neighbors_directed(at, Direction::Incoming) {
            if needed == start {
                let mut path = vec![at];
                while let Some(before) = path.last().and_then(|it| came_from.get(it)) {
                    path.push(*before);
                }
                path.reverse();
                path.push(start);
                return Some(path);
            }
            if let std::collections::btree_map::Entry::Vacant(entry) = came_from.entry(needed) {
                entry.insert(at);
                queue.push_back(needed);
            }
        }
    }
    None
}
