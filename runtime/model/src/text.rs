//! Texts of people and of other systems, where they are shown in lines of ours.

/// The text on one line: what would end the line, move the cursor or turn the direction is a space, so that nobody
/// can write what looks like another line.
pub fn one_line(text: &str) -> String {
    let acts = |it: char| {
        it.is_control()
            || matches!(it, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.replace(acts, " ")
}

/// The beginning of a text, of at most so many characters; `…` says that there is more.
pub fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A checkpoint's name as people read it: without the idempotency key that tells the parts of one piece of work from those
/// of another, which SDKs write behind it (`job/0123…`).
pub fn part_name(checkpoint: &str) -> &str {
    let is_key = |it: &str| it.len() == 32 && it.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match checkpoint.rsplit_once('/') {
        Some((name, key)) if is_key(key) => name,
        _ => checkpoint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_named_without_its_key() {
        for (checkpoint, name) in [
            ("job/0123456789abcdef0123456789abcdef", "job"),
            ("a/b/0123456789abcdef0123456789abcdef", "a/b"),
            ("job/0123456789ABCDEF0123456789ABCDEF", "job/0123456789ABCDEF0123456789ABCDEF"),
            ("job/7", "job/7"),
            ("job", "job"),
        ] {
            assert_eq!(part_name(checkpoint), name);
        }
    }

    #[test]
    fn nothing_looks_like_another_line() {
        assert_eq!(
            one_line("boom\nroot asked\r\n\tto \u{202e}stop\u{2028}\u{1b}[2K"),
            "boom root asked   to  stop  [2K"
        );
        assert_eq!(one_line("Größe: 5 % – 東京"), "Größe: 5 % – 東京");
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(shortened("größer", 6), "größer");
        assert_eq!(shortened("größer", 3), "grö…");
        assert_eq!(shortened("", 0), "");
    }
}
