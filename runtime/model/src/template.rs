//! JSON with expressions in its texts: `${{ parameters.version }}`.
//!
//! A text that is one expression and nothing else takes the expression's value and type; in any other
//! text an expression's value is written into it, and must be a text, a number or a boolean.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::expression::{EvaluationError, Expression, InvalidExpression, Scope};

/// JSON with expressions in its texts.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// Nothing to evaluate in here.
    Plain(Value),
    /// A text that is one expression.
    Whole(Expression),
    /// A text with expressions in it.
    Text(Vec<Piece>),
    /// A list with expressions somewhere in it.
    List(Vec<Template>),
    /// An object with expressions somewhere in its values.
    Object(Vec<(String, Template)>),
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// As it stands.
    Plain(String),
    /// Written by its value.
    Expression(Expression),
}

/// An expression in a template that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct InvalidTemplate {
    /// Where in the value, as a JSON pointer.
    pub pointer: String,
    /// Byte offset of the expression's source within its text.
    pub offset: usize,
    /// What is wrong.
    pub error: InvalidExpression,
}

impl Template {
    /// Reads a JSON value; all problems at once.
    pub fn parse(value: &Value) -> Result<Self, Vec<InvalidTemplate>> {
        let mut problems = Vec::new();
        let template = Self::parse_at(value, "", &mut problems);
        if problems.is_empty() { Ok(template) } else { Err(problems) }
    }

    fn parse_at(value: &Value, pointer: &str, problems: &mut Vec<InvalidTemplate>) -> Self {
        match value {
            Value::String(text) => Self::parse_text(text, pointer, problems),
            Value::Array(items) => {
                let parts: Vec<_> = items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| Self::parse_at(item, &format!("{pointer}/{at}"), problems))
                    .collect();
                if parts.iter().all(Self::is_plain) { Self::Plain(value.clone()) } else { Self::List(parts) }
            }
            Value::Object(fields) => {
                let parts: Vec<_> = fields
                    .iter()
                    .map(|(name, item)| {
                        let place = name.replace('~', "~0").replace('/', "~1");
                        (name.clone(), Self::parse_at(item, &format!("{pointer}/{place}"), problems))
                    })
                    .collect();
                if parts.iter().all(|(_, it)| it.is_plain()) { Self::Plain(value.clone()) } else { Self::Object(parts) }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Plain(value.clone()),
        }
    }

    fn parse_text(text: &str, pointer: &str, problems: &mut Vec<InvalidTemplate>) -> Self {
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(open) = text[at..].find("${{") {
            let start = at + open;
            if start > at {
                pieces.push(Piece::Plain(text[at..start].to_owned()));
            }
            let inner = start + 3;
            let refuse = |error| InvalidTemplate { pointer: pointer.to_owned(), offset: inner, error };
            let Some(length) = end_of_expression(&text[inner..]) else {
                problems.push(refuse(InvalidExpression::unclosed()));
                return Self::Plain(Value::String(text.to_owned()));
            };
            let source = &text[inner..inner + length];
            let lead = source.len() - source.trim_start().len();
            match Expression::parse(source.trim()) {
                Ok(expression) => pieces.push(Piece::Expression(expression)),
                Err(error) => problems.push(InvalidTemplate { offset: inner + lead, ..refuse(error) }),
            }
            at = inner + length + 2;
        }
        if at < text.len() {
            pieces.push(Piece::Plain(text[at..].to_owned()));
        }
        match pieces.as_slice() {
            [] => Self::Plain(Value::String(text.to_owned())),
            [Piece::Plain(_)] => Self::Plain(Value::String(text.to_owned())),
            [Piece::Expression(it)] => Self::Whole(it.clone()),
            _ => Self::Text(pieces),
        }
    }

    fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Every expression in it.
    pub fn expressions(&self) -> Vec<&Expression> {
        match self {
            Self::Plain(_) => Vec::new(),
            Self::Whole(it) => vec![it],
            Self::Text(pieces) => pieces
                .iter()
                .filter_map(|it| match it {
                    Piece::Plain(_) => None,
                    Piece::Expression(it) => Some(it),
                })
                .collect(),
            Self::List(items) => items.iter().flat_map(Self::expressions).collect(),
            Self::Object(fields) => fields.iter().flat_map(|(_, it)| it.expressions()).collect(),
        }
    }

    /// Its value in a scope.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        Ok(match self {
            Self::Plain(value) => value.clone(),
            Self::Whole(expression) => expression.evaluate(scope)?,
            Self::Text(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Plain(it) => text.push_str(it),
                        Piece::Expression(it) => match it.evaluate(scope)? {
                            Value::String(it) => text.push_str(&it),
                            value @ (Value::Number(_) | Value::Bool(_)) => text.push_str(&value.to_string()),
                            value @ (Value::Null | Value::Array(_) | Value::Object(_)) => {
                                return Err(EvaluationError::not_text(it, &value));
                            }
                        },
                    }
                }
                Value::String(text)
            }
            Self::List(items) => Value::Array(items.iter().map(|it| it.evaluate(scope)).collect::<Result<_, _>>()?),
            Self::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(name, it)| Ok((name.clone(), it.evaluate(scope)?)))
                    .collect::<Result<_, EvaluationError>>()?,
            ),
        })
    }

    /// The JSON it was read from.
    pub fn to_json(&self) -> Value {
        let written = |it: &Expression| format!("${{{{ {} }}}}", it.source());
        match self {
            Self::Plain(value) => value.clone(),
            Self::Whole(it) => Value::String(written(it)),
            Self::Text(pieces) => Value::String(
                pieces
                    .iter()
                    .map(|it| match it {
                        Piece::Plain(it) => it.clone(),
                        Piece::Expression(it) => written(it),
                    })
                    .collect(),
            ),
            Self::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Self::Object(fields) => {
                Value::Object(fields.iter().map(|(name, it)| (name.clone(), it.to_json())).collect())
            }
        }
    }
}

/// Where the expressions of a text stand, each without `${{`, `}}` and the space around it; an error with
/// the place of a `${{` that is not closed.
pub fn expression_ranges(text: &str) -> Result<Vec<std::ops::Range<usize>>, usize> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find("${{") {
        let inner = at + open + 3;
        let length = end_of_expression(&text[inner..]).ok_or(at + open)?;
        let source = &text[inner..inner + length];
        let start = inner + source.len() - source.trim_start().len();
        ranges.push(start..start + source.trim().len());
        at = inner + length + 2;
    }
    Ok(ranges)
}

/// Where `}}` ends an expression: not inside of a quoted text or of braces of its own.
fn end_of_expression(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0_u32;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match (quote, byte) {
            (Some(_), b'\\') => {
                bytes.next();
            }
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if text[at..].starts_with("}}") => return Some(at),
            (None, _) => {}
        }
    }
    None
}

impl Serialize for Template {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::parse(&value)
            .map_err(|problems| serde::de::Error::custom(problems.first().map(ToString::to_string).unwrap_or_default()))
    }
}
