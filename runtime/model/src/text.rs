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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_looks_like_another_line() {
        assert_eq!(
            one_line("boom\nroot asked\r\n\tto \u{202e}stop\u{2028}\u{1b}[2K"),
            "boom root asked   to  stop  [2K"
        );
        assert_eq!(one_line("Größe: 5 % – 東京"), "Größe: 5 % – 東京");
    }
}
