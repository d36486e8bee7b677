//! What releases need before they begin, and how they stand in their queues, both ways.

use windlass_model::concurrency::{Claim, Group, Priority, QueueOrder, Standing};

use super::convert::to_name;
use super::{Garbled, v1};

pub(super) fn from_claim(claim: &Claim) -> v1::Claim<'_> {
    v1::Claim {
        group: claim.group.as_ref().map(|it| v1::Group {
            name: &it.name,
            order: match it.order {
                QueueOrder::Unordered => v1::QueueOrder::Unordered,
                QueueOrder::OldestFirst => v1::QueueOrder::OldestFirst,
                QueueOrder::NewestFirst => v1::QueueOrder::NewestFirst,
                QueueOrder::LatestOnly => v1::QueueOrder::LatestOnly,
            },
            limit: it.limit,
        }),
        tenant: claim.tenant.as_str(),
        priority: match claim.priority {
            Priority::Urgent => v1::Priority::Urgent,
            Priority::Normal => v1::Priority::Normal,
            Priority::Low => v1::Priority::Low,
        },
    }
}

pub(super) fn to_claim(claim: v1::Claim<'_>) -> Result<Claim, Garbled> {
    let group = claim.group.map(|it| Group {
        name: it.name.to_owned(),
        order: match it.order {
            v1::QueueOrder::Unordered => QueueOrder::Unordered,
            v1::QueueOrder::OldestFirst => QueueOrder::OldestFirst,
            v1::QueueOrder::NewestFirst => QueueOrder::NewestFirst,
            v1::QueueOrder::LatestOnly => QueueOrder::LatestOnly,
        },
        limit: it.limit,
    });
    let priority = match claim.priority {
        v1::Priority::Urgent => Priority::Urgent,
        v1::Priority::Normal => Priority::Normal,
        v1::Priority::Low => Priority::Low,
    };
    Ok(Claim { group, tenant: to_name(claim.tenant)?, priority })
}

pub(super) fn from_standing(standing: &Standing) -> v1::Standing<'_> {
    v1::Standing { claim: from_claim(&standing.claim), admitted: standing.admitted, counted: standing.counted }
}

pub(super) fn to_standing(standing: v1::Standing<'_>) -> Result<Standing, Garbled> {
    Ok(Standing { claim: to_claim(standing.claim)?, admitted: standing.admitted, counted: standing.counted })
}
