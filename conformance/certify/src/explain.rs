//! What a check does and what to do when it fails, as [the page](../README.md) says it.

use crate::outcome::Check;

const PAGE: &str = include_str!("../README.md");

/// The whole page: the checks, `conformance.yaml`, the result.
pub fn page() -> &'static str {
    PAGE
}

/// Of one check: what happens, what has to be, why, and what to do.
pub fn explained(check: Option<Check>) -> String {
    let name = check.map_or("contract", Check::name);
    let row = PAGE.lines().find_map(|it| it.strip_prefix(&format!("| `{name}` |")));
    let told: Vec<&str> = row.into_iter().flat_map(|it| it.trim_end_matches('|').split(" | ")).map(str::trim).collect();
    let what = ["what happens", "what has to be", "why"].iter().zip(told);
    let mut text: String = what.map(|(title, it)| format!("{:<16}{it}\n", format!("{title}:"))).collect();
    text.push_str("\nWhen it fails:\n\n");
    text.push_str(advice(name).unwrap_or_default());
    text.push('\n');
    text
}

fn advice(name: &str) -> Option<&'static str> {
    let (_, from) = PAGE.split_once(&format!("\n### {name}\n"))?;
    let end = from.find("\n#").unwrap_or(from.len());
    Some(from[..end].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_explained() {
        for check in Check::ALL.iter().copied().map(Some).chain([None]) {
            let name = check.map_or("contract", Check::name);
            let text = explained(check);
            let lines: Vec<&str> = text.lines().collect();
            for (line, title) in lines.iter().zip(["what happens:", "what has to be:", "why:"]) {
                assert!(line.starts_with(title) && line.len() > 30 && !line.contains(" | "), "{name}: {line}");
            }
            let advice = advice(name).expect(name);
            assert!(advice.starts_with("- *") && !advice.contains('#'), "{name}: {advice}");
        }
        assert!(!explained(Some(Check::Once)).contains("What the schema accepts"));
    }
}
