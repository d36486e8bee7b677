//! Inputs that follow from a release's parameters.

use serde_json::json;
use windlass_model::check::{Installed, PluginLookup, check_inputs_given};
use windlass_model::manifest::Manifest;
use windlass_model::parse::validate;
use windlass_model::plan::Plan;
use windlass_model::problem::{Color, Source, render};

use crate::catalog::installed;

fn plan(steps: &str, catalog: &Installed) -> Plan {
    let text = format!(
        "windlass: v1\nworkflow: w\nparameters:\n  job: {{ type: string }}\n  every: {{ type: string }}\nsteps:\n{steps}"
    );
    let source = Source::new("test.yaml", text);
    let (plan, problems) = validate(&source, catalog);
    assert!(problems.is_empty(), "{}", render(&source, &problems, Color::None));
    plan.expect("no problems").1
}

/// What is told of a step with this input and these further keys.
fn told(with: &str, more: &str) -> Vec<String> {
    let catalog = installed();
    let jenkins: &Manifest = match windlass_model::check::Catalog::plugin(
        &catalog,
        &"jenkins".parse().expect("a name"),
        &semver::VersionReq::STAR,
    ) {
        PluginLookup::Found { manifest, .. } => manifest,
        _ => panic!("it is there"),
    };
    let steps = format!(
        "  first: {{ uses: jenkins/trigger-build, connection: ci, with: {{ job: x }} }}\n  build: {{ uses: jenkins/trigger-build, connection: ci, with: {with}{more} }}\n"
    );
    let parameters = json!({ "job": "payments", "every": "often" });
    check_inputs_given(&plan(&steps, &catalog), &parameters, |_| Some(jenkins))
}

#[test]
fn what_parameters_make_wrong_is_told_before_anything_begins() {
    assert_eq!(
        told("{ job: '${{ parameters.job }}', poll_interval: '${{ parameters.every }}' }", ""),
        [
            "step `build`: the input of `jenkins/trigger-build` at `/poll_interval`: \"often\" does not match `^([0-9]+(ms|s|m|h|d))+$` (How long: `30s`, `1h30m`.)"
        ]
    );
    assert_eq!(told("{ job: '${{ parameters.job }}' }", ""), [""; 0]);
    let embedded = told("{ job: x, poll_interval: 'about ${{ parameters.every }}' }", "");
    assert!(embedded[0].contains("\"about often\" does not match"), "{embedded:?}");
    let impossible = told("{ job: '${{ string(int(parameters.every)) }}' }", "");
    assert_eq!(impossible.len(), 1, "{impossible:?}");
    assert!(impossible[0].starts_with("step `build`: "), "{impossible:?}");
}

#[test]
fn what_is_known_later_or_may_not_run_is_left() {
    let often = "poll_interval: '${{ parameters.every }}'";
    for (with, more) in [
        (format!("{{ job: x, {often} }}"), ", when: parameters.job == 'other'"),
        (format!("{{ job: '${{{{ each.value }}}}', {often} }}"), ", for_each: { in: [a, b] }"),
        (format!("{{ job: '${{{{ release.id }}}}', {often} }}"), ""),
        (format!("{{ job: '${{{{ steps.first.output.url }}}}', {often} }}"), ", needs: [first]"),
    ] {
        assert_eq!(told(&with, more), [""; 0], "{with} {more}");
    }
}

/// What a field with such a name was given is not repeated.
#[test]
fn a_secret_is_not_told() {
    let mut catalog = installed();
    let manifest: Manifest = serde_json::from_value(json!({
        "name": "vaulted", "version": "1.0.0", "contract": "0.1", "description": "d",
        "actions": { "open": {
            "description": "d", "effect": "read", "output": {},
            "input": { "type": "object", "properties": {
                "token": { "type": "string", "pattern": "^t-" }, "name": { "type": "string", "pattern": "^n-" },
            } },
        } },
    }))
    .expect("a manifest");
    catalog.add_plugin(manifest.clone(), windlass_model::digest::Digest::of(b"vaulted"));
    let steps =
        "  open: { uses: vaulted/open, with: { token: '${{ parameters.every }}', name: '${{ parameters.job }}' } }\n";
    let parameters = json!({ "job": "payments", "every": "hunter2" });
    let told = check_inputs_given(&plan(steps, &catalog), &parameters, |_| Some(&manifest));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("/name") && !told[0].contains("hunter2"), "{told:?}");
}
