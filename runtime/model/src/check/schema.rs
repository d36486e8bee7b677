//! JSON Schemas as types: what kinds of values one allows, what its properties are, and in words what
//! breaks it.
//!
//! Only as much of JSON Schema is understood as can be decided for certain; all else allows anything.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::artifact;
use crate::expression::kind_of;
use crate::parse::one_of;
use crate::problem::{PROBLEMS_MAX, did_you_mean, listed, most_similar};

/// A set of kinds of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    pub(crate) const NULL: Self = Self(1);
    pub(crate) const BOOLEAN: Self = Self(2);
    pub(crate) const INTEGER: Self = Self(4);
    pub(crate) const FRACTION: Self = Self(8);
    pub(crate) const TEXT: Self = Self(16);
    pub(crate) const LIST: Self = Self(32);
    pub(crate) const OBJECT: Self = Self(64);
    /// What CEL knows and JSON does not: bytes, types, optional values.
    pub(crate) const OTHER: Self = Self(128);
    pub(crate) const NUMBER: Self = Self(4 | 8);
    pub(crate) const JSON: Self = Self(127);
    pub(crate) const ANY: Self = Self(255);
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether a value may be of both.
    pub(crate) fn meets(self, other: Self) -> bool {
        !self.and(other).is_none()
    }

    pub(crate) fn within(self, other: Self) -> bool {
        !self.is_none() && self.and(other) == self
    }

    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(it) if it.is_f64() && it.as_f64().is_none_or(|it| it.fract() != 0.0) => Self::FRACTION,
            Value::Number(_) => Self::INTEGER,
            Value::String(_) => Self::TEXT,
            Value::Array(_) => Self::LIST,
            Value::Object(_) => Self::OBJECT,
        }
    }

    fn named(name: &str) -> Self {
        match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" => Self::INTEGER,
            "number" => Self::NUMBER,
            "string" => Self::TEXT,
            "array" => Self::LIST,
            "object" => Self::OBJECT,
            _ => Self::JSON,
        }
    }

    /// `a text or a list`
    pub(crate) fn describe(self) -> String {
        if self.and(Self::JSON) == Self::JSON {
            return "anything".to_owned();
        }
        let mut words = Vec::new();
        for (kinds, word) in [
            (Self::TEXT, "a text"),
            (Self::NUMBER, "a number"),
            (Self::BOOLEAN, "a boolean"),
            (Self::LIST, "a list"),
            (Self::OBJECT, "an object"),
            (Self::NULL, "null"),
            (Self::OTHER, "something that JSON has not"),
        ] {
            if !self.meets(kinds) {
                continue;
            }
            words.push(if kinds == Self::NUMBER && !self.meets(Self::FRACTION) { "a whole number" } else { word });
        }
        match words.as_slice() {
            [] => "nothing".to_owned(),
            [one] => (*one).to_owned(),
            [all @ .., last] => format!("{} or {last}", all.join(", ")),
        }
    }
}

/// How far references and combinations are followed.
const DEPTH_MAX: usize = 16;

/// A schema within a document that its references point into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema<'s> {
    root: &'s Value,
    node: &'s Value,
    depth: usize,
}

