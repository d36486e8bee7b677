//! Takes out of a text what is different each time.

/// The text without the lines that `is_noise`, and with names in place of times, digests, addresses,
/// identities and the name of whoever runs the tests.
pub(crate) fn scrubbed(text: &str, is_noise: impl Fn(&str) -> bool) -> String {
    let user = windlass_server::people::user_name(rustix::process::getuid().as_raw());
    let lines = text.lines().filter(|it| !is_noise(it)).map(|line| {
        let mut out = String::new();
        let mut word = String::new();
        for letter in line.chars().chain([' ']) {
            if letter.is_alphanumeric() || "-:./_".contains(letter) {
                word.push(letter);
            } else {
                out.push_str(&one(&word, &user));
                word.clear();
                out.push(letter);
            }
        }
        out.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

fn one(word: &str, user: &str) -> String {
    let bare = word.trim_end_matches([':', '.', ',']);
    let rest = &word[bare.len()..];
    let is_hex = |it: &str| it.len() >= 12 && it.bytes().all(|it| it.is_ascii_hexdigit());
    let is_span = bare.strip_suffix('s').is_some_and(|it| it.contains('.') && it.parse::<f64>().is_ok());
    let scrubbed = if bare.parse::<jiff::Timestamp>().is_ok() {
        "TIME"
    } else if is_hex(bare) || bare.strip_prefix("sha256:").is_some_and(is_hex) {
        "DIGEST"
    } else if is_span {
        "SPAN"
    } else if bare.starts_with("http://127.0.0.1:") {
        "URL"
    } else if bare == user {
        "USER"
    } else if bare.starts_with('/') && bare.len() > 1 && bare.ends_with("/state") {
        "STATE"
    } else {
        bare
    };
    format!("{scrubbed}{rest}")
}
