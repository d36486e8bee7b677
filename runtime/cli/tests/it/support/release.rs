//! The release that the crash tests make.

use super::{Counterparts, Site, job};

/// Build, change, task, approval, deployment.
pub(crate) const PAYMENTS: &str = r#"windlass: v1
workflow: payments
parameters:
  version: { type: string, pattern: '^\d+\.\d+\.\d+$' }
phases: [build, change, production]
steps:
  build:
    phase: build
    uses: jenkins/trigger-build@^0.1
    connection: ci
    with: { job: build, parameters: { VERSION: '${{ parameters.version }}' }, poll_interval: 200ms }
    timeout: 1m
  change:
    phase: change
    needs: [build]
    uses: servicenow/create-change@^0.1
    connection: itsm
    with: { short_description: 'Release payments ${{ parameters.version }}' }
  task:
    phase: change
    needs: [change]
    uses: servicenow/create-task@^0.1
    connection: itsm
    with: { change: '${{ steps.change.output.number }}', short_description: Bring it into production }
  deploy:
    phase: production
    needs: [task]
    gates:
      - approval: { from: group:release-managers, min: 1, message: 'Deploy ${{ parameters.version }}?' }
    uses: jenkins/trigger-build@^0.1
    connection: ci
    with: { job: deploy, parameters: { VERSION: '${{ parameters.version }}' }, poll_interval: 200ms }
    timeout: 1m
    on_failure: rollback
"#;

/// Its id.
pub(crate) const RELEASE: &str = "payments-1";

/// How the deployment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deployment {
    Succeeds,
    Fails,
}

impl Deployment {
    /// One effect per step; none more, none less.
    pub(crate) fn effects(self) -> Vec<(&'static str, usize)> {
        let done = [
            ("build.queued build", 1),
            ("build.queued deploy", 1),
            ("build.started build", 1),
            ("build.started deploy", 1),
            ("change.created", 1),
            ("task.created", 1),
        ];
        let rolled_back = [("change.updated", 1), ("task.updated", 1)];
        match self {
            Self::Succeeds => done.to_vec(),
            Self::Fails => {
                let mut all = [&done[..], &rolled_back[..]].concat();
                all.sort_unstable();
                all
            }
        }
    }

    /// How the release ends.
    pub(crate) fn state(self) -> &'static str {
        match self {
            Self::Succeeds => "succeeded",
            Self::Fails => "rolled back",
        }
    }
}

/// An installation and counterparts on which [`PAYMENTS`] can be released.
pub(crate) fn payments(deployment: Deployment, build_ms: u64, deploy_ms: u64) -> (Site, Counterparts) {
    let counterparts = Counterparts::start();
    let result = if deployment == Deployment::Succeeds { "SUCCESS" } else { "FAILURE" };
    assert!(counterparts.jenkins.configure_job(job("build", build_ms, "SUCCESS")), "this is Jenkins");
    assert!(counterparts.jenkins.configure_job(job("deploy", deploy_ms, result)), "this is Jenkins");
    let site = Site::new();
    counterparts.declare(&site);
    site.write("payments.yaml", PAYMENTS);
    (site, counterparts)
}
