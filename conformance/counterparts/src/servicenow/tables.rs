//! The records, and how one is shown.
//!
//! **Invariant:** a `sys_id` is 32 hexadecimal digits and never used twice; numbers only grow.

use super::columns::{self, ColumnType, choice_label, definition};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};

/// A record: the columns that have a value.
pub(crate) type Record = BTreeMap<String, String>;

/// One table's records in the order in which they were made.
#[derive(Default)]
struct Table {
    rows: BTreeMap<u64, Record>,
    by_id: HashMap<String, u64>,
}

/// All records.
#[derive(Default)]
pub(crate) struct Tables {
    tables: HashMap<&'static str, Table>,
    next_row: u64,
    last_number: HashMap<&'static str, u64>,
}

/// How values are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Display {
    /// `sysparm_display_value=false`: what is stored, references as link and value.
    Stored,
    /// `sysparm_display_value=true`: what a person sees.
    Label,
    /// `sysparm_display_value=all`: both.
    Both,
    /// As the Change Management API: both, numbers and truth values typed.
    Typed,
}

/// How records are shown.
pub(crate) struct View<'a> {
    pub(crate) url: &'a str,
    pub(crate) display: Display,
    pub(crate) reference_links: bool,
    /// Only these fields, possibly through references (`assigned_to.name`); empty for all.
    pub(crate) fields: Vec<String>,
}

impl Tables {
    /// Adds a record with what every record has.
    pub(crate) fn insert(&mut self, table: &'static str, mut record: Record, user: &str, now_ms: i64) -> String {
        let sys_id = hex::encode(rand::random::<[u8; 16]>());
        let now = timestamp(now_ms);
        for (name, value) in [
            ("sys_id", sys_id.as_str()),
            ("sys_created_on", &now),
            ("sys_updated_on", &now),
            ("sys_created_by", user),
            ("sys_updated_by", user),
            ("sys_mod_count", "0"),
        ] {
            record.insert(name.to_owned(), value.to_owned());
        }
        let row = self.next_row;
        self.next_row += 1;
        let stored = self.tables.entry(table).or_default();
        stored.by_id.insert(sys_id.clone(), row);
        stored.rows.insert(row, record);
        sys_id
    }

    /// The next number of a table of tasks.
    pub(crate) fn next_number(&mut self, prefix: &'static str) -> String {
        let number = self.last_number.entry(prefix).or_insert(0);
        *number += 1;
        format!("{prefix}{number:07}")
    }

    pub(crate) fn get(&self, table: &str, sys_id: &str) -> Option<&Record> {
        let table = self.tables.get(table)?;
        table.rows.get(table.by_id.get(sys_id)?)
    }

    pub(crate) fn get_mut(&mut self, table: &str, sys_id: &str) -> Option<&mut Record> {
        let table = self.tables.get_mut(table)?;
        table.rows.get_mut(table.by_id.get(sys_id)?)
    }

    pub(crate) fn remove(&mut self, table: &str, sys_id: &str) -> Option<Record> {
        let table = self.tables.get_mut(table)?;
        let row = table.by_id.remove(sys_id)?;
        table.rows.remove(&row)
    }

    /// A table's records, oldest first.
    pub(crate) fn rows(&self, table: &str) -> impl Iterator<Item = &Record> {
        self.tables.get(table).into_iter().flat_map(|table| table.rows.values())
    }

    /// The `sys_id`s of the records for which `wanted` holds.
    pub(crate) fn ids(&self, table: &str, wanted: impl Fn(&Record) -> bool) -> Vec<String> {
        self.rows(table).filter(|it| wanted(it)).map(|it| value(it, "sys_id").to_owned()).collect()
    }

    /// Follows a reference to the table it means and the record.
    pub(crate) fn follow(&self, target: &'static str, sys_id: &str) -> Option<(&'static str, &Record)> {
        if target == "task" {
            return columns::task_tables().find_map(|table| Some((table, self.get(table, sys_id)?)));
        }
        Some((target, self.get(target, sys_id)?))
    }

    /// What a reference written as `given` means: a `sys_id`, or the name of exactly such a record.
    pub(crate) fn resolve(&self, target: &'static str, given: &str) -> String {
        if given.is_empty() || self.follow(target, given).is_some() {
            return given.to_owned();
        }
        let tables: Vec<&str> = if target == "task" { columns::task_tables().collect() } else { vec![target] };
        tables
            .iter()
            .flat_map(|table| self.rows(table))
            .find(|record| {
                ["number", "name", "user_name", "email"]
                    .iter()
                    .any(|name| record.get(*name).is_some_and(|it| it == given))
            })
            .map_or_else(|| given.to_owned(), |record| value(record, "sys_id").to_owned())
    }

