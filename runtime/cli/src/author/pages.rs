//! The pages of an SDK in a plugin's folder, where not everything lies beside them that they link to.

/// A page whose links all lead somewhere: a link to a page that is `moved` leads to where that one is now, and of one that
/// leads to what is not there only its text is left.
pub(super) fn page(text: &str, moved: &[(&str, &str)], is_there: impl Fn(&str) -> bool) -> String {
    let mut page = String::with_capacity(text.len());
    let mut is_code = false;
    for line in text.split_inclusive('\n') {
        is_code ^= line.trim_start().starts_with("```");
        if is_code { page.push_str(line) } else { page.push_str(&relinked(line, moved, &is_there)) }
    }
    page
}

fn relinked(line: &str, moved: &[(&str, &str)], is_there: impl Fn(&str) -> bool) -> String {
    let (mut done, mut rest) = (String::with_capacity(line.len()), line);
    while let Some((before, target, after)) = link(rest) {
        let (path, fragment) = target.split_at(target.find('#').unwrap_or(target.len()));
        done.push_str(before);
        rest = after;
        if let Some((_, now)) = moved.iter().find(|(was, _)| *was == path) {
            done.push_str(&format!("]({now}{fragment})"));
        } else if path.is_empty() || path.contains("://") || (!path.starts_with("..") && is_there(path)) {
            done.push_str(&format!("]({target})"));
        } else if let Some(opened) = opening(&done) {
            done.remove(opened);
        }
    }
    done + rest
}

/// What is before the `]` of the next link, where the link leads, and what follows.
fn link(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find("](")?;
        let (target, after) = text[at + 2..].split_once(')')?;
        if !target.is_empty() && !target.contains(char::is_whitespace) {
            return Some((&text[..at], target, after));
        }
        from = at + 2;
    }
}

/// Where the `[` is of the link whose text a line ends with.
fn opening(line: &str) -> Option<usize> {
    let mut depth = 0;
    line.char_indices().rev().find_map(|(at, letter)| match letter {
        ']' => {
            depth += 1;
            None
        }
        '[' if depth == 0 => Some(at),
        '[' => {
            depth -= 1;
            None
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_somewhere_or_are_none() {
        let text = "See [the page](../README.md#a), [`x[0]`](example), [here](src/a.c) and [there](https://x.test/a).\n`once[T](ctx, name)` and [b](#b)\n```c\n[x](example)\n```\n";
        let linked = page(text, &[("../README.md", "GUIDE.md")], |it| it == "src/a.c");
        assert_eq!(
            linked,
            "See [the page](GUIDE.md#a), `x[0]`, [here](src/a.c) and [there](https://x.test/a).\n`once[T](ctx, name)` and [b](#b)\n```c\n[x](example)\n```\n"
        );
    }
}
