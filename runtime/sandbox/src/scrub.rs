//! Removes credentials from whatever a call gives back.
//!
//! A secret is looked for as it is and in the forms in which servers and programs show what they were
//! sent: base64 (both alphabets, at any alignment), percent-encoded, hexadecimal, escaped for JSON and
//! for HTML. What is encoded otherwise (compressed, encrypted, reversed) is not found: a server that
//! does that to a credential is not a server to send one to.
//!
//! **Invariant:** a form that is cut by a chunk border is found all the same; no more than a possible
//! beginning of one is held back.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::Value;

use crate::secret::SECRET_BYTES_MIN;

const REPLACEMENT: &[u8] = b"***";

/// Below this the parts of a base64 text that belong to a secret alone are too short to look for.
const ALIGNED_BYTES_MIN: usize = 8;

/// Finds secrets in texts and bytes and puts `***` in their place.
#[derive(Clone, Default)]
pub struct Scrubber {
    forms: Option<Arc<Forms>>,
}

struct Forms {
    automaton: AhoCorasick,
    patterns: Vec<Vec<u8>>,
    longest: usize,
}

impl std::fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scrubber({} forms)", self.forms.as_ref().map_or(0, |it| it.patterns.len()))
    }
}

impl Scrubber {
    /// One that looks for these secrets; those shorter than four bytes are left out.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut patterns = BTreeSet::new();
        for secret in secrets {
            if secret.len() >= SECRET_BYTES_MIN {
                forms_of(secret, &mut patterns);
            }
        }
        let patterns: Vec<Vec<u8>> = patterns.into_iter().collect();
        if patterns.is_empty() {
            return Self::default();
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&patterns)
            .expect("a few short patterns fit an automaton");
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        Self { forms: Some(Arc::new(Forms { automaton, patterns, longest })) }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.forms.is_none()
    }

    /// Whether a secret is in there.
    pub fn finds(&self, bytes: &[u8]) -> bool {
        self.forms.as_ref().is_some_and(|it| it.automaton.is_match(bytes))
    }

    /// The text without secrets.
    pub fn text(&self, text: String) -> String {
        if !self.finds(text.as_bytes()) {
            return text;
        }
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }

    /// The bytes without secrets.
    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.forms {
            Some(forms) if forms.automaton.is_match(bytes) => {
                let mut clean = Vec::with_capacity(bytes.len());
                let end = forms.clean_until(bytes, bytes.len(), &mut clean);
                clean.extend_from_slice(&bytes[end..]);
                Cow::Owned(clean)
            }
            _ => Cow::Borrowed(bytes),
        }
    }

    /// The value without secrets, in names, texts and numbers.
    pub fn value(&self, value: Value) -> Value {
        if self.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.into_iter().map(|it| self.value(it)).collect(),
            Value::Object(members) => members.into_iter().map(|(name, it)| (self.text(name), self.value(it))).collect(),
            Value::Number(number) => match self.text(number.to_string()) {
                clean if clean == number.to_string() => Value::Number(number),
                clean => Value::String(clean),
            },
            Value::Null | Value::Bool(_) => value,
        }
    }

    /// One that cleans a stream of chunks.
    pub fn stream(&self) -> StreamScrubber {
        StreamScrubber { scrubber: self.clone(), held: Vec::new() }
    }
}

impl Forms {
    /// Writes `bytes` cleaned up to `border`, or to the end of the last secret that begins before it;
    /// answers with where it stopped.
    fn clean_until(&self, bytes: &[u8], border: usize, clean: &mut Vec<u8>) -> usize {
        let mut at = 0;
        for found in self.automaton.find_iter(bytes).take_while(|it| it.start() < border) {
            clean.extend_from_slice(&bytes[at..found.start()]);
            clean.extend_from_slice(REPLACEMENT);
            at = found.end();
        }
        if at < border {
            clean.extend_from_slice(&bytes[at..border]);
            at = border;
        }
        at
    }

