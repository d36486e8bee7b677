//! What releases inside of a release wait for: whoever looks at the outer one is told, and by which command it goes on.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use windlass_engine::Release;
use windlass_model::graph::StepIndex;
use windlass_model::plan::Runs;

use crate::nested::Begun;
use crate::runtime::{Runtime, RuntimeError};
use crate::view::WithinView;

/// How many of them are told of.
const WITHIN_MAX: usize = 50;

impl Runtime {
    /// The releases that steps of this one began and that are not over, each followed by those inside of it.
    pub(crate) fn within<'r>(&'r self, release: &'r Release) -> BoxFuture<'r, Vec<WithinView>> {
        async move {
            let mut within = Vec::new();
            if release.outcome().is_some() {
                return within;
            }
            let plan = release.plan();
            let steps = plan.workflow().steps.iter().filter_map(|it| plan.index_of(&it.name));
            let steps: Vec<StepIndex> = steps.filter(|it| matches!(release.pin(*it).runs, Runs::Plan(_))).collect();
            let runs = steps.into_iter().flat_map(|step| std::iter::once(step).chain(release.all_items(step)));
            for run in runs.filter(|it| release.step(*it).state.activity().is_some()) {
                for id in Begun::of(release.step(run)).newest_first() {
                    if within.len() >= WITHIN_MAX {
                        return within;
                    }
                    let step = release.name_of(run).to_string();
                    match self.view(id).await {
                        Ok(inner) if inner.ended => {}
                        Ok(inner) => {
                            let waits = inner.waits.into_iter().filter(|it| !it.command.is_empty()).collect();
                            within.push(WithinView { release: inner.release, step, state: inner.state, waits });
                            within.extend(inner.within);
                        }
                        Err(RuntimeError::UnknownRelease(_)) => {}
                        Err(_) => {
                            let state = "unreadable".to_owned();
                            within.push(WithinView { release: id.to_string(), step, state, waits: Vec::new() });
                        }
                    }
                }
            }
            within
        }
        .boxed()
    }
}
