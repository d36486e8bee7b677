//! Good files: what they become.

use expect_test::expect;
use windlass_model::parse::{parse, validate};
use windlass_model::plan::Plan;
use windlass_model::problem::{Color, Source, render};
use windlass_model::workflow::{Gate, OnFailure};

use crate::catalog::installed;
use crate::workflow_files;

fn plan(text: &str) -> Plan {
    let source = Source::new("test.yaml", text);
    let (plan, problems) = validate(&source, &installed());
    assert!(problems.is_empty(), "{}", render(&source, &problems, Color::None));
    plan.expect("no problems").1
}

#[test]
fn every_workflow_of_the_folder_is_good() {
    for (name, text) in workflow_files() {
        let source = Source::new(name, text);
        let (plan, problems) = validate(&source, &installed());
        assert!(problems.is_empty(), "{}", render(&source, &problems, Color::None));
        let (parsed, plan) = plan.expect("no problems");
        assert_eq!(parsed.plan(&installed()), Ok(plan));
        for step in &parsed.workflow().steps {
            assert!(parsed.step_description(&step.name).is_some(), "`{}` has no description", step.name);
        }
    }
}

#[test]
fn the_newest_version_that_will_do_is_pinned() {
    let text = |version: &str| {
        format!(
            "windlass: v1\nworkflow: w\nsteps: {{ b: {{ uses: 'jenkins/trigger-build{version}', connection: ci, with: {{ job: x }} }} }}\n"
        )
    };
    for (asked, pinned) in [("", "0.2.0"), ("@^0.1", "0.1.0"), ("@=0.1.0", "0.1.0"), ("@>=0.1", "0.2.0")] {
        let plan = plan(&text(asked));
        let index = plan.graph().steps().next().expect("a step");
        assert_eq!(plan.pin(index).version.to_string(), pinned, "{asked}");
        assert!(plan.pin(index).find && plan.pin(index).cancel && !plan.pin(index).rollback);
    }
}