/// What a schema says of a property.
pub(crate) enum Property<'s> {
    /// Declared, in one or more alternatives.
    Declared(Vec<Schema<'s>>),
    /// Not declared, and the schema declares others.
    Undeclared(Vec<&'s str>),
    /// Nothing is known.
    Unknown,
}

impl<'s> Schema<'s> {
    pub(crate) fn new(root: &'s Value) -> Self {
        Self { root, node: root, depth: 0 }
    }

    fn with(self, node: &'s Value) -> Self {
        Self { node, depth: self.depth + 1, ..self }
    }

    /// The schema that `$ref` points to.
    fn referenced(self) -> Option<Self> {
        let pointer = self.node.get("$ref")?.as_str()?.strip_prefix('#')?;
        (self.depth < DEPTH_MAX).then(|| self.root.pointer(pointer).map(|it| self.with(it))).flatten()
    }

    fn alternatives(self, keyword: &str) -> impl Iterator<Item = Self> {
        let items = self.node.get(keyword).and_then(Value::as_array).filter(|_| self.depth < DEPTH_MAX);
        items.into_iter().flatten().map(move |it| self.with(it))
    }

    /// Kinds of values that may be accepted.
    pub(crate) fn kinds(self) -> Kinds {
        if self.node == &Value::Bool(false) {
            return Kinds::NONE;
        }
        let mut kinds = Kinds::JSON;
        match self.node.get("type") {
            Some(Value::String(name)) => kinds = kinds.and(Kinds::named(name)),
            Some(Value::Array(names)) => {
                let named = names.iter().filter_map(Value::as_str).map(Kinds::named).fold(Kinds::NONE, Kinds::or);
                kinds = kinds.and(named);
            }
            _ => {}
        }
        if let Some(value) = self.node.get("const") {
            kinds = kinds.and(Kinds::of(value));
        }
        if let Some(values) = self.node.get("enum").and_then(Value::as_array) {
            kinds = kinds.and(values.iter().map(Kinds::of).fold(Kinds::NONE, Kinds::or));
        }
        if let Some(other) = self.referenced() {
            kinds = kinds.and(other.kinds());
        }
        for it in self.alternatives("allOf") {
            kinds = kinds.and(it.kinds());
        }
        for keyword in ["anyOf", "oneOf"] {
            let any = self.alternatives(keyword).map(Self::kinds).reduce(Kinds::or);
            kinds = kinds.and(any.unwrap_or(Kinds::JSON));
        }
        kinds
    }

    /// This schema and all that it refers to or combines, each of which may describe the value.
    fn parts(self) -> Vec<Self> {
        let mut parts = vec![self];
        parts.extend(self.referenced().into_iter().flat_map(Self::parts));
        for keyword in ["allOf", "anyOf", "oneOf"] {
            parts.extend(self.alternatives(keyword).flat_map(Self::parts));
        }
        parts
    }

    /// What it says of a property of an object.
    pub(crate) fn property(self, name: &str) -> Property<'s> {
        let mut declared = Vec::new();
        let mut names: Vec<&'s str> = Vec::new();
        let mut open = false;
        for part in self.parts() {
            let properties = part.node.get("properties").and_then(Value::as_object);
            if let Some(properties) = properties {
                names.extend(properties.keys().map(String::as_str));
                declared.extend(properties.get(name).map(|it| part.with(it)));
            }
            match part.node.get("additionalProperties") {
                Some(Value::Bool(false)) | None => {}
                Some(Value::Bool(true)) => open = true,
                Some(more) => {
                    open = true;
                    if properties.is_none_or(|it| !it.contains_key(name)) {
                        declared.push(part.with(more));
                    }
                }
            }
            open |= ["patternProperties", "unevaluatedProperties", "if", "dependentSchemas", "$dynamicRef"]
                .iter()
                .any(|it| part.node.get(*it).is_some_and(|it| *it != Value::Bool(false)));
        }
        if !declared.is_empty() {
            Property::Declared(declared)
        } else if open || names.is_empty() {
            Property::Unknown
        } else {
            Property::Undeclared(names)
        }
    }

    /// Schemas that describe the items of a list.
    pub(crate) fn items(self) -> Vec<Self> {
        self.parts()
            .into_iter()
            .filter(|it| it.node.get("prefixItems").is_none())
            .filter_map(|part| part.node.get("items").map(|it| part.with(it)))
            .collect()
    }

    /// The schema itself.
    pub(crate) fn declaration(self) -> &'s Value {
        self.node
    }

    /// Properties that it declares.
    pub(crate) fn names(self) -> Vec<&'s str> {
        let properties = self.parts().into_iter().filter_map(|it| it.node.get("properties").and_then(Value::as_object));
        properties.flat_map(|it| it.keys().map(String::as_str)).collect()
    }

    /// The only texts allowed, if they are listed.
    pub(crate) fn texts(self) -> Option<Vec<&'s str>> {
        self.parts().into_iter().find_map(|part| {
            let values = part.node.get("enum")?.as_array()?;
            values.iter().map(Value::as_str).collect()
        })
    }

    /// Schemas of the value at a place below, as far as they are known.
    pub(crate) fn at<'p>(self, path: impl Iterator<Item = &'p str>) -> Vec<Self> {
        let mut schemas = vec![self];
        for part in path {
            schemas = schemas
                .into_iter()
                .flat_map(|it| match it.property(part) {
                    Property::Declared(found) => found,
                    Property::Undeclared(_) | Property::Unknown if part.parse::<usize>().is_ok() => it.items(),
                    Property::Undeclared(_) | Property::Unknown => Vec::new(),
                })
                .collect();
        }
        schemas
    }
}

