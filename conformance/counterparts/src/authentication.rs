//! Who is calling: basic and bearer credentials compared with what the simulator was started with.

use crate::http::Request;
use crate::simulator::SimulatorOptions;
use base64::Engine;

/// What a request's `Authorization` header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presented {
    /// No header.
    Nothing,
    /// A user and a password.
    Basic { user: String, password: String },
    /// A bearer token.
    Bearer(String),
    /// A header which cannot be read.
    Unreadable,
}

impl Presented {
    pub(crate) fn of(request: &Request) -> Presented {
        let Some(header) = request.authorization() else {
            return if request.headers.contains_key("authorization") {
                Presented::Unreadable
            } else {
                Presented::Nothing
            };
        };
        let Some((scheme, value)) = header.split_once(' ') else { return Presented::Unreadable };
        if scheme.eq_ignore_ascii_case("bearer") {
            return Presented::Bearer(value.trim().to_owned());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Presented::Unreadable;
        }
        base64::engine::general_purpose::STANDARD
            .decode(value.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| {
                let (user, password) = text.split_once(':')?;
                Some(Presented::Basic { user: user.to_owned(), password: password.to_owned() })
            })
            .unwrap_or(Presented::Unreadable)
    }

    /// The user, when this is the basic or bearer credential the simulator was started with.
    pub(crate) fn user<'a>(&self, options: &'a SimulatorOptions) -> Option<&'a str> {
        let known = match self {
            Presented::Basic { user, password } => *user == options.user && *password == options.password,
            Presented::Bearer(token) => options.bearer.as_ref() == Some(token),
            Presented::Nothing | Presented::Unreadable => false,
        };
        known.then_some(options.user.as_str())
    }
}
