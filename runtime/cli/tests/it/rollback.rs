//! A deployment that fails rolls back what was done before it, the last step first; the release tells so.

use expect_test::expect;

use crate::support::release::{Deployment, RELEASE, payments};
use crate::support::scrubbed;

#[test]
fn a_failing_deployment_is_rolled_back_in_the_right_order() {
    let (site, counterparts) = payments(Deployment::Fails, 0, 0);
    let _serve = site.serve();
    site.good(&["run", "payments.yaml", "--param", "version=1.2.3", "--detach"]);
    site.until(RELEASE, "it waits for approval", |it| it.waits.iter().any(|it| it.cause == "approval"));
    site.good(&["release", "approve", RELEASE, "--as", "ana", "--comment", "go"]);
    let view = site.ended(RELEASE);
    assert_eq!((view.state.as_str(), view.succeeded), ("rolled back", false));

    // In the order of the counterpart: the task goes before the change that it belongs to.
    let changes: Vec<String> = counterparts.servicenow.effects().into_iter().map(|it| it.kind).collect();
    assert_eq!(changes, ["change.created", "task.created", "task.updated", "change.updated"]);

    let shown = site.good(&["release", "show", RELEASE]).stdout;
    expect![[r#"
        payments-1  rolled back (step deploy failed) · SPAN
        ├─ build
        │  └─ ✔ build   jenkins/trigger-build           SPAN [build #1: URL]
        ├─ change
        │  ├─ ↩ change  servicenow/create-change        SPAN  rolled back [CHG0000001: URL?uri=%2Fchange_request.do%3Fsys_id%DIGEST]
        │  └─ ↩ task    servicenow/create-task          SPAN  rolled back
        └─ production
           └─ ✘ deploy  jenkins/trigger-build           SPAN  failed: build-failed (rejected): build #1 of `deploy` failed: see URL [build #1: URL]
        ▸ the review of its rollback is open: why did it have to be?
          windlass release cause payments-1 --category … --cause …

        TIME          USER asked for payments-1 with {"version":"1.2.3"}; plan DIGEST, pinned jenkins@0.1.0 (DIGEST), servicenow@0.1.0 (DIGEST)
        TIME  build   starts, attempt 1
        TIME  build   checkpoint intent is done
        TIME  build   succeeded
        TIME  change  starts, attempt 1
        TIME  change  checkpoint correlation-id is done
        TIME  change  succeeded
        TIME  task    starts, attempt 1
        TIME  task    checkpoint correlation-id is done
        TIME  task    succeeded
        TIME  deploy  waits for approval: Deploy 1.2.3?
        TIME  deploy  approved by ana (asserted by local user USER): go
        TIME  deploy  starts, attempt 1
        TIME  deploy  checkpoint intent is done
        TIME  deploy  failed: build-failed (rejected): build #1 of `deploy` failed: see URL; no further attempt
        TIME  deploy  nothing new starts; the release is rolled back when its running steps have ended
        TIME          rollback begins (step deploy failed)
        TIME  task    is being rolled back, attempt 1
        TIME  task    succeeded
        TIME  change  is being rolled back, attempt 1
        TIME  change  succeeded
        TIME          the release ended: rolled back
    "#]].assert_eq(&scrubbed(&shown, |line| line.contains("looks again") || line.contains("  waits: ")));
}