/// Kinds that several alternatives allow together; anything when there are none.
pub(crate) fn kinds_of_all(schemas: &[Schema<'_>]) -> Kinds {
    schemas.iter().map(|it| it.kinds()).reduce(Kinds::or).unwrap_or(Kinds::JSON)
}

/// What breaks a schema: of a value of the wrong type only that.
pub(crate) fn breaches<'v>(validator: &'v jsonschema::Validator, value: &'v Value) -> Vec<ValidationError<'v>> {
    let mut errors: Vec<_> = validator.iter_errors(value).take(PROBLEMS_MAX).collect();
    let mistyped: Vec<String> = errors
        .iter()
        .filter(|it| matches!(it.kind(), ValidationErrorKind::Type { .. }))
        .map(|it| it.instance_path().to_string())
        .collect();
    errors.retain(|it| {
        matches!(it.kind(), ValidationErrorKind::Type { .. }) || !mistyped.contains(&it.instance_path().to_string())
    });
    errors
}

/// Without a field that is missing where one is written that is much like it and unknown: that is one mistake, and told there.
pub(super) fn misspelt_once<'v>(schema: &Value, mut errors: Vec<ValidationError<'v>>) -> Vec<ValidationError<'v>> {
    let misspelt: Vec<(String, String)> = errors
        .iter()
        .filter(|it| !is_conditional(it))
        .filter_map(|error| match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => Some((error.instance_path(), unexpected)),
            _ => None,
        })
        .flat_map(|(at, unexpected)| {
            let at = at.to_string();
            let path: Vec<String> = steps_of(&at);
            let places = Schema::new(schema).at(path.iter().map(String::as_str));
            let names: Vec<&str> = places.iter().flat_map(|it| it.names()).collect();
            let meant = unexpected.iter().filter_map(|it| most_similar(it, names.iter().copied()));
            meant.map(|it| (at.clone(), it.to_owned())).collect::<Vec<_>>()
        })
        .collect();
    errors.retain(|error| match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default().to_owned();
            !misspelt.contains(&(error.instance_path().to_string(), name))
        }
        _ => true,
    });
    errors
}

/// Names of fields and numbers of items of a pointer.
pub(super) fn steps_of(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|it| it.replace("~1", "/").replace("~0", "~")).collect()
}

/// Whether it holds only because some other value is what it is.
pub(super) fn is_conditional(error: &ValidationError<'_>) -> bool {
    let path = error.evaluation_path().to_string();
    path.split('/').any(|it| {
        matches!(it, "if" | "then" | "else" | "not" | "dependentSchemas" | "unevaluatedProperties" | "unevaluatedItems")
    })
}

/// What breaks a schema, in words.
pub(crate) fn explain(error: &ValidationError<'_>) -> String {
    let value = error.instance();
    let shown = short(value);
    match error.kind() {
        ValidationErrorKind::Type { .. } => {
            let wanted = error_types(error);
            format!("{shown} is {}, not {}", kind_of(value), wanted.describe())
        }
        ValidationErrorKind::Enum { options } => match options.as_array() {
            Some(options) => format!(
                "{shown} is not one of {}",
                one_of(options.iter().map(plain).collect::<Vec<_>>().iter().map(String::as_str))
            ),
            None => error.to_string(),
        },
        ValidationErrorKind::Constant { expected_value } => format!("{shown} is not `{}`", plain(expected_value)),
        ValidationErrorKind::Pattern { pattern } => format!("{shown} does not match `{pattern}`"),
        ValidationErrorKind::Minimum { limit } => format!("{shown} is less than {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("{shown} is more than {limit}"),
        ValidationErrorKind::MinLength { limit } => format!("{shown} has fewer than {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("{shown} has more than {limit} characters"),
        ValidationErrorKind::MinItems { limit } => format!("it has fewer than {limit} items"),
        ValidationErrorKind::MaxItems { limit } => format!("it has more than {limit} items"),
        ValidationErrorKind::Required { property } => format!("`{}` is missing", plain(property)),
        ValidationErrorKind::AdditionalProperties { unexpected } => format!("there is no field {}", listed(unexpected)),
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            // The alternative that the value was most likely meant for: the one of its own type.
            let meant = context.iter().find(|it| {
                !it.iter().any(|it| {
                    matches!(it.kind(), ValidationErrorKind::Type { .. }) && it.instance_path() == error.instance_path()
                })
            });
            match meant.and_then(|it| it.first()) {
                Some(inner) => explain(inner),
                None => {
                    let kinds = context.iter().flatten().map(error_types).fold(Kinds::NONE, Kinds::or);
                    if kinds.is_none() {
                        error.to_string()
                    } else {
                        format!("{shown} is {}, not {}", kind_of(value), kinds.describe())
                    }
                }
            }
        }
        _ => error.to_string(),
    }
}

/// What is wrong with an action's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputProblem {
    /// Where it is in the input: names of fields and numbers of items, the unknown field among them.
    pub path: Vec<String>,
    /// A sentence, which names the place as well.
    pub message: String,
}

