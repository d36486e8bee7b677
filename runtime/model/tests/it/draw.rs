//! Drawings: what they hold, and that nothing an author writes breaks out of them.

use expect_test::expect;
use windlass_model::draw::{mermaid, svg};
use windlass_model::parse::parse;
use windlass_model::problem::Source;
use windlass_model::workflow::Workflow;

use crate::workflow_files;

fn workflow(text: &str) -> Workflow {
    let (parsed, problems) = parse(&Source::new("test.yaml", text));
    parsed.unwrap_or_else(|| panic!("{problems:?}")).workflow().clone()
}

#[test]
fn a_mermaid_flowchart_has_phases_gates_and_needs() {
    let text = "
windlass: v1
workflow: w
parameters: { full: { type: boolean } }
phases: [build, empty, production]
steps:
  build: { phase: build, uses: jenkins/trigger-build@^0.1 }
  end: { phase: build, uses: http/wait, needs: [build], when: 'parameters.full && \"a\" != \"b\"' }
  deploy: { phase: production, uses: helm/upgrade, needs: [build], gates: [{ approval: { from: 'group:<managers>' } }] }
";
    expect![[r#"
        flowchart LR
          subgraph phase_0["build"]
            step_build["<b>build</b><br/>jenkins/trigger-build@^0.1"]
            step_end["<b>end</b><br/>http/wait"]
          end
          subgraph phase_1["empty"]
          end
          subgraph phase_2["production"]
            step_deploy["<b>deploy</b><br/>helm/upgrade"]
            step_deploy_gate{{"approval by 1 of group:#60;managers#62;"}} -.-> step_deploy
          end
          step_build -->|"parameters.full #38;#38; #34;a#34; != #34;b#34;"| step_end
          step_build --> step_deploy
          phase_0 ==> phase_2
    "#]]
    .assert_eq(&mermaid(&workflow(text)));
}

/// Whether tags open and close in order, attributes are quoted, and only the five entities are used.
fn is_well_formed(xml: &str) -> bool {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        let text = &rest[..at];
        let entities = text.matches('&').count();
        if text.contains('>') && !open.contains(&"style")
            || ["&amp;", "&lt;", "&gt;", "&quot;"].iter().map(|it| text.matches(it).count()).sum::<usize>() != entities
        {
            return false;
        }
        let Some(end) = rest[at..].find('>') else { return false };
        let tag = &rest[at + 1..at + end];
        if !tag.matches('"').count().is_multiple_of(2) {
            return false;
        }
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => {
                if open.pop() != Some(name) {
                    return false;
                }
            }
            (false, true) => {}
            (false, false) => open.push(name),
        }
        rest = &rest[at + end + 1..];
    }
    open.is_empty() && rest.trim().is_empty()
}

#[test]
fn an_svg_holds_every_step_and_phase() {
    for (name, text) in workflow_files() {
        let workflow = workflow(&text);
        let svg = svg(&workflow);
        assert!(is_well_formed(&svg), "{name}");
        assert_eq!(svg.matches("class=\"step\"").count(), workflow.steps.len());
        let last = usize::from(workflow.steps.iter().any(|it| it.finally));
        assert_eq!(svg.matches("class=\"band\"").count(), workflow.phases.len() + last);
        for step in workflow.steps.iter().filter(|it| it.pivot) {
            assert!(svg.contains("point of no return"), "{name}: {}", step.name);
        }
        assert_eq!(
            svg.matches("class=\"need\"").count(),
            workflow.steps.iter().map(|it| it.needs.len()).sum::<usize>()
        );
        assert!(svg.contains("prefers-color-scheme: dark"));
    }
}

#[test]
fn what_an_author_writes_stays_text() {
    let text = "
windlass: v1
workflow: w
description: '</desc><script>alert(1)</script>'
steps:
  a: { uses: http/wait, description: '<b>&\"quoted\"</b>', when: '1 < 2 && \"]]\" != \"</svg>\"' }
";
    let drawn = svg(&workflow(text));
    assert!(is_well_formed(&drawn), "{drawn}");
    assert!(!drawn.contains("<script") && !drawn.contains("<b>"));
    assert!(!is_well_formed("<a><b></a></b>") && !is_well_formed("<a>&x;</a>"));
    assert!(!mermaid(&workflow(text)).contains("</svg>"));
}

#[test]
fn steps_stand_right_of_what_they_need_and_do_not_overlap() {
    for (name, text) in workflow_files() {
        let workflow = workflow(&text);
        let drawn = svg(&workflow);
        let corners: Vec<(i64, i64)> = drawn
            .lines()
            .filter(|it| it.contains("class=\"step\""))
            .map(|line| {
                let number = |key: &str| -> i64 {
                    let from = line.find(key).expect(key) + key.len();
                    line[from..].split('"').next().and_then(|it| it.parse().ok()).expect("a number")
                };
                (number(" x=\""), number(" y=\""))
            })
            .collect();
        for (at, step) in workflow.steps.iter().enumerate() {
            for need in &step.needs {
                let other = workflow.steps.iter().position(|it| it.name == *need).expect("a step");
                assert!(corners[other].0 + 190 <= corners[at].0, "{name}: {} is not right of {need}", step.name);
            }
            for other in at + 1..corners.len() {
                assert!(
                    corners[at].0 != corners[other].0 || (corners[at].1 - corners[other].1).abs() >= 46,
                    "{name}: steps overlap"
                );
            }
        }
    }
}
