//! What the page shows is what the sources say.

use std::path::Path;

const README: &str = include_str!("../../README.md");

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|it| !it.is_empty()).collect()
}

#[test]
fn excerpts_are_of_the_sources() {
    let mut shown = Vec::new();
    let (mut source, mut rest) = (None, README.lines());
    while let Some(line) = rest.next() {
        if let Some((_, link)) = line.split_once("](src/") {
            source = link.split_once(')').map(|(name, _)| name.to_owned());
        }
        if line != "```rust" {
            continue;
        }
        let name = source.as_deref().expect("an excerpt follows a link to its source");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name);
        let text = std::fs::read_to_string(&path).expect("the source");
        let block: Vec<&str> = rest.by_ref().take_while(|it| *it != "```").collect();
        let (block, text) = (block.join("\n"), lines(&text));
        let found = lines(&block);
        assert!(text.windows(found.len()).any(|it| it == found), "this is not in src/{name}:\n{block}");
        shown.push(name.to_owned());
    }
    shown.dedup();
    let all = ["polling", "callback", "upload", "pagination", "oauth", "no_keys", "batch"].map(|it| format!("{it}.rs"));
    assert_eq!(shown, all, "each recipe has an excerpt");
}
