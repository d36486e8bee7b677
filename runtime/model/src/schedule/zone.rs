//! Time zones by their names.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::problem::most_similar;

/// A time zone that exists, by its name in the IANA database: `Europe/Berlin`, `UTC`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    name: String,
    pub(super) rules: TimeZone,
}

/// Why a text is no zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no time zone: {hint}")]
pub struct UnknownZone {
    /// What was given.
    pub given: String,
    /// What would be accepted.
    pub hint: String,
}

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), rules: TimeZone::UTC }
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;
    fn from_str(text: &str) -> Result<Self, UnknownZone> {
        let refuse = |hint: String| Err(UnknownZone { given: text.to_owned(), hint });
        if text.eq_ignore_ascii_case("utc") || text == "Z" {
            return Ok(Self::utc());
        }
        if text.starts_with(['+', '-']) {
            return refuse(
                "an offset does not say when clocks change; name the zone, for example `Europe/Berlin`".to_owned(),
            );
        }
        let known = TimeZone::get(text).ok().filter(|_| text.len() <= 64);
        match known.as_ref().and_then(|it| it.iana_name()) {
            Some(name) if name != "Etc/Unknown" => {
                Ok(Self { name: name.to_owned(), rules: known.clone().unwrap_or(TimeZone::UTC) })
            }
            Some(_) | None => {
                let names: Vec<String> = jiff::tz::db().available().map(|it| it.to_string()).collect();
                match similar(text, &names) {
                    Some(name) => refuse(format!("did you mean `{name}`?")),
                    None => refuse("name one of the IANA database, for example `Europe/Berlin` or `UTC`".to_owned()),
                }
            }
        }
    }
}

/// The zone that was probably meant: by its city, else by all of its name.
fn similar<'n>(text: &str, names: &'n [String]) -> Option<&'n str> {
    let plain = |it: &str| it.to_ascii_lowercase().replace([' ', '-'], "_");
    let city = |it: &str| it.rsplit('/').next().map(plain).unwrap_or_default();
    let regions = ["Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"];
    let places: Vec<&str> =
        names.iter().map(String::as_str).filter(|it| regions.iter().any(|region| it.starts_with(region))).collect();
    let wanted = city(text);
    let same = places.iter().find(|it| !wanted.is_empty() && city(it) == wanted).copied();
    same.or_else(|| {
        let near = |it: &&&str| strsim::damerau_levenshtein(&plain(it), &plain(text)) <= 2;
        places.iter().find(near).copied()
    })
    .or_else(|| {
        let cities: Vec<String> = places.iter().map(|it| city(it)).collect();
        let one = most_similar(&wanted, cities.iter().map(String::as_str))?;
        places.iter().find(|it| city(it) == one).copied()
    })
}

impl TryFrom<String> for Zone {
    type Error = UnknownZone;
    fn try_from(text: String) -> Result<Self, UnknownZone> {
        text.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> String {
        zone.name
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name)
    }
}