    /// The value of a field, possibly through references, with the table and column it was found in.
    pub(crate) fn walk<'a>(
        &'a self,
        table: &'static str,
        record: &'a Record,
        path: &str,
    ) -> Option<(&'static str, ColumnType, &'a str)> {
        match path.split_once('.') {
            None => {
                let kind = definition(table)?.column(path)?;
                Some((table, kind, value(record, path)))
            }
            Some((first, rest)) => match definition(table)?.column(first)? {
                ColumnType::Reference(target) => match self.follow(target, value(record, first)) {
                    Some((table, record)) => self.walk(table, record, rest),
                    None => Some((table, ColumnType::Text, "")),
                },
                _ => None,
            },
        }
    }

    /// What a record is called: its number, else its name.
    fn display_name(&self, record: &Record) -> String {
        ["number", "name", "user_name", "file_name"]
            .iter()
            .map(|name| value(record, name))
            .find(|name| !name.is_empty())
            .unwrap_or_default()
            .to_owned()
    }

    /// What a person sees of a value.
    fn label(&self, table: &str, column: &str, kind: ColumnType, stored: &str) -> String {
        match kind {
            ColumnType::Reference(target) => {
                self.follow(target, stored).map_or_else(|| stored.to_owned(), |(_, record)| self.display_name(record))
            }
            _ => choice_label(table, column, stored).map_or_else(|| stored.to_owned(), str::to_owned),
        }
    }

    /// A record as the view wants it.
    pub(crate) fn show(&self, table: &'static str, record: &Record, view: &View<'_>) -> Value {
        let mut shown = Map::new();
        let Some(definition) = definition(table) else { return Value::Object(shown) };
        let mut names: Vec<String> = view.fields.clone();
        if names.is_empty() {
            names = definition.columns().map(|(name, _)| name.to_owned()).collect();
            names.extend(record.keys().filter(|name| name.starts_with("u_")).cloned());
        }
        for name in names {
            let Some((found_in, kind, stored)) = self.walk(table, record, &name) else { continue };
            let column = name.rsplit('.').next().unwrap_or(&name);
            let value = self.show_value(found_in, column, kind, stored, view);
            shown.insert(name, value);
        }
        Value::Object(shown)
    }

    fn show_value(&self, table: &str, column: &str, kind: ColumnType, stored: &str, view: &View<'_>) -> Value {
        let label = self.label(table, column, kind, stored);
        let plain = if kind == ColumnType::Journal { "" } else { stored };
        let link = match kind {
            ColumnType::Reference(target) if !stored.is_empty() && view.reference_links => {
                let target = self.follow(target, stored).map_or(target, |(table, _)| table);
                Some(format!("{}/api/now/table/{target}/{stored}", view.url))
            }
            _ => None,
        };
        match (view.display, link) {
            (Display::Stored, Some(link)) => json!({ "link": link, "value": stored }),
            (Display::Stored, None) => json!(plain),
            (Display::Label, Some(link)) => json!({ "display_value": label, "link": link }),
            (Display::Label, None) => json!(label),
            (Display::Both, Some(link)) => {
                json!({ "display_value": label, "link": link, "value": stored })
            }
            (Display::Both, None) => json!({ "display_value": label, "value": plain }),
            (Display::Typed, _) => {
                let mut both = json!({ "display_value": label, "value": typed(kind, plain) });
                if kind == ColumnType::DateTime {
                    both["display_value_internal"] = json!(stored);
                }
                both
            }
        }
    }
}

/// A value as the Change Management API writes it: numbers with a point, truth values bare.
fn typed(kind: ColumnType, stored: &str) -> Value {
    match kind {
        ColumnType::Integer => stored.parse::<f64>().map_or_else(|_| json!(stored), |it| json!(it)),
        ColumnType::Boolean => stored.parse::<bool>().map_or_else(|_| json!(stored), |it| json!(it)),
        ColumnType::Text | ColumnType::DateTime | ColumnType::Journal | ColumnType::Reference(_) => json!(stored),
    }
}

/// The value of a column, empty when it has none.
pub(crate) fn value<'a>(record: &'a Record, column: &str) -> &'a str {
    record.get(column).map_or("", String::as_str)
}

/// A time as ServiceNow stores it: UTC, to the second.
pub(crate) fn timestamp(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .map(|at| at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default()
}
