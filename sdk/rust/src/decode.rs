//! JSON with the path to what is wrong in it.

use serde::de::DeserializeOwned;

/// Reads JSON; the error names the field: `parameters.VERSION: invalid type: …`.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        // What ends too early has no place.
        if path == "." || path == "?" {
            error.into_inner().to_string()
        } else {
            format!("{path}: {}", error.into_inner())
        }
    })?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(value)
}
