//! Which copies a rehearsal needs.

use windlass_model::check::{Copies, check_copies};
use windlass_model::digest::Digest;
use windlass_model::parse::validate;
use windlass_model::plan::{Pin, Plan, Runs};
use windlass_model::problem::{Color, Source, render};

use crate::catalog::installed;

fn plan(steps: &str) -> Plan {
    let source = Source::new("test.yaml", format!("windlass: v1\nworkflow: w\nsteps:\n{steps}"));
    let (plan, problems) = validate(&source, &installed());
    assert!(problems.is_empty(), "{}", render(&source, &problems, Color::None));
    plan.expect("no problems").1
}

fn copies(names: &str) -> Copies {
    names.split_whitespace().map(|it| (it.parse().expect("a name"), "copy".parse().expect("a name"))).collect()
}

const BUILD: &str = "  build: { uses: jenkins/trigger-build, connection: ci, with: { job: x } }\n";

/// After the step of this name, with what is added.
fn change(name: &str, needs: &str, more: &str) -> String {
    format!(
        "  {name}: {{ uses: servicenow/create-change, connection: itsm, needs: [{needs}], with: {{ short_description: x }}{more} }}\n"
    )
}

#[test]
fn what_a_rehearsal_does_not_run_needs_no_copy() {
    let before = plan(&format!("{BUILD}{}", change("note", "build", "")));
    let refused = check_copies(&before, &[], &copies("ci"));
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].starts_with("step `note` changes something at `itsm`, and no copy"), "{refused:?}");
    for past in [
        change("note", "build", ", pivot: true"),
        format!(
            "  go: {{ uses: http/wait, with: {{ for: 1s }}, needs: [build], pivot: true }}\n{}",
            change("note", "go", "")
        ),
    ] {
        let past = plan(&format!("{BUILD}{past}"));
        assert_eq!(check_copies(&past, &[], &copies("ci")), [""; 0]);
        assert_eq!(check_copies(&past, &[], &copies("ci itsm")), [""; 0], "a copy that is not needed may be given");
        assert_eq!(check_copies(&past, &[], &copies("")).len(), 1, "the build is before it");
    }
    // What runs last does so in a rehearsal, too.
    let last = plan(&format!(
        "{BUILD}  go: {{ uses: http/wait, with: {{ for: 1s }}, needs: [build], pivot: true }}\nfinally:\n  note: {{ uses: servicenow/create-change, connection: itsm, with: {{ short_description: x }} }}\n"
    ));
    assert_eq!(check_copies(&last, &[], &copies("ci")).len(), 1);
}

#[test]
fn a_workflow_inside_needs_copies_only_if_a_step_runs_it_that_is_not_left_out() {
    let inner = plan(&change("note", "", ""));
    let digest = Digest::of(&inner.to_json());
    let outer = |pivot: &str| {
        let text = format!("{BUILD}  go: {{ uses: http/wait, with: {{ for: 1s }}, needs: [build]{pivot} }}\n");
        let plan = plan(&text);
        let pins = plan.workflow().steps.iter().map(|step| match step.name.as_str() {
            "go" => Pin::of_workflow(digest),
            _ => plan.pin(plan.index_of(&step.name).expect("a step")).clone(),
        });
        Plan::new(plan.workflow().clone(), pins.collect()).expect("a plan")
    };
    let before = outer("");
    let index = before.index_of(&"go".parse().expect("a name")).expect("a step");
    assert_eq!(before.pin(index).runs, Runs::Plan(digest));
    assert_eq!(check_copies(&before, std::slice::from_ref(&inner), &copies("ci")).len(), 1);
    assert_eq!(check_copies(&outer(", pivot: true"), std::slice::from_ref(&inner), &copies("ci")), [""; 0]);
}