    /// Where the first beginning of a secret that the end of `bytes` cuts off is; the end, if none.
    fn cut_off(&self, bytes: &[u8]) -> usize {
        let first = bytes.len().saturating_sub(self.longest - 1);
        (first..bytes.len())
            .find(|&at| self.patterns.iter().any(|it| it.len() > bytes.len() - at && it.starts_with(&bytes[at..])))
            .unwrap_or(bytes.len())
    }
}

/// Cleans a stream of chunks, secrets across their borders included.
#[derive(Debug)]
pub struct StreamScrubber {
    scrubber: Scrubber,
    held: Vec<u8>,
}

impl StreamScrubber {
    /// Takes the next chunk and gives what is certain to be clean.
    pub fn push<'a>(&mut self, chunk: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(forms) = &self.scrubber.forms else { return Cow::Borrowed(chunk) };
        if self.held.is_empty() && forms.cut_off(chunk) == chunk.len() && !forms.automaton.is_match(chunk) {
            return Cow::Borrowed(chunk);
        }
        self.held.extend_from_slice(chunk);
        let mut clean = Vec::with_capacity(self.held.len());
        let end = forms.clean_until(&self.held, forms.cut_off(&self.held), &mut clean);
        self.held.drain(..end);
        Cow::Owned(clean)
    }

    /// What was held back, at the end of the stream.
    pub fn finish(&mut self) -> Vec<u8> {
        self.scrubber.bytes(&std::mem::take(&mut self.held)).into_owned()
    }
}

fn forms_of(secret: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    forms.insert(secret.to_vec());
    forms.insert(hex::encode(secret).into_bytes());
    forms.insert(hex::encode_upper(secret).into_bytes());
    for engine in [&STANDARD, &URL_SAFE] {
        let padded = engine.encode(secret);
        forms.insert(padded.trim_end_matches('=').as_bytes().to_vec());
        forms.insert(padded.into_bytes());
        if secret.len() >= ALIGNED_BYTES_MIN {
            for before in 0..3 {
                forms.insert(aligned(engine, secret, before));
            }
        }
    }
    for keep in kept_by_encoders(secret) {
        for upper in [true, false] {
            let encoded = percent_encoded(secret, &keep, upper);
            forms.insert(encoded.replace("%20", "+").into_bytes());
            forms.insert(encoded.into_bytes());
        }
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        let json = Value::from(text).to_string();
        let json = &json[1..json.len() - 1];
        forms.insert(json.replace('/', "\\/").into_bytes());
        forms.insert(json_ascii(json, false).into_bytes());
        forms.insert(json_ascii(json, true).into_bytes());
        forms.insert(json.as_bytes().to_vec());
        for apostrophe in ["'", "&#39;", "&#x27;", "&#039;", "&apos;"] {
            for quote in ["\"", "&quot;", "&#34;"] {
                let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                forms.insert(html.replace('\'', apostrophe).replace('"', quote).into_bytes());
            }
        }
    }
}

