//! What a circuit breaker is about, and when it opens.
//!
//! **Invariant:** settings hold only what a breaker can work with; they are checked when they are made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{ConnectionName, EnvironmentName, PluginName, ServiceName, TenantName, WorkflowName};
use crate::service::Place;
use crate::time::Span;

/// What a breaker stands in front of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BreakerKey {
    /// What a plugin does over a connection; fed by the ends of attempts.
    Connection {
        /// The plugin.
        plugin: PluginName,
        /// The connection.
        connection: ConnectionName,
    },
    /// The releases of a workflow; fed by their ends.
    Workflow(WorkflowName),
    /// Releases that deliver or require a version of a service; fed by the ends of those that deliver one.
    Service {
        /// Which.
        service: ServiceName,
        /// Where; none for everywhere.
        environment: Option<EnvironmentName>,
    },
    /// Releases that deliver or require a version of any service there; fed by the ends of those that deliver one.
    Environment(EnvironmentName),
    /// The releases of a tenant, those inside of others not counted; fed by their ends.
    Tenant(TenantName),
    /// Everything; only people open and close it.
    Global,
}

/// Why a text is no breaker's key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no breaker: write `connection:PLUGIN/CONNECTION`, `workflow:NAME`, `service:NAME`, \
     `service:NAME/ENVIRONMENT`, `environment:NAME`, `tenant:NAME` or `global`"
)]
pub struct InvalidBreakerKey(pub String);

impl FromStr for BreakerKey {
    type Err = InvalidBreakerKey;
    fn from_str(text: &str) -> Result<Self, InvalidBreakerKey> {
        let refuse = || InvalidBreakerKey(text.to_owned());
        match text.split_once(':') {
            None if text == "global" => Ok(Self::Global),
            Some(("workflow", name)) => Ok(Self::Workflow(name.parse().map_err(|_| refuse())?)),
            Some(("service", name)) => {
                let (service, environment) = name.split_once('/').map_or((name, None), |(it, at)| (it, Some(at)));
                let environment = environment.map(str::parse).transpose().map_err(|_| refuse())?;
                Ok(Self::Service { service: service.parse().map_err(|_| refuse())?, environment })
            }
            Some(("environment", name)) => Ok(Self::Environment(name.parse().map_err(|_| refuse())?)),
            Some(("tenant", name)) => Ok(Self::Tenant(name.parse().map_err(|_| refuse())?)),
            Some(("connection", both)) => {
                let (plugin, connection) = both.split_once('/').ok_or_else(refuse)?;
                let plugin = plugin.parse().map_err(|_| refuse())?;
                Ok(Self::Connection { plugin, connection: connection.parse().map_err(|_| refuse())? })
            }
            _ => Err(refuse()),
        }
    }
}

impl BreakerKey {
    /// The breakers of a service somewhere: of it everywhere, of it there, and of all that is there.
    pub fn of_place(place: &Place) -> [Self; 3] {
        let Place { environment, service } = place;
        let of_service = |environment| Self::Service { service: service.clone(), environment };
        [of_service(None), of_service(Some(environment.clone())), Self::Environment(environment.clone())]
    }
}

impl fmt::Display for BreakerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection { plugin, connection } => write!(f, "connection:{plugin}/{connection}"),
            Self::Workflow(name) => write!(f, "workflow:{name}"),
            Self::Service { service, environment: None } => write!(f, "service:{service}"),
            Self::Service { service, environment: Some(environment) } => write!(f, "service:{service}/{environment}"),
            Self::Environment(name) => write!(f, "environment:{name}"),
            Self::Tenant(name) => write!(f, "tenant:{name}"),
            Self::Global => f.write_str("global"),
        }
    }
}

impl TryFrom<String> for BreakerKey {
    type Error = InvalidBreakerKey;
    fn try_from(text: String) -> Result<Self, InvalidBreakerKey> {
        text.parse()
    }
}

impl From<BreakerKey> for String {
    fn from(key: BreakerKey) -> String {
        key.to_string()
    }
}

/// When a breaker opens by itself, and how it closes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct BreakerSettings {
    failures_percent: u8,
    of: u32,
    within: Span,
    consecutive: Option<u32>,
    cooldown: Span,
    probes: u32,
}

/// Settings as they are given and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// It opens when at least this percentage of the samples are failures, 1 to 100,
    pub failures_percent: u8,
    /// of at least so many,
    pub of: u32,
    /// within this time.
    pub within: Span,
    /// It opens after so many failures in a row, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive: Option<u32>,
    /// How long it is open before it lets a probe through.
    pub cooldown: Span,
    /// How many probes in a row must end well until it closes.
    pub probes: u32,
}

/// Why settings cannot be so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {given}: {accepts}")]
pub struct InvalidBreakerSettings {
    /// Which.
    pub name: &'static str,
    /// What was given.
    pub given: String,
    /// What would be accepted.
    pub accepts: &'static str,
}

/// The largest number of samples that a rule can ask for.
pub const BREAKER_SAMPLES_MAX: u32 = 10_000;

const SPAN_MAX: Span = Span::seconds(7 * 24 * 3600);

