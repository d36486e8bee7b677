//! Secrets: where they are read, and a type that does not show them.

use std::fmt;
use std::sync::Arc;

use windlass_model::connection::SecretReference;

/// The shortest secret that is used. A shorter one could not be scrubbed without blackening
/// everything.
pub(crate) const SECRET_BYTES_MIN: usize = 4;

const SECRET_BYTES_MAX: u64 = 1024 * 1024;

/// A secret's value. It has no `Display`, and its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Holds `value`.
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self(value.into())
    }

    /// The value itself: for the wire, a tool's private file and the scrubber, for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Why a secret cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It is not where the reference points.
    #[error("the secret `{reference}` cannot be read: {why}")]
    Unreadable {
        /// Where it should be.
        reference: String,
        /// What went wrong.
        why: String,
    },
    /// Too short to be scrubbed from answers.
    #[error(
        "the secret `{reference}` is shorter than {SECRET_BYTES_MIN} bytes, which cannot be removed from answers and is not used"
    )]
    TooShort {
        /// Where it is.
        reference: String,
    },
    /// It cannot be sent as it is.
    #[error("the secret `{reference}` holds {what}, which an HTTP header cannot carry")]
    Unsendable {
        /// Where it is.
        reference: String,
        /// What it holds.
        what: &'static str,
    },
}

/// Where secrets are read. Asked each time one is needed, so that a changed secret is used at once.
pub trait SecretSource: Send + Sync {
    /// The secret's value.
    fn resolve(&self, reference: &SecretReference) -> Result<Secret, SecretError>;
}

/// Reads secrets from the process's environment and from files.
#[derive(Debug, Clone, Copy, Default)]
pub struct EnvironmentAndFiles;

impl SecretSource for EnvironmentAndFiles {
    fn resolve(&self, reference: &SecretReference) -> Result<Secret, SecretError> {
        let unreadable = |why: String| SecretError::Unreadable { reference: reference.to_string(), why };
        let value = match reference {
            SecretReference::Environment(name) => match std::env::var(name) {
                Ok(value) => value,
                Err(std::env::VarError::NotPresent) => return Err(unreadable(
                    "the variable is not set in the process that makes the calls (`windlass serve`, where one runs)"
                        .to_owned(),
                )),
                // The error of this case shows the value.
                Err(std::env::VarError::NotUnicode(_)) => return Err(unreadable("it is not UTF-8".to_owned())),
            },
            SecretReference::File(path) => {
                let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
                if size > SECRET_BYTES_MAX {
                    return Err(unreadable(format!("the file is larger than {SECRET_BYTES_MAX} bytes")));
                }
                let mut value = std::fs::read_to_string(path).map_err(|error| unreadable(error.kind().to_string()))?;
                if value.ends_with('\n') {
                    value.pop();
                    if value.ends_with('\r') {
                        value.pop();
                    }
                }
                value
            }
        };
        checked(reference, value)
    }
}

fn checked(reference: &SecretReference, value: String) -> Result<Secret, SecretError> {
    if value.len() < SECRET_BYTES_MIN {
        return Err(SecretError::TooShort { reference: reference.to_string() });
    }
    Ok(Secret::new(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_a_file_without_its_line_end() {
        let folder = tempfile::tempdir().expect("a folder");
        for (content, expected) in [
            ("hunter2\n", Some("hunter2")),
            ("hunter2\r\n", Some("hunter2")),
            ("a b\n\n", Some("a b\n")),
            ("abc", None),
            ("", None),
        ] {
            let path = folder.path().join("secret");
            std::fs::write(&path, content).expect("writable");
            let secret = EnvironmentAndFiles.resolve(&SecretReference::File(path));
            assert_eq!(secret.ok().as_ref().map(Secret::expose), expected, "{content:?}");
        }
        let missing = EnvironmentAndFiles.resolve(&SecretReference::File(folder.path().join("none")));
        assert!(matches!(missing, Err(SecretError::Unreadable { .. })));
        let missing =
            EnvironmentAndFiles.resolve(&SecretReference::Environment("WINDLASS_NO_SUCH_VARIABLE".to_owned()));
        assert!(matches!(missing, Err(SecretError::Unreadable { .. })));
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(Secret(***))");
    }
}
