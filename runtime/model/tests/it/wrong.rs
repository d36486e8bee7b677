//! The table of wrong files: `wrong/<name>.yaml` and, beside it, what `validate` says about it.
//!
//! `UPDATE_EXPECT=1 cargo test -p windlass-model` writes the answers anew; read the difference.

use std::path::{Path, PathBuf};

use windlass_model::parse::{parse, validate};
use windlass_model::problem::{Color, Severity, Source, render};

use crate::catalog::installed;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/wrong")
}

/// Every wrong file: its name and text.
pub(crate) fn files() -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = std::fs::read_dir(folder())
        .expect("the folder of wrong files")
        .map(|it| it.expect("an entry").path())
        .filter(|it| it.extension().is_some_and(|it| it == "yaml"))
        .map(|it| {
            (
                it.file_name().expect("a name").to_string_lossy().into_owned(),
                std::fs::read_to_string(&it).expect("a text"),
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn wrong_files_are_explained() {
    let files = files();
    assert!(files.len() >= 40, "{} wrong files", files.len());
    for (name, text) in files {
        let source = Source::new(name.as_str(), text);
        let (plan, problems) = validate(&source, &installed());
        let errors = problems.iter().any(|it| it.severity == Severity::Error);
        assert_eq!(plan.is_none(), errors, "{name}: a plan although there are errors, or none without");
        assert!(!problems.is_empty(), "{name}: nothing is found wrong");
        expect_test::expect_file![folder().join(&name).with_extension("txt")].assert_eq(&render(
            &source,
            &problems,
            Color::None,
        ));
    }
}

#[test]
fn checking_in_two_steps_finds_the_same() {
    for (name, text) in files() {
        let source = Source::new(name.as_str(), text);
        let (plan, mut at_once) = validate(&source, &installed());
        let (parsed, mut alone) = parse(&source);
        if let Some(parsed) = parsed {
            let (second, more) = parsed.check_against(&installed());
            assert_eq!(second, plan.map(|(_, it)| it), "{name}");
            alone.extend(more);
            let key = |it: &windlass_model::problem::Problem| (it.place, it.code, it.message.clone());
            alone.sort_by_key(key);
            alone.dedup();
            at_once.sort_by_key(key);
            assert_eq!(alone, at_once, "{name}");
        }
    }
}

#[test]
fn problems_have_a_form_for_programs() {
    let source = Source::new("a.yaml", "windlass: v1\nworkflow: w\nsteps: { b: { uses: http/wait, needs: [c] } }\n");
    let (_, problems) = parse(&source);
    expect_test::expect![[r#"
        [
          {
            "severity": "error",
            "code": "unknown-step",
            "message": "step `b` needs `c`, which does not exist",
            "line": 3,
            "column": 40,
            "start": 64,
            "end": 65
          }
        ]"#]]
    .assert_eq(&serde_json::to_string_pretty(&problems).expect("JSON"));
}

#[test]
fn a_secret_in_a_file_is_not_repeated() {
    let text = "windlass: v1\nworkflow: w\nsteps:\n  a: { uses: http/wait, with: { headers: { api_key: hunter2 }, clientSecret: 'hunter2', for: hunter2 } }\n";
    let source = Source::new("a.yaml", text.replace("for: hunter2", "for: 3"));
    let (_, problems) = validate(&source, &installed());
    assert_eq!(problems.iter().filter(|it| it.code == "secret").count(), 2);
    assert!(!render(&source, &problems, Color::Ansi).contains("hunter2"));
    assert!(!serde_json::to_string(&problems).expect("JSON").contains("hunter2"));
    let without = "windlass: v1\nworkflow: w\nparameters: { t: { type: string } }\nsteps:\n  a: { uses: http/wait, with: { token_url: x, secret_name: y, token: '${{ parameters.t }}' } }\n";
    let (_, problems) = parse(&Source::new("b.yaml", without));
    assert_eq!(problems, []);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let (source, problem) = Source::from_bytes("a.yaml", b"windlass: v1\nworkflow: \xff\n");
    let problem = problem.expect("not UTF-8");
    assert_eq!((problem.code, problem.place.line, problem.place.column), ("not-utf8", 2, 11));
    assert!(!render(&source, &[problem], Color::None).is_empty());
    assert_eq!(Source::from_bytes("a.yaml", "é".as_bytes()).1, None);
}
