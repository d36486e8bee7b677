//! Where steps stand: a column right of all that they need, in the band of their phase; in a column in
//! the order that keeps edges short.

use std::collections::BTreeMap;

use crate::workflow::Workflow;

pub(super) const STEP_WIDTH: i64 = 190;
pub(super) const STEP_HEIGHT: i64 = 46;
const COLUMN_GAP: i64 = 56;
const ROW_GAP: i64 = 44;
const MARGIN: i64 = 24;
const TOP: i64 = 44;

pub(super) struct Layout {
    pub(super) width: i64,
    pub(super) height: i64,
    pub(super) bands: Vec<Band>,
    /// In the order of the workflow.
    pub(super) steps: Vec<Corner>,
}

/// The stripe of a phase.
pub(super) struct Band {
    pub(super) name: String,
    pub(super) left: i64,
    pub(super) width: i64,
}

/// The upper left corner of a step.
pub(super) struct Corner {
    pub(super) left: i64,
    pub(super) top: i64,
}

pub(super) fn layout(workflow: &Workflow) -> Layout {
    let columns = columns(workflow);
    let count = columns.iter().max().map_or(0, |it| it + 1);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (step, column) in columns.iter().enumerate() {
        members[*column].push(step);
    }
    order_rows(workflow, &mut members);
    let mut steps: Vec<Corner> = workflow.steps.iter().map(|_| Corner { left: 0, top: 0 }).collect();
    let rows = members.iter().map(Vec::len).max().unwrap_or(0) as i64;
    for (column, members) in members.iter().enumerate() {
        let missing = (rows - members.len() as i64) * (STEP_HEIGHT + ROW_GAP) / 2;
        for (row, step) in members.iter().enumerate() {
            let left = MARGIN + column as i64 * (STEP_WIDTH + COLUMN_GAP);
            steps[*step] = Corner { left, top: TOP + missing + row as i64 * (STEP_HEIGHT + ROW_GAP) };
        }
    }
    let bands = workflow
        .phases
        .iter()
        .filter_map(|phase| {
            let lefts = || {
                workflow
                    .steps
                    .iter()
                    .zip(&steps)
                    .filter(|(it, _)| it.phase.as_ref() == Some(phase))
                    .map(|(_, it)| it.left)
            };
            let left = lefts().min()? - COLUMN_GAP / 4;
            let right = lefts().max()? + STEP_WIDTH + COLUMN_GAP / 4;
            Some(Band { name: phase.to_string(), left, width: right - left })
        })
        .chain(last_band(workflow, &steps))
        .collect();
    Layout {
        width: MARGIN * 2 + (count as i64 * (STEP_WIDTH + COLUMN_GAP) - COLUMN_GAP).max(0),
        height: TOP + rows * (STEP_HEIGHT + ROW_GAP) + 8,
        bands,
        steps,
    }
}

/// The band of what runs last.
fn last_band(workflow: &Workflow, steps: &[Corner]) -> Option<Band> {
    let lefts = || workflow.steps.iter().zip(steps).filter(|(it, _)| it.finally).map(|(_, it)| it.left);
    let left = lefts().min()? - COLUMN_GAP / 4;
    let right = lefts().max()? + STEP_WIDTH + COLUMN_GAP / 4;
    Some(Band { name: "finally".to_owned(), left, width: right - left })
}

/// A step's column: after those of all that it needs and of the phases before its own. Needs that form a
/// circle end the search after as many rounds as there are steps.
fn columns(workflow: &Workflow) -> Vec<usize> {
    let places: BTreeMap<&str, usize> =
        workflow.steps.iter().enumerate().map(|(at, it)| (it.name.as_str(), at)).collect();
    let needs: Vec<Vec<usize>> = workflow
        .steps
        .iter()
        .map(|it| it.needs.iter().filter_map(|it| places.get(it.as_str()).copied()).collect())
        .collect();
    let mut columns = vec![0; workflow.steps.len()];
    let mut first = 0;
    // After all phases the steps without one, which begin wherever what they need allows, and then what runs last.
    let phases = workflow.phases.iter().map(|it| (Some(it), false)).chain([(None, false), (None, true)]);
    for (phase, finally) in phases {
        let is_member = |it: &usize| {
            let step = &workflow.steps[*it];
            step.phase.as_ref() == phase && step.finally == finally
        };
        let members: Vec<usize> = (0..workflow.steps.len()).filter(is_member).collect();
        let floor = if phase.is_some() || finally { first } else { 0 };
        members.iter().for_each(|it| columns[*it] = floor);
        for _ in 0..members.len() {
            let mut changed = false;
            for step in &members {
                let after = needs[*step].iter().map(|it| columns[*it] + 1).max().unwrap_or(floor).max(floor);
                changed |= after != columns[*step];
                columns[*step] = after;
            }
            if !changed {
                break;
            }
        }
        first = members.iter().map(|it| columns[*it] + 1).max().unwrap_or(first).max(first);
    }
    columns
}

/// Orders each column by the mean row of what its steps need.
fn order_rows(workflow: &Workflow, members: &mut [Vec<usize>]) {
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    for column in members {
        let mean = |step: usize| {
            let needed: Vec<usize> =
                workflow.steps[step].needs.iter().filter_map(|it| rows.get(it.as_str()).copied()).collect();
            if needed.is_empty() { usize::MAX } else { needed.iter().sum::<usize>() * 1000 / needed.len() }
        };
        column.sort_by_key(|it| mean(*it));
        for (row, step) in column.iter().enumerate() {
            rows.insert(workflow.steps[*step].name.as_str(), row);
        }
    }
}
