//! Encoded queries: `active=true^state!=3^ORstate=4^ORDERBYDESCnumber`.
//!
//! As in ServiceNow, a condition on a field which is not in the dictionary is ignored; which ones were is told,
//! because the Change Management API says so in its answers.

use super::columns::{ColumnType, definition};
use super::tables::{Record, Tables};
use std::cmp::Ordering;

/// A query read.
#[derive(Debug, Default)]
pub(crate) struct Query {
    /// Any of these (`^NQ`), each of which is all of (`^`) any of (`^OR`).
    alternatives: Vec<Vec<Vec<Condition>>>,
    order: Vec<(String, Direction)>,
    /// The fields of conditions that count.
    pub(crate) applied: Vec<String>,
    /// The fields of conditions that were ignored.
    pub(crate) ignored: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

#[derive(Debug)]
struct Condition {
    field: String,
    operator: Operator,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
    ContainsNot,
    StartsWith,
    EndsWith,
    OneOf,
    NotOneOf,
    Empty,
    NotEmpty,
    Anything,
}

/// As they are written, longer ones before those they begin with.
const OPERATORS: &[(&str, Operator)] = &[
    ("ISNOTEMPTY", Operator::NotEmpty),
    ("ISEMPTY", Operator::Empty),
    ("ANYTHING", Operator::Anything),
    ("STARTSWITH", Operator::StartsWith),
    ("ENDSWITH", Operator::EndsWith),
    ("NOT LIKE", Operator::ContainsNot),
    ("NOT IN", Operator::NotOneOf),
    ("DOES NOT CONTAIN", Operator::ContainsNot),
    ("CONTAINS", Operator::Contains),
    ("NOTLIKE", Operator::ContainsNot),
    ("LIKE", Operator::Contains),
    ("IN", Operator::OneOf),
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("=", Operator::Equal),
];

impl Query {
    /// Reads a query on a table.
    pub(crate) fn parse(table: &'static str, text: &str) -> Query {
        let mut query = Query { alternatives: vec![Vec::new()], ..Query::default() };
        for part in split(text) {
            if let Some(rest) = part.strip_prefix("ORDERBYDESC") {
                query.order(table, rest, Direction::Down);
            } else if let Some(rest) = part.strip_prefix("ORDERBY") {
                query.order(table, rest, Direction::Up);
            } else if part == "EQ" || part.starts_with("GROUPBY") {
                // The end mark, and grouping, which the Table API does not do.
            } else if let Some(rest) = part.strip_prefix("NQ") {
                query.alternatives.push(Vec::new());
                query.condition(table, rest, false);
            } else if let Some(rest) = part.strip_prefix("OR") {
                query.condition(table, rest, true);
            } else {
                query.condition(table, &part, false);
            }
        }
        query
    }

    /// Adds `field = value` to all alternatives, as a parameter of the URL does.
    pub(crate) fn also_equal(&mut self, table: &'static str, field: &str, value: &str) {
        if !known(table, field) {
            self.ignored.push(field.to_owned());
            return;
        }
        for alternative in &mut self.alternatives {
            alternative.push(vec![Condition {
                field: field.to_owned(),
                operator: Operator::Equal,
                value: value.to_owned(),
            }]);
        }
    }

    fn order(&mut self, table: &'static str, field: &str, direction: Direction) {
        if known(table, field) {
            self.order.push((field.to_owned(), direction));
        } else {
            self.ignored.push(field.to_owned());
        }
    }

    fn condition(&mut self, table: &'static str, text: &str, or: bool) {
        if text.is_empty() {
            return;
        }
        let end = text
            .find(|it: char| !(it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, '_' | '.')))
            .unwrap_or(text.len());
        let (field, rest) = text.split_at(end);
        let operator = OPERATORS
            .iter()
            .find_map(|(name, operator)| rest.strip_prefix(name).map(|value| (*operator, value.to_owned())));
        let Some((operator, value)) = operator.filter(|_| known(table, field)) else {
            self.ignored.push(field.to_owned());
            return;
        };
        self.applied.push(field.to_owned());
        let condition = Condition { field: field.to_owned(), operator, value };
        let Some(alternative) = self.alternatives.last_mut() else { return };
        match alternative.last_mut() {
            Some(any) if or => any.push(condition),
            _ => alternative.push(vec![condition]),
        }
    }

