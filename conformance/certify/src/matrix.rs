//! Results as tables: for a terminal, and for the documentation.

use std::fmt::Write as _;

use crate::outcome::{Certification, Check, Outcome};

fn mark(outcome: Option<&Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Passed) => "✔",
        Some(Outcome::Failed { .. }) => "✘",
        Some(Outcome::NotApplicable { .. }) => "–",
        None => "",
    }
}

/// A table of actions and checks for a terminal.
pub fn table(certification: &Certification) -> String {
    let wide = certification.actions.keys().map(|it| it.chars().count()).chain(["contract".len()]).max().unwrap_or(0);
    let mut text = format!("{:wide$}", "");
    for check in Check::ALL {
        let _ = write!(text, "  {}", check.name());
    }
    text.push('\n');
    for (action, checks) in &certification.actions {
        let _ = write!(text, "{action:wide$}");
        for check in Check::ALL {
            let _ = write!(text, "  {:^width$}", mark(checks.get(check)), width = check.name().len());
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// The matrix of many plugins in Markdown: a name for each, which may be a link, and its result.
pub fn markdown<'a>(all: impl IntoIterator<Item = (&'a str, &'a Certification)>) -> String {
    let mut text = String::from("| plugin | action | contract |");
    for check in Check::ALL {
        let _ = write!(text, " {} |", check.name());
    }
    text.push_str("\n|---|---|:-:|");
    text.push_str(&":-:|".repeat(Check::ALL.len()));
    text.push('\n');
    let mut reasons: Vec<String> = Vec::new();
    for (name, certification) in all {
        for (action, checks) in &certification.actions {
            let _ = write!(text, "| {name} | `{action}` | {} |", mark(Some(&certification.contract)));
            for check in Check::ALL {
                let outcome = checks.get(check);
                let why = match outcome {
                    Some(Outcome::NotApplicable { why }) => {
                        let number = reasons.iter().position(|it| it == why).unwrap_or_else(|| {
                            reasons.push(why.clone());
                            reasons.len() - 1
                        });
                        format!(" <sup>{}</sup>", number + 1)
                    }
                    _ => String::new(),
                };
                let _ = write!(text, " {}{why} |", mark(outcome));
            }
            text.push('\n');
        }
        for (action, why) in &certification.not_exercised {
            let _ = writeln!(
                text,
                "| {name} | `{action}` | {} | not exercised: {why} {}|",
                mark(Some(&certification.contract)),
                "| ".repeat(Check::ALL.len() - 1)
            );
        }
    }
    if !reasons.is_empty() {
        text.push_str("\n– does not apply:\n\n");
        for (before, why) in reasons.iter().enumerate() {
            let _ = writeln!(text, "{}. {why}", before + 1);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn outcomes_are_told_apart_and_reasons_said_once() {
        let na = |why: &str| Outcome::NotApplicable { why: why.to_owned() };
        let checks: BTreeMap<Check, Outcome> = [
            (Check::Run, Outcome::Passed),
            (Check::Resume, na("it never waits")),
            (Check::Once, Outcome::Failed { failures: Vec::new() }),
            (Check::Cancel, na("it has no `cancel`")),
        ]
        .into();
        let certification = Certification {
            certification: 1,
            suite: "0.1.0".into(),
            plugin: "p".into(),
            version: "0.1.0".into(),
            component: "d".into(),
            certified: false,
            contract: Outcome::Passed,
            actions: [("a".to_owned(), checks.clone()), ("b".to_owned(), checks)].into(),
            not_exercised: [("c".to_owned(), "no case".to_owned())].into(),
            at: None,
        };
        let text = table(&certification);
        assert!(
            text.lines().nth(1).is_some_and(|it| it.starts_with('a') && it.contains('✔') && it.contains('✘')),
            "{text}"
        );
        let text = markdown([("p", &certification)]);
        assert_eq!(text.matches("it never waits").count(), 1, "{text}");
        assert!(text.contains("2. it has no `cancel`") && text.contains("not exercised: no case"), "{text}");
        let widths: Vec<usize> = text.lines().take(5).map(|it| it.matches('|').count()).collect();
        assert!(widths.iter().all(|it| *it == widths[0]), "{text}");
    }
}
