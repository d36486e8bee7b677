//! What is secret in a kubeconfig.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use saphyr_parser::{Event, Parser};

/// Members whose value is a credential.
const SECRET_NAMES: [&str; 7] =
    ["token", "password", "client-key-data", "id-token", "refresh-token", "access-token", "client-secret"];

/// Lines of a decoded key that are looked for one by one; what shorter ones hold is no use to anybody.
const KEY_LINE_BYTES_MIN: usize = 16;

/// Every secret of a kubeconfig, in YAML or JSON; a text that completes `the kubeconfig …` if it is
/// neither.
pub(super) fn secrets(kubeconfig: &str) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut secrets = Vec::new();
    let mut follows = None;
    let mut parser = Parser::new_from_str(kubeconfig);
    let mut mappings = 0;
    while let Some(event) = parser.next_event() {
        // The error of the parser shows the place and may show the text.
        let (event, _) = event.map_err(|_| "is no YAML")?;
        follows = match (event, follows) {
            (Event::Scalar(value, ..), Some(name)) => {
                add(name, &value, &mut secrets);
                None
            }
            (Event::Scalar(name, ..), None) => SECRET_NAMES.into_iter().find(|it| *it == &*name),
            (Event::MappingStart(..), _) => {
                mappings += 1;
                None
            }
            _ => None,
        };
    }
    if mappings == 0 { Err("is no mapping") } else { Ok(secrets) }
}

fn add(name: &str, value: &str, secrets: &mut Vec<Vec<u8>>) {
    secrets.push(value.as_bytes().to_vec());
    if name != "client-key-data" {
        return;
    }
    if let Ok(key) = STANDARD.decode(value.split_ascii_whitespace().collect::<String>()) {
        let lines = key.split(|it| it.is_ascii_whitespace());
        secrets.extend(lines.filter(|it| it.len() >= KEY_LINE_BYTES_MIN && !it.starts_with(b"-")).map(<[u8]>::to_vec));
        secrets.push(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_yaml_and_json_are_found() {
        let key = STANDARD.encode("-----BEGIN KEY-----\nMHcCAQEEIEj0X9JmPLEZ\nshort\n-----END KEY-----\n");
        let yaml = format!(
            "apiVersion: v1\nusers:\n- name: token\n  user:\n    token: \"abc def\"\n    client-key-data: {key}\n- name: b\n  user: {{password: 'hunter2', username: bob}}\n"
        );
        let found: Vec<String> =
            secrets(&yaml).expect("yaml").iter().map(|it| String::from_utf8_lossy(it).into_owned()).collect();
        for expected in ["abc def", "hunter2", "MHcCAQEEIEj0X9JmPLEZ", key.as_str()] {
            assert!(found.iter().any(|it| it == expected), "{expected} in {found:?}");
        }
        assert!(!found.iter().any(|it| it == "bob" || it == "v1" || it == "short"));
        assert_eq!(secrets(r#"{"users":[{"user":{"token":"t0k3n"}}]}"#), Ok(vec![b"t0k3n".to_vec()]));
    }

    #[test]
    fn what_is_no_kubeconfig_is_refused() {
        assert!(secrets("just a text").is_err());
        assert!(secrets("{").is_err());
        assert!(secrets("").is_err());
    }
}