/// What breaks the schema of an action's input, with the fields that there are where one is unknown. An error if the schema
/// is none.
pub fn input_problems(schema: &Value, input: &Value) -> Result<Vec<InputProblem>, String> {
    let validator = crate::manifest::compile_schema(schema)?;
    let explained = misspelt_once(schema, breaches(&validator, input)).into_iter().map(|error| {
        let mut path = steps_of(&error.instance_path().to_string());
        let (ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected }) = error.kind()
        else {
            let meaning = meaning(schema, &error, &path).map(|it| format!(" ({it})")).unwrap_or_default();
            return InputProblem { path, message: format!("{}{meaning}", explain_at(&error)) };
        };
        let places = Schema::new(schema).at(path.iter().map(String::as_str));
        let names: Vec<_> = places.iter().flat_map(|it| it.names()).collect();
        let meant = unexpected.iter().find_map(|it| did_you_mean(it, names.iter().copied()));
        let more = match (meant, names.as_slice()) {
            (Some(meant), _) => format!("; {meant}"),
            (None, []) => String::new(),
            (None, names) => format!("; its fields are {}", listed(names)),
        };
        path.extend(unexpected.first().cloned());
        InputProblem { path, message: format!("{}{more}", explain_at(&error)) }
    });
    Ok(explained.collect())
}

/// What a schema says of a place in words, where what breaks it is hard to read.
pub(super) fn meaning<'s>(schema: &'s Value, error: &ValidationError<'_>, path: &[String]) -> Option<&'s str> {
    if !matches!(error.kind(), ValidationErrorKind::Pattern { .. }) {
        return None;
    }
    let places = Schema::new(schema).at(path.iter().map(String::as_str));
    places.first()?.declaration().get("description")?.as_str()
}

/// What [`explain`] says, with the place in the value where it is.
pub(crate) fn explain_at(error: &ValidationError<'_>) -> String {
    let pointer = error.instance_path().to_string();
    if pointer.is_empty() { explain(error) } else { format!("at `{pointer}`: {}", explain(error)) }
}

fn error_types(error: &ValidationError<'_>) -> Kinds {
    use jsonschema::error::TypeKind;
    match error.kind() {
        ValidationErrorKind::Type { kind: TypeKind::Single(one) } => Kinds::named(&one.to_string()),
        ValidationErrorKind::Type { kind: TypeKind::Multiple(many) } => {
            many.iter().map(|it| Kinds::named(&it.to_string())).fold(Kinds::NONE, Kinds::or)
        }
        _ => Kinds::NONE,
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn short(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => "this".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let text = value.to_string();
            if text.chars().count() > 60 { format!("{}…", text.chars().take(57).collect::<String>()) } else { text }
        }
    }
}

/// What a schema accepts, in words: `a text that matches …`.
pub(crate) fn accepted(schema: &Value) -> String {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return one_of(values.iter().map(plain).collect::<Vec<_>>().iter().map(String::as_str));
    }
    if artifact::is_schema(schema) {
        return "an artifact: `sha256:…`, `place@sha256:…`, or an object with its `digest`".to_owned();
    }
    let mut words = match schema.get("type").and_then(Value::as_str) {
        Some("array") if schema.get("items").is_some_and(artifact::is_schema) => "a list of artifacts".to_owned(),
        Some("array") => match schema.pointer("/items/type").and_then(Value::as_str) {
            Some("string") => "a list of texts".to_owned(),
            Some("integer" | "number") => "a list of numbers".to_owned(),
            _ => "a list".to_owned(),
        },
        Some(name) => Kinds::named(name).describe(),
        None => "anything".to_owned(),
    };
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => words.push_str(&format!(" from {least} to {most}")),
        (Some(least), None) => words.push_str(&format!(" of at least {least}")),
        (None, Some(most)) => words.push_str(&format!(" of at most {most}")),
        (None, None) => {}
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        words.push_str(&format!(" that matches `{pattern}`"));
    }
    words
}