impl Default for Written {
    /// What `windlass breaker set` fills in.
    fn default() -> Self {
        let (of, within, cooldown) = (10, Span::seconds(600), Span::seconds(300));
        Self { failures_percent: 50, of, within, consecutive: Some(5), cooldown, probes: 1 }
    }
}

impl TryFrom<Written> for BreakerSettings {
    type Error = InvalidBreakerSettings;
    fn try_from(written: Written) -> Result<Self, InvalidBreakerSettings> {
        let refuse = |name, given: &dyn fmt::Display, accepts| {
            Err(InvalidBreakerSettings { name, given: given.to_string(), accepts })
        };
        let Written { failures_percent, of, within, consecutive, cooldown, probes } = written;
        if !(1..=100).contains(&failures_percent) {
            return refuse("the share of failures", &format!("{failures_percent}%"), "it may be 1% to 100%");
        }
        if !(1..=BREAKER_SAMPLES_MAX).contains(&of) {
            return refuse("the number of samples", &of, "it may be 1 to 10000");
        }
        if let Some(consecutive) = consecutive.filter(|it| !(1..=BREAKER_SAMPLES_MAX).contains(it)) {
            return refuse("the number of failures in a row", &consecutive, "it may be 1 to 10000");
        }
        if !(Span::seconds(1)..=SPAN_MAX).contains(&within) {
            return refuse("the window", &within, "it may be 1s to 7d");
        }
        if !(Span(100)..=SPAN_MAX).contains(&cooldown) {
            return refuse("the cooldown", &cooldown, "it may be 100ms to 7d");
        }
        if !(1..=1000).contains(&probes) {
            return refuse("the number of probes", &probes, "it may be 1 to 1000");
        }
        Ok(Self { failures_percent, of, within, consecutive, cooldown, probes })
    }
}

impl From<BreakerSettings> for Written {
    fn from(settings: BreakerSettings) -> Self {
        let BreakerSettings { failures_percent, of, within, consecutive, cooldown, probes } = settings;
        Self { failures_percent, of, within, consecutive, cooldown, probes }
    }
}

impl BreakerSettings {
    /// The time that is looked at.
    pub fn within(&self) -> Span {
        self.within
    }

    /// How long it is open before it lets a probe through.
    pub fn cooldown(&self) -> Span {
        self.cooldown
    }

    /// How many probes in a row must end well until it closes.
    pub fn probes(&self) -> u32 {
        self.probes
    }

    /// Whether so many failures in a row are too many.
    pub fn is_broken_by_a_row(&self, failures: u32) -> bool {
        self.consecutive.is_some_and(|it| failures >= it)
    }

    /// Whether so many failures among so many samples are too many.
    pub fn is_broken_by_a_rate(&self, failures: u64, samples: u64) -> bool {
        let enough = failures > 0 && samples >= u64::from(self.of);
        enough && failures.saturating_mul(100) >= samples.saturating_mul(u64::from(self.failures_percent))
    }
}

impl fmt::Display for BreakerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}% of at least {} within {}", self.failures_percent, self.of, self.within)?;
        if let Some(consecutive) = self.consecutive {
            write!(f, ", or {consecutive} in a row")?;
        }
        write!(f, "; open for {}, then {}", self.cooldown, probes(self.probes))
    }
}

fn probes(count: u32) -> String {
    if count == 1 { "1 good probe".to_owned() } else { format!("{count} good probes in a row") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_what_is_none_says_what_would_be_one() {
        for text in [
            "connection:http/api",
            "workflow:payments",
            "service:payments",
            "service:payments/production",
            "environment:production",
            "tenant:retail",
            "global",
        ] {
            assert_eq!(text.parse::<BreakerKey>().expect(text).to_string(), text);
        }
        for text in [
            "",
            "globe",
            "global:",
            "connection:http",
            "connection:/api",
            "workflow:",
            "workflow:A",
            "x:y",
            "service:",
            "service:a/",
            "service:/a",
            "service:a/b/c",
            "environment:",
            "environment:a/b",
            "tenant:",
            "tenant",
        ] {
            let error = text.parse::<BreakerKey>().expect_err(text).to_string();
            assert!(error.contains("connection:PLUGIN/CONNECTION"), "{error}");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let good = Written::default();
        assert_eq!(Written::from(BreakerSettings::try_from(good).expect("good")), good);
        for (bad, says) in [
            (Written { failures_percent: 0, ..good }, "the share of failures is 0%: it may be 1% to 100%"),
            (Written { failures_percent: 101, ..good }, "the share of failures is 101%: it may be 1% to 100%"),
            (Written { of: 0, ..good }, "the number of samples is 0: it may be 1 to 10000"),
            (Written { consecutive: Some(0), ..good }, "the number of failures in a row is 0: it may be 1 to 10000"),
            (Written { within: Span(10), ..good }, "the window is 10ms: it may be 1s to 7d"),
            (Written { cooldown: Span(0), ..good }, "the cooldown is 0s: it may be 100ms to 7d"),
            (Written { probes: 0, ..good }, "the number of probes is 0: it may be 1 to 1000"),
        ] {
            assert_eq!(BreakerSettings::try_from(bad).expect_err(says).to_string(), says);
        }
    }
}
