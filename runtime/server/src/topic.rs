//! Callback topics: they say which operation made them, and cannot be guessed or forged.
//!
//! **Invariant:** a topic is a bearer credential: whoever has it may call back, once. It is in the journal and with
//! whoever the plugin gave it to; what goes to logs, messages and screens passes [`redacted`] first.
//! **Invariant:** there is one way to write a topic, so one that was taken is not taken again in other letters.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use windlass_engine::TopicMaker;
use windlass_model::event::Operation;
use windlass_model::name::ReleaseId;

/// What every topic begins with, so that programs which look for secrets know one.
const PREFIX: &str = "wcb_";

/// Bytes of the nonce, as [`crate::clock::random_bytes`] makes it, and of what is left of the signature.
const PART_BYTES: usize = 16;

/// A longer text is no topic.
const TOPIC_BYTES_MAX: usize = 512;

/// Makes and checks topics: the prefix, then in base64 `release/step/operation/attempt`, a nonce and a signature.
#[derive(Clone)]
pub(crate) struct Topics {
    key: [u8; 32],
}

impl Topics {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    fn mac(&self, signed: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length will do");
        mac.update(signed);
        mac
    }

    /// A new topic for an operation of a step of `release`.
    pub(crate) fn create(&self, release: &ReleaseId, maker: &TopicMaker) -> String {
        let TopicMaker { step, operation, attempt } = maker;
        let mut bytes = format!("{release}/{step}/{}/{attempt}", operation.name()).into_bytes();
        bytes.extend_from_slice(&crate::clock::random_bytes());
        let mac = self.mac(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac[..PART_BYTES]);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Who made a topic, if it was made here.
    pub(crate) fn read(&self, topic: &str) -> Option<(ReleaseId, TopicMaker)> {
        let text = topic.strip_prefix(PREFIX).filter(|_| topic.len() <= TOPIC_BYTES_MAX)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (signed, mac) = bytes.split_at_checked(bytes.len().checked_sub(PART_BYTES)?)?;
        self.mac(signed).verify_truncated_left(mac).ok()?;
        let maker = signed.get(..signed.len().checked_sub(PART_BYTES)?)?;
        let mut parts = std::str::from_utf8(maker).ok()?.splitn(4, '/');
        let (release, step) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let name = parts.next()?;
        let operation =
            [Operation::Start, Operation::Cancel, Operation::Rollback].into_iter().find(|it| it.name() == name)?;
        let attempt = parts.next()?.parse().ok()?;
        Some((release, TopicMaker { step, operation, attempt }))
    }
}

/// Whether every letter may be in a topic.
fn is_of_topic(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// The text with `wcb_***` in place of every topic, whole or cut.
pub(crate) fn redacted(text: String) -> String {
    replaced(text, &|_| format!("{PREFIX}***"))
}

/// The text with a name in place of every topic, the same for the same topic; nobody can call it.
pub(crate) fn named(text: String) -> String {
    use sha2::Digest as _;
    replaced(text, &|topic| format!("callback-{}", &hex::encode(Sha256::digest(topic))[..8]))
}

fn replaced(text: String, by: &dyn Fn(&str) -> String) -> String {
    if !text.contains(PREFIX) {
        return text;
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find(PREFIX) {
        let (before, topic) = rest.split_at(at + PREFIX.len());
        let end = topic.bytes().position(|it| !is_of_topic(it)).unwrap_or(topic.len());
        if end > 0 {
            clean.push_str(&before[..before.len() - PREFIX.len()]);
            clean.push_str(&by(&topic[..end]));
        } else {
            clean.push_str(before);
        }
        rest = &topic[end..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    fn made(step: &str, operation: Operation, attempt: u32) -> (ReleaseId, TopicMaker) {
        let release = "payments-3".parse().expect("an id");
        (release, TopicMaker { step: step.parse().expect("a name"), operation, attempt })
    }

    #[test]
    fn topics_read_back_and_forged_ones_do_not() {
        let topics = Topics::new([7; 32]);
        for operation in [Operation::Start, Operation::Cancel, Operation::Rollback] {
            let (release, maker) = made("build", operation, 17);
            let topic = topics.create(&release, &maker);
            assert_eq!(topics.read(&topic), Some((release.clone(), maker.clone())));
            assert_ne!(topics.create(&release, &maker), topic);
            assert_eq!(Topics::new([8; 32]).read(&topic), None);
            for bad in [&topic[..topic.len() - 1], &topic[1..], &format!("{topic}A"), &format!("{topic}="), "wcb_", ""]
            {
                assert_eq!(topics.read(bad), None, "{bad}");
            }
            // One for another release, with the signature of this one.
            let mut bytes = URL_SAFE_NO_PAD.decode(&topic[PREFIX.len()..]).expect("base64");
            bytes[9] = b'4';
            assert!(bytes.starts_with(b"payments-4/build/"));
            assert_eq!(topics.read(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))), None);
        }
    }

    #[test]
    fn no_other_text_is_taken_for_a_topic() {
        let mut random = rand::rngs::StdRng::seed_from_u64(17);
        let topics = Topics::new([7; 32]);
        let (release, maker) = made("build", Operation::Start, 1);
        let topic = topics.create(&release, &maker);
        let letters: Vec<char> = ('\0'..='\u{7f}').chain("äßﬁ€🦀".chars()).collect();
        for _ in 0..20_000 {
            let mut text: Vec<char> = topic.chars().collect();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..text.len().max(1));
                let letter = letters[random.random_range(0..letters.len())];
                match random.random_range(0..4) {
                    _ if text.is_empty() => text.push(letter),
                    0 => text[at] = letter,
                    1 => text.insert(at, letter),
                    2 => drop(text.remove(at)),
                    _ => text.truncate(at.max(1)),
                }
            }
            let text: String = text.into_iter().collect();
            assert_eq!(topics.read(&text).is_some(), text == topic, "{text}");
        }
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random.random_range(0..200)).map(|_| random.random()).collect();
            assert_eq!(topics.read(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&bytes))), None);
            assert_eq!(topics.read(&String::from_utf8_lossy(&bytes)), None);
        }
    }

    #[test]
    fn what_is_signed_and_makes_no_sense_is_refused() {
        let topics = Topics::new([7; 32]);
        for text in [
            "",
            "payments-3",
            "payments-3/build/start",
            "payments-3/build/start/x",
            "x/build/start/1",
            "payments-3/build/find/1",
        ] {
            let mut bytes = [text.as_bytes(), &[0; PART_BYTES]].concat();
            let mac = topics.mac(&bytes).finalize().into_bytes();
            bytes.extend_from_slice(&mac[..PART_BYTES]);
            assert_eq!(topics.read(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))), None, "{text}");
        }
    }

    #[test]
    fn topics_are_taken_out_of_texts() {
        let (release, maker) = made("build", Operation::Start, 1);
        let topic = Topics::new([7; 32]).create(&release, &maker);
        let redact = |text: &str| redacted(text.to_owned());
        assert_eq!(redact(&format!("POST https://x/callbacks/{topic}?a=1")), "POST https://x/callbacks/wcb_***?a=1");
        assert_eq!(redact(&format!("{topic},id_{topic} {}", &topic[..30])), "wcb_***,id_wcb_*** wcb_***");
        let named = |text: &str| named(text.to_owned());
        let first = named(&topic);
        assert!(first.starts_with("callback-") && first.len() == 17 && !topic.contains(&first[9..]), "{first}");
        assert_eq!(named(&format!("a {topic} b {topic}.")), format!("a {first} b {first}."));
        assert_ne!(named(&Topics::new([8; 32]).create(&release, &maker)), first);
        for same in ["", "nothing", "wcb_", "wcb_ and wcb_.", "ä wcb_€"] {
            assert_eq!(redact(same), same);
        }
    }

    /// See `conformance/fuzz/README.md`.
    #[test]
    fn fuzz_topic() {
        use windlass_fuzz::{Effort, TEXT, fuzz};
        let topics = Topics::new([3; 32]);
        let (release, maker) = made("deploy", Operation::Start, 1);
        let (_, other) = made("deploy-other-things", Operation::Rollback, 77);
        let corpus: Vec<Vec<u8>> =
            [&maker, &other].map(|it| topics.create(&release, it).into_bytes()).into_iter().collect();
        let known = corpus.clone();
        fuzz("topic", Effort::of(5_000), &corpus, &[TEXT, &["wcb_", "=", "-", "_", "A"]].concat(), |bytes| {
            let text = String::from_utf8_lossy(bytes);
            if topics.read(&text).is_some() {
                assert!(known.iter().any(|it| it == bytes), "{text} was never made");
            }
            assert!(
                !redacted(format!("see {text}")).contains(std::str::from_utf8(&known[0]).expect("a text")),
                "{text}"
            );
        });
    }
}
