//! Callback topics: they name their release and cannot be guessed or forged.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use windlass_model::name::ReleaseId;

/// Makes and checks topics: `<release>.<nonce>.<mac>`.
#[derive(Clone)]
pub(crate) struct Topics {
    key: [u8; 32],
}

impl Topics {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length will do");
        mac.update(signed.as_bytes());
        mac
    }

    /// A new topic for a step of `release`.
    pub(crate) fn create(&self, release: &ReleaseId) -> String {
        let signed = format!("{release}.{}", hex::encode(rand::random::<[u8; 16]>()));
        let mac = hex::encode(&self.mac(&signed).finalize().into_bytes()[..16]);
        format!("{signed}.{mac}")
    }

    /// The release of a topic that was made here.
    pub(crate) fn release(&self, topic: &str) -> Option<ReleaseId> {
        let (signed, mac) = topic.rsplit_once('.')?;
        self.mac(signed).verify_truncated_left(&hex::decode(mac).ok().filter(|it| it.len() == 16)?).ok()?;
        signed.split_once('.')?.0.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forged_topics_are_refused() {
        let topics = Topics::new([7; 32]);
        let release: ReleaseId = "payments-3".parse().expect("an id");
        let topic = topics.create(&release);
        assert_eq!(topics.release(&topic), Some(release));
        assert_eq!(Topics::new([8; 32]).release(&topic), None);
        assert_eq!(topics.release(&topic.replace("payments-3", "payments-4")), None);
        for bad in ["", "payments-3", "payments-3.00.", "payments-3..00", &topic[..topic.len() - 2]] {
            assert_eq!(topics.release(bad), None, "{bad}");
        }
    }
}
