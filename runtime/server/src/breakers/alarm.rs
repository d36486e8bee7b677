//! What alerts do to breakers: one that fires keeps those open that were told of it, until it is resolved.

use std::collections::BTreeMap;

use windlass_engine::{Alarm, Breaker};
use windlass_model::alert::Alert;
use windlass_model::breaker::BreakerKey;
use windlass_model::time::Timestamp;

use super::{BreakerError, Breakers, Entry};
use crate::clock::now;
use crate::runtime::RuntimeError;

impl Breakers {
    /// An alert fires. Gives the breakers for which that is news; durable when this returns.
    pub(crate) async fn alarm(&self, alert: &Alert) -> Result<Vec<BreakerKey>, RuntimeError> {
        let alarm = Alarm {
            fingerprint: alert.fingerprint.clone(),
            starts_at: alert.starts_at,
            says: alert.in_words(),
            dismissed: false,
        };
        let concerns = |it: &Entry| it.alert.as_ref().is_some_and(|it| it.concerns(alert));
        self.tell(concerns, |it| it.alarm(alarm.clone(), now())).await
    }

    /// An alert is resolved. Gives the breakers that knew of it; durable when this returns.
    pub(crate) async fn calm(&self, fingerprint: &str, began: Timestamp) -> Result<Vec<BreakerKey>, RuntimeError> {
        self.tell(|_| true, |it| it.calm(fingerprint, began, now())).await
    }

    /// Tells breakers something, which gives whether that changes anything; what changes nothing is not written.
    async fn tell(
        &self,
        concerns: impl Fn(&Entry) -> bool,
        tell: impl Fn(&mut Breaker) -> bool,
    ) -> Result<Vec<BreakerKey>, RuntimeError> {
        if self.is_quiet() {
            return Ok(Vec::new());
        }
        let is_news = |(_, it): &(&BreakerKey, &Entry)| concerns(it) && tell(&mut it.breaker.clone());
        let keys: Vec<BreakerKey> = self.entries().iter().filter(is_news).map(|(key, _)| key.clone()).collect();
        for key in &keys {
            let change = |entries: &mut BTreeMap<BreakerKey, Entry>| -> Result<(), BreakerError> {
                if let Some(entry) = entries.get_mut(key) {
                    tell(&mut entry.breaker);
                }
                Ok(())
            };
            self.change(key, change).await?;
        }
        Ok(keys)
    }
}
