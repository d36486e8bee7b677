//! Between what a dry run keeps of a step and its written shape.

use windlass_model::dry_run::{DryRun, Origin, Would};
use windlass_model::name::ReleaseId;

use super::Garbled;
use super::convert::to_name;
use super::v1;

pub(super) fn from_dry_run(it: &DryRun) -> v1::DryRun<'_> {
    let would = it.would.iter();
    v1::DryRun {
        would: would.map(|it| v1::Would { what: &it.what, body: &it.body, body_bytes: it.body_bytes }).collect(),
        omitted: it.omitted,
        origin: match &it.origin {
            Origin::Plugin => v1::Origin::Plugin,
            Origin::Release(it) => v1::Origin::Release { workflow: it.workflow().as_str(), number: it.number() },
            Origin::Schema => v1::Origin::Schema,
        },
        note: it.note.as_deref(),
    }
}

pub(super) fn to_dry_run(it: v1::DryRun<'_>) -> Result<DryRun, Garbled> {
    let would = it.would.into_iter();
    Ok(DryRun {
        would: would
            .map(|it| Would { what: it.what.to_owned(), body: it.body.to_owned(), body_bytes: it.body_bytes })
            .collect(),
        omitted: it.omitted,
        origin: match it.origin {
            v1::Origin::Plugin => Origin::Plugin,
            v1::Origin::Release { workflow, number } => Origin::Release(ReleaseId::new(to_name(workflow)?, number)),
            v1::Origin::Schema => Origin::Schema,
        },
        note: it.note.map(str::to_owned),
    })
}