    /// The records which match, in the order asked for.
    pub(crate) fn run<'a>(&self, table: &'static str, tables: &'a Tables) -> Vec<&'a Record> {
        let mut found: Vec<&Record> = tables
            .rows(table)
            .filter(|record| {
                self.alternatives
                    .iter()
                    .any(|all| all.iter().all(|any| any.iter().any(|condition| condition.holds(table, record, tables))))
            })
            .collect();
        found.sort_by(|one, other| {
            self.order
                .iter()
                .map(|(field, direction)| {
                    let of = |record| tables.walk(table, record, field).map_or("", |it| it.2);
                    let ordering = compare(of(one), of(other));
                    if *direction == Direction::Up { ordering } else { ordering.reverse() }
                })
                .find(|ordering| ordering.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        found
    }
}

impl Condition {
    fn holds(&self, table: &'static str, record: &Record, tables: &Tables) -> bool {
        let Some((_, kind, stored)) = tables.walk(table, record, &self.field) else { return false };
        // A reference may be compared with what its record is called.
        let resolved = match kind {
            ColumnType::Reference(target) if self.operator != Operator::OneOf => tables.resolve(target, &self.value),
            _ => self.value.clone(),
        };
        let wanted = resolved.as_str();
        let lower = |text: &str| text.to_lowercase();
        match self.operator {
            Operator::Equal => lower(stored) == lower(wanted),
            Operator::NotEqual => lower(stored) != lower(wanted),
            Operator::Less => compare(stored, wanted).is_lt(),
            Operator::LessOrEqual => compare(stored, wanted).is_le(),
            Operator::Greater => compare(stored, wanted).is_gt(),
            Operator::GreaterOrEqual => compare(stored, wanted).is_ge(),
            Operator::Contains => lower(stored).contains(&lower(wanted)),
            Operator::ContainsNot => !lower(stored).contains(&lower(wanted)),
            Operator::StartsWith => lower(stored).starts_with(&lower(wanted)),
            Operator::EndsWith => lower(stored).ends_with(&lower(wanted)),
            Operator::OneOf => wanted.split(',').any(|it| lower(it) == lower(stored)),
            Operator::NotOneOf => wanted.split(',').all(|it| lower(it) != lower(stored)),
            Operator::Empty => stored.is_empty(),
            Operator::NotEmpty => !stored.is_empty(),
            Operator::Anything => true,
        }
    }
}

/// Compares as numbers when both are, else as text.
fn compare(one: &str, other: &str) -> Ordering {
    match (one.parse::<i64>(), other.parse::<i64>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        _ => one.cmp(other),
    }
}

/// Whether a field, possibly through references, is in the dictionary.
fn known(table: &'static str, field: &str) -> bool {
    let Some(definition) = definition(table) else { return false };
    match field.split_once('.') {
        None => definition.column(field).is_some(),
        Some((first, rest)) => match definition.column(first) {
            // A task may be any of several tables: what is known of one of them will do.
            Some(ColumnType::Reference("task")) => super::columns::task_tables().any(|table| known(table, rest)),
            Some(ColumnType::Reference(target)) => known(target, rest),
            _ => false,
        },
    }
}

/// Cuts at `^`; `^^` is one `^` of a value.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let last = parts.len() - 1;
        if letter != '^' {
            parts[last].push(letter);
        } else if letters.peek() == Some(&'^') {
            letters.next();
            parts[last].push('^');
        } else {
            parts.push(String::new());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<String> {
        let mut tables = Tables::default();
        let group = tables.insert("sys_user_group", record(&[("name", "CAB")]), "t", 0);
        for (number, state, name, group) in
            [("CHG1", "-5", "alpha^beta", group.as_str()), ("CHG2", "-4", "Beta", ""), ("CHG10", "3", "gamma", "")]
        {
            let fields =
                [("number", number), ("state", state), ("short_description", name), ("assignment_group", group)];
            tables.insert("change_request", record(&fields), "t", 0);
        }
        Query::parse("change_request", text)
            .run("change_request", &tables)
            .iter()
            .map(|it| it["number"].clone())
            .collect()
    }

    fn record(fields: &[(&str, &str)]) -> Record {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn queries_find_what_they_say() {
        let cases: &[(&str, &[&str])] = &[
            ("", &["CHG1", "CHG2", "CHG10"]),
            ("state=-5", &["CHG1"]),
            ("state!=-5^ORDERBYDESCstate", &["CHG10", "CHG2"]),
            ("state=-5^ORstate=3", &["CHG1", "CHG10"]),
            ("state=-5^NQnumber=CHG2", &["CHG1", "CHG2"]),
            ("stateIN-5,3", &["CHG1", "CHG10"]),
            ("stateNOT IN-5,3", &["CHG2"]),
            ("state>-4", &["CHG10"]),
            ("short_descriptionLIKEbeta", &["CHG1", "CHG2"]),
            ("short_description=alpha^^beta", &["CHG1"]),
            ("short_descriptionSTARTSWITHgam", &["CHG10"]),
            ("assignment_groupISEMPTY", &["CHG2", "CHG10"]),
            ("assignment_group.name=CAB", &["CHG1"]),
            ("assignment_group=CAB", &["CHG1"]),
            ("no_such_field=1^state=3", &["CHG10"]),
            ("no_such_field=1", &["CHG1", "CHG2", "CHG10"]),
            ("ORDERBYDESCnumber^stateISNOTEMPTY^EQ", &["CHG2", "CHG10", "CHG1"]),
        ];
        for (text, expected) in cases {
            assert_eq!(numbers(text), *expected, "{text}");
        }
    }
}