#[test]
fn a_connection_that_allows_no_part_of_what_is_asked_for_is_told_and_a_narrower_one_is_not() {
    let mut catalog = installed();
    let mut told = |uses: &str, allow: serde_json::Value| {
        let text = format!("windlass: v1\nworkflow: w\nsteps: {{ b: {{ uses: {uses} }} }}\n");
        let source = Source::new("test.yaml", text);
        let connection = serde_json::json!({ "name": "some", "base_url": "https://some.example.com", "allow": allow });
        catalog.add_connection(serde_json::from_value(connection).expect("a good connection"));
        let (plan, problems) = validate(&source, &catalog);
        assert!(plan.is_some(), "it is no error");
        render(&source, &problems, Color::None)
    };
    // One that makes what its input says.
    let copy = "http/copy, connections: { from: some, to: some }";
    assert_eq!(told(copy, serde_json::json!([{ "methods": ["GET"], "path": "/v1/**" }])), "");
    assert!(
        told(copy, serde_json::json!([{ "methods": ["PUT"], "path": "/**" }]))
            .contains("allow `GET /**` and `POST /**`")
    );
    // One that knows what it needs.
    let create = "servicenow/create-change, connection: some, with: { short_description: x }";
    let table = "/api/now/table/**";
    assert_eq!(told(create, serde_json::json!([{ "methods": ["GET", "POST", "PATCH"], "path": table }])), "");
    let denied = told(create, serde_json::json!([{ "methods": ["GET", "POST"], "path": table }]));
    expect![[r#"
        warning[request-grant]: connection `some` does not allow `PATCH /api/**`, which the action may ask for
         --> test.yaml:3:59
          |
        3 | steps: { b: { uses: servicenow/create-change, connection: some, with: { short_description: x } } }
          |                                                           ^^^^
          |
          = help: if it is to: `windlass connection change some --allow 'PATCH /api/**'`
    "#]]
    .assert_eq(&denied);
}

#[test]
fn an_action_of_another_installed_version_is_named_with_it() {
    let mut catalog = installed();
    let mut newer = crate::catalog::manifests().pop().expect("http");
    newer["version"] = "0.3.0".into();
    newer["actions"]["upload"] = newer["actions"]["copy"].clone();
    let newer = windlass_model::manifest::Manifest::parse(newer.to_string().as_bytes()).expect("a good manifest");
    catalog.add_plugin(newer, windlass_model::digest::Digest::of(b"newer"));
    let text =
        "windlass: v1\nworkflow: w\nsteps: { b: { uses: http/upload@^0.1, connections: { from: ci, to: ci } } }\n";
    let source = Source::new("test.yaml", text);
    let (plan, problems) = validate(&source, &catalog);
    assert!(plan.is_none());
    let said = render(&source, &problems, Color::None);
    for part in
        ["plugin `http` 0.1.0 has no action `upload`", "0.3.0 has it and is installed; `^0.1` leaves it out", "`@^0.3`"]
    {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_plan_reads_back_and_is_the_same_bytes() {
    for (_, text) in workflow_files() {
        let plan = plan(&text);
        let bytes = plan.to_json();
        let again: Plan = serde_json::from_slice(&bytes).expect("its own bytes");
        assert_eq!(again, plan);
        assert_eq!(again.to_json(), bytes);
    }
}

#[test]
fn a_text_of_expressions_alone_is_a_text_whatever_the_last_of_them_gives() {
    let plan = plan(
        "windlass: v1\nworkflow: w\nparameters: { count: { type: integer } }\n\
         steps: { b: { uses: jenkins/trigger-build, connection: ci, \
         with: { job: '${{ parameters.count }}/${{ parameters.count }}' } } }\n",
    );
    assert_eq!(plan.workflow().steps.len(), 1);
}

#[test]
fn defaults_hold_where_a_step_says_nothing() {
    let plan = plan(
        "
windlass: v1
workflow: w
defaults: { retry: { attempts: 5, backoff: 1s, on: [transient, timed_out] }, timeout: 1h, on_failure: fail }
steps:
  one: { uses: http/wait }
  two: { uses: http/wait, needs: one, retry: { backoff: 7s }, timeout: 2m, on_failure: continue }
  three:
    uses: http/wait
    needs: [one, two]
    when: ${{ steps.two.state == 'succeeded' }}
    gates:
      - approval: { from: [user:ana, group:ops], min: 2, requester: allowed, message: 'go, ${{ release.id }}?' }
",
    );
    let steps: Vec<String> = plan
        .workflow()
        .steps
        .iter()
        .map(|it| {
            let retry = &it.retry;
            format!(
                "{} {} {} {} {} {:?} {:?}",
                it.name,
                retry.attempts,
                retry.backoff,
                retry.max_backoff,
                it.timeout.expect("one"),
                retry.on,
                it.on_failure
            )
        })
        .collect();
    expect![[r#"
        one 5 1s 1m 1h [Transient, TimedOut] Fail
        two 5 7s 1m 2m [Transient, TimedOut] Continue
        three 5 1s 1m 1h [Transient, TimedOut] Fail"#]]
    .assert_eq(&steps.join("\n"));
    let three = &plan.workflow().steps[2];
    assert_eq!(three.on_failure, OnFailure::Fail);
    assert_eq!(three.when.as_ref().map(|it| it.source()), Some("steps.two.state == 'succeeded'"));
    let Gate::Approval(gate) = &three.gates[0];
    assert_eq!((gate.min, gate.requester_may_approve, gate.from.len()), (2, true, 2));
}

#[test]
fn json_is_a_workflow_file_too() {
    let (_, yaml) = workflow_files().remove(0);
    let (parsed, _) = parse(&Source::new("a.yaml", yaml));
    let workflow = parsed.expect("good").workflow().clone();
    let json = serde_json::json!({
        "windlass": "v1", "workflow": "w", "parameters": { "v": { "type": "string" } },
        "steps": { "a": { "uses": "http/wait", "with": { "for": "${{ parameters.v }}" }, "when": "parameters.v == \"1\"" } },
    });
    let plan = plan(&serde_json::to_string_pretty(&json).expect("JSON").replace("  ", "\t"));
    assert_eq!(plan.workflow().steps[0].name.as_str(), "a");
    assert_ne!(*plan.workflow(), workflow);
}

#[test]
fn names_with_dashes_are_quoted_in_expressions() {
    plan(
        "
windlass: v1
workflow: w
steps:
  create-change: { uses: servicenow/create-change, connection: itsm, with: { short_description: x } }
  next:
    needs: [create-change]
    uses: servicenow/move-change
    connection: itsm
    with: { change: \"${{ steps['create-change'].output.number }}\", state: assess }
",
    );
}

#[test]
fn the_examples_of_the_reference_page_are_good() {
    let page = std::fs::read_to_string(crate::workflows().join("README.md")).expect("the reference page");
    let examples: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|it| it.split("```").next()).collect();
    let whole: Vec<&&str> = examples.iter().filter(|it| it.starts_with("windlass:")).collect();
    assert!(!whole.is_empty());
    whole.into_iter().for_each(|it| drop(plan(it)));
    let parts = examples.iter().filter(|it| it.starts_with("retry:") || it.starts_with("gates:"));
    let steps: Vec<String> = parts.map(|it| it.lines().map(|it| format!("    {it}\n")).collect()).collect();
    assert_eq!(steps.len(), 2);
    for step in steps {
        plan(&format!(
            "windlass: v1\nworkflow: w\nparameters: {{ version: {{ type: string }} }}\nsteps:\n  a:\n    uses: http/wait\n{step}"
        ));
    }
}
