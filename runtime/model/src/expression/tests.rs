//! What expressions come to, and what they name.

use super::*;
use serde_json::json;

fn evaluate(source: &str) -> Result<Value, String> {
    let step =
        |name: &str| (name == "build").then(|| json!({"state": "succeeded", "output": {"number": 7, "tests": [1, 2]}}));
    let (parameters, release) = (json!({"version": "1.2.3", "count": 2}), json!({"id": "r-1"}));
    let scope = Scope {
        each: Some(&json!({"value": {"os": "linux"}, "number": 2})),
        outputs: Some(&json!([{"n": 1}, null, {"n": 4}])),
        ..Scope::new(&parameters, &release, &step)
    };
    Expression::parse(source).map_err(|it| it.to_string())?.evaluate(&scope).map_err(|it| it.message)
}

#[test]
fn expressions_see_parameters_steps_and_the_release() {
    assert_eq!(evaluate("parameters.version"), Ok(json!("1.2.3")));
    assert_eq!(evaluate("steps.build.output.number + parameters.count"), Ok(json!(9)));
    assert_eq!(
        evaluate("parameters.count + 1 == 3 && 2 * parameters.count < steps.build.output.number"),
        Ok(json!(true))
    );
    assert_eq!(evaluate("steps['build'].output.number - 1"), Ok(json!(6)));
    assert_eq!(evaluate("steps.build.output.tests.all(it, it < 3) && release.id == 'r-1'"), Ok(json!(true)));
    assert_eq!(evaluate("has(steps.build.output.url) ? 1 : 2"), Ok(json!(2)));
    assert!(evaluate("steps.build.output.url").is_err());
    assert!(evaluate("parameters.version + 1").is_err());
    assert!(evaluate("1 +").is_err());
    assert!(evaluate("  ").is_err());
}

#[test]
fn refusals_are_short_and_the_same_each_time() {
    for (source, says) in [
        ("steps.build.output + 1", "Unsupported binary operator 'add': an object, 1"),
        ("parameters.version + 1", "Unsupported binary operator 'add': \"1.2.3\", 1"),
        ("outputs[7]", "Index out of bounds: 7"),
    ] {
        let refusal = evaluate(source).expect_err("it has no value");
        assert_eq!(refusal, says, "{source}");
    }
}

#[test]
fn the_outputs_of_many_items_are_joined_with_functions() {
    assert_eq!(evaluate("each.value.os + string(each.number)"), Ok(json!("linux2")));
    assert_eq!(evaluate("sum(outputs.filter(it, it != null).map(it, it.n))"), Ok(json!(5)));
    assert_eq!(evaluate("sum([1, null, 2])"), Ok(json!(3)));
    assert_eq!(evaluate("sum([1.5, 2.0])"), Ok(json!(3.5)));
    assert_eq!(evaluate("sum([])"), Ok(json!(0)));
    assert_eq!(evaluate("[min([3, 1, 2]), max([3, 1, 2])]"), Ok(json!([1, 3])));
    assert_eq!(evaluate("max(['a', 'c', 'b'])"), Ok(json!("c")));
    assert_eq!(evaluate("flatten([[1], [], [2, 3]])"), Ok(json!([1, 2, 3])));
    for wrong in ["sum(['a'])", "sum([9223372036854775807, 1])", "min([])", "max([1, 'a'])", "flatten([1])", "sum(1)"] {
        assert!(evaluate(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn references_leave_out_what_macros_bind() {
    let expression =
        Expression::parse("steps.a.output.list.exists(x, x.name == parameters.name) && has(steps.b.output.c)")
            .expect("good");
    let mut names: Vec<_> = expression.references().into_iter().map(|it| (it.path.join("."), it.presence)).collect();
    names.sort();
    names.dedup();
    assert_eq!(
        names,
        [
            ("parameters.name".to_owned(), false),
            ("steps.a.output.list".to_owned(), false),
            ("steps.b.output.c".to_owned(), true)
        ]
    );
}

#[test]
fn long_and_deep_expressions_are_refused() {
    for (unit, end) in
        [("(", ""), ("1+", "1"), ("-", "1"), ("!", "true"), ("[", ""), ("f(", ""), ("1<", "1"), ("true?1:", "1")]
    {
        for times in [50, 150, 500, 900, 1900, 100_000] {
            let source = format!("{}{end}", unit.repeat(times));
            if let Ok(expression) = Expression::parse(&source) {
                assert!(times <= 150 || unit == "-" || unit == "!", "{unit} {times}");
                expression.references();
                expression.range_of(expression.syntax());
            }
        }
    }
}

#[test]
fn syntax_errors_say_what_to_write() {
    let message = |source: &str| Expression::parse(source).expect_err(source).message;
    assert_eq!(message("parameters.a ="), "`=` is no operator; equality is `==`");
    assert_eq!(message("true and false"), "`and` is no operator; it is written `&&`");
    assert_eq!(message("1 +"), "the expression ends where something is still expected");
    assert_eq!(message("a b"), "`b` is not expected here");
}

#[test]
fn nodes_know_their_text() {
    let whole = |source: &str| {
        let expression = Expression::parse(source).expect(source);
        source[expression.range_of(expression.syntax())].to_owned()
    };
    for source in ["a.b.c", "a['b-c'].d", "a.b == 'é'", "size(a.b)", "a.b.contains('x')", "has(a.b.c)", "a [ 'b' ] . c"]
    {
        assert_eq!(whole(source), source);
    }
}
