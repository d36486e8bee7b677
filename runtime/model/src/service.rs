//! Services: which version of them is live where, what steps need of that, and what they bring about.
//!
//! A step that `delivers` a version has made it live once it succeeded, until it is rolled back: it is the step whose
//! success says that the version is there and well. One that `requires` a version does not start before one that
//! will do is live. Both are known before a release starts, so that a need which nobody will meet, or only whoever
//! waits for it, is refused then, with the whole chain.

mod outlook;
mod promise;
mod solve;

use std::fmt;

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::expression::Scope;
use crate::name::{EnvironmentName, ServiceName};
use crate::template::Template;

pub use promise::{Promise, PromisedDelivery, PromisedNeed, promise_of};
pub use solve::{Known, PlannedWait, describe, plan_waits};

/// The environment of a step that names none.
pub const ENVIRONMENT: &str = "default";

/// A service somewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Where.
    pub environment: EnvironmentName,
    /// Which.
    pub service: ServiceName,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.environment.as_str() == ENVIRONMENT {
            write!(f, "{}", self.service)
        } else {
            write!(f, "{} in {}", self.service, self.environment)
        }
    }
}

/// What a step makes live, as its author wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivers {
    /// Which service.
    pub service: ServiceName,
    /// Where, with expressions over parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Template>,
    /// Which version, with expressions over parameters.
    pub version: Template,
}

/// What a step waits for, as its author wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Requires {
    /// Which service.
    pub service: ServiceName,
    /// Where, with expressions over parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Template>,
    /// Which versions will do, with expressions over parameters.
    pub version: Template,
}

/// A version that a step makes live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Of what, and where.
    pub place: Place,
    /// Which.
    pub version: Version,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.version)
    }
}

/// A version that a step waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// Of what, and where.
    pub place: Place,
    /// Those that will do.
    pub version: VersionReq,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { environment, service } = &self.place;
        write!(f, "{service} {}", self.version)?;
        if environment.as_str() == ENVIRONMENT { Ok(()) } else { write!(f, " in {environment}") }
    }
}

impl Need {
    /// Whether this delivery would meet it.
    pub fn is_met_by(&self, delivery: &Delivery) -> bool {
        self.place == delivery.place && self.version.matches(&delivery.version)
    }
}

/// Reads a version as people write it: `2.4.1`, `v2.4` (2.4.0).
pub fn parse_version(text: &str) -> Result<Version, String> {
    let plain = text.trim();
    let plain = plain.strip_prefix('v').unwrap_or(plain);
    let end = plain.find(['-', '+']).unwrap_or(plain.len());
    let missing = 2_usize.saturating_sub(plain[..end].matches('.').count());
    let whole = format!("{}{}{}", &plain[..end], ".0".repeat(missing), &plain[end..]);
    Version::parse(&whole).map_err(|error| format!("`{text}` is no version such as `2.4.1` ({error})"))
}

/// Reads which versions will do: `>=2.4, <3`.
pub fn parse_requirement(text: &str) -> Result<VersionReq, String> {
    VersionReq::parse(text).map_err(|error| format!("`{text}` names no versions such as `>=2.4, <3` ({error})"))
}

fn text(template: &Template, scope: &Scope<'_>) -> Result<String, String> {
    match template.evaluate(scope).map_err(|error| error.to_string())? {
        serde_json::Value::String(text) => Ok(text),
        other => Ok(other.to_string()),
    }
}

fn place(service: &ServiceName, environment: Option<&Template>, scope: &Scope<'_>) -> Result<Place, String> {
    let environment = environment.map_or_else(|| Ok(ENVIRONMENT.to_owned()), |it| text(it, scope))?;
    let environment = environment.parse().map_err(|error: crate::name::InvalidName| error.to_string())?;
    Ok(Place { environment, service: service.clone() })
}

impl Delivers {
    /// What that comes to.
    pub fn resolve(&self, scope: &Scope<'_>) -> Result<Delivery, String> {
        let place = place(&self.service, self.environment.as_ref(), scope)?;
        Ok(Delivery { place, version: parse_version(&text(&self.version, scope)?)? })
    }
}

impl Requires {
    /// What that comes to.
    pub fn resolve(&self, scope: &Scope<'_>) -> Result<Need, String> {
        let place = place(&self.service, self.environment.as_ref(), scope)?;
        Ok(Need { place, version: parse_requirement(&text(&self.version, scope)?)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_people_write_them() {
        for (text, version) in [
            ("2.4.1", "2.4.1"),
            ("v2.4", "2.4.0"),
            ("3", "3.0.0"),
            ("2.4-rc.1", "2.4.0-rc.1"),
            (" 1.0.0+a ", "1.0.0+a"),
        ] {
            assert_eq!(parse_version(text).map(|it| it.to_string()), Ok(version.to_owned()), "{text}");
        }
        for wrong in ["", "latest", "1.2.3.4", "2024.01.02", "1..2"] {
            assert!(parse_version(wrong).is_err_and(|it| it.contains("is no version")), "{wrong}");
        }
        assert!(parse_requirement(">=2.4, <3").is_ok_and(|it| it.matches(&Version::new(2, 9, 0))));
        assert!(parse_requirement("latest").is_err_and(|it| it.contains("`>=2.4, <3`")));
    }
}