/// The characters of a base64 text that depend on `secret` alone when `before` bytes stand before it.
fn aligned(engine: &base64::engine::GeneralPurpose, secret: &[u8], before: usize) -> Vec<u8> {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(secret);
    let encoded = engine.encode(&bytes);
    let start = (before * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    encoded.as_bytes()[start..end].to_vec()
}

/// The characters beside letters and digits that percent-encoders leave as they are: those of the
/// usual ones, and where a secret has only a few such characters, all choices among them.
fn kept_by_encoders(secret: &[u8]) -> Vec<Vec<u8>> {
    const USUAL: [&[u8]; 8] =
        [b"", b"-._~", b"-._~/", b"-._~!$&'()*+,;=:@/", b"-._~!$&'()*+,;=:@/?", b"-_.!~*'()", b"-._*", b"-_."];
    const CHOICES_MAX: usize = 4;
    let special: BTreeSet<u8> =
        secret.iter().copied().filter(|it| it.is_ascii_graphic() && !it.is_ascii_alphanumeric()).collect();
    let special: Vec<u8> = special.into_iter().collect();
    if special.len() > CHOICES_MAX {
        return USUAL.map(<[u8]>::to_vec).into();
    }
    (0..1_usize << special.len())
        .map(|choice| special.iter().enumerate().filter(|(bit, _)| choice >> bit & 1 == 1).map(|(_, it)| *it).collect())
        .collect()
}

fn percent_encoded(secret: &[u8], keep: &[u8], upper: bool) -> String {
    let mut encoded = String::new();
    for &byte in secret {
        if byte.is_ascii_alphanumeric() || keep.contains(&byte) {
            encoded.push(char::from(byte));
        } else if upper {
            let _ = write!(encoded, "%{byte:02X}");
        } else {
            let _ = write!(encoded, "%{byte:02x}");
        }
    }
    encoded
}

/// JSON text in ASCII as many libraries write it; `html`: with `<`, `>`, `&` and `'` escaped too.
fn json_ascii(json: &str, html: bool) -> String {
    let mut escaped = String::new();
    for character in json.chars() {
        if character.is_ascii() && !(html && matches!(character, '<' | '>' | '&' | '\'')) {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "p4ss w\"ö/rd<&>'+=\\end";

    fn scrubber() -> Scrubber {
        Scrubber::new([SECRET.as_bytes(), b"user:hunter2hunter2", b"abc"])
    }

    fn shown_in_many_ways() -> Vec<String> {
        let html = SECRET.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let mut shown = vec![
            SECRET.to_owned(),
            STANDARD.encode(SECRET),
            URL_SAFE.encode(SECRET).trim_end_matches('=').to_owned(),
            STANDARD.encode(format!("Authorization: Bearer {SECRET}\r\nx: y")),
            STANDARD.encode(format!("A{SECRET}")),
            STANDARD.encode(format!("AB{SECRET}C")),
            STANDARD.encode("user:hunter2hunter2"),
            hex::encode(SECRET),
            hex::encode_upper(SECRET),
            percent_encoding::utf8_percent_encode(SECRET, percent_encoding::NON_ALPHANUMERIC).to_string(),
            url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect(),
            serde_json::to_string(SECRET).expect("json"),
            serde_json::to_string(SECRET).expect("json").replace('ö', "\\u00f6"),
            html.replace('"', "&quot;").replace('\'', "&#39;"),
        ];
        shown.push(shown.concat());
        shown
    }

    #[test]
    fn secrets_are_removed_in_every_form() {
        for shown in shown_in_many_ways() {
            let clean = scrubber().text(format!("before {shown} after"));
            assert!(clean.contains("***"), "{shown}");
            assert!(clean.starts_with("before ") && clean.ends_with(" after"), "{clean}");
            assert!(!scrubber().finds(clean.as_bytes()));
        }
    }

    #[test]
    fn chunk_borders_change_nothing() {
        for shown in shown_in_many_ways() {
            let text = format!("before {shown}{shown} p4ss w {shown}");
            let whole = scrubber().text(text.clone());
            for size in [1, 2, 3, 7, 16, 1000] {
                let mut stream = scrubber().stream();
                let mut clean = Vec::new();
                for chunk in text.as_bytes().chunks(size) {
                    clean.extend_from_slice(&stream.push(chunk));
                }
                clean.extend_from_slice(&stream.finish());
                assert_eq!(String::from_utf8_lossy(&clean), whole, "in chunks of {size}");
            }
        }
    }

    #[test]
    fn what_cannot_begin_a_secret_is_not_held_back() {
        let mut stream = scrubber().stream();
        assert_eq!(&*stream.push(b"building ..."), b"building ...");
        assert_eq!(&*stream.push(b"user:hun"), b"");
        assert_eq!(&*stream.push(b"ter3"), b"user:hunter3");
        assert_eq!(stream.finish(), b"");
    }

    #[test]
    fn values_lose_secrets_in_names_texts_and_numbers() {
        let scrubber = Scrubber::new([&b"12345678"[..]]);
        let value = serde_json::json!({"12345678": ["a12345678b", 12345678, 7, null, true]});
        assert_eq!(scrubber.value(value), serde_json::json!({"***": ["a***b", "***", 7, null, true]}));
    }
}
