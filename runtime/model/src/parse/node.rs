//! YAML as a tree in which every value knows its place in the file.
//!
//! YAML 1.2 with its core schema: `no`, `on` and `1e` are texts, `1.10` is a number. JSON is read by
//! the same reader. Anchors and aliases are allowed; tags other than those of the core schema, merge
//! keys and several documents are not.
//!
//! **Invariant:** whatever the bytes are, reading ends soon, within [`DEPTH_MAX`] and [`NODES_MAX`].

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::{Number, Value};

use crate::problem::{Extent, Report, SOURCE_BYTES_MAX};

/// How deep values may be nested.
pub const DEPTH_MAX: usize = 64;

/// How many values a file may hold, those of aliases counted each time.
pub const NODES_MAX: usize = 50_000;

/// A value and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) extent: Extent,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Boolean(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Field>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) name_extent: Extent,
    pub(crate) value: Node,
}

impl Node {
    /// What it is, for messages: `a list`.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Boolean(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Object(_) => "a mapping",
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Boolean(it) => Value::Bool(*it),
            Kind::Number(it) => Value::Number(it.clone()),
            Kind::Text(it) => Value::String(it.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Kind::Object(fields) => {
                Value::Object(fields.iter().map(|it| (it.name.clone(), it.value.to_json())).collect())
            }
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        match &self.kind {
            Kind::Object(fields) => fields.iter().find(|it| it.name == name),
            Kind::Null | Kind::Boolean(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => None,
        }
    }

    /// The value of a field or an item by its number, and the field.
    fn child(&self, part: &str) -> Option<(&Node, Option<&Field>)> {
        match &self.kind {
            Kind::List(items) => part.parse::<usize>().ok().and_then(|it| items.get(it)).map(|it| (it, None)),
            Kind::Object(_) => self.field(part).map(|it| (&it.value, Some(it))),
            Kind::Null | Kind::Boolean(_) | Kind::Number(_) | Kind::Text(_) => None,
        }
    }

    /// The value at a JSON pointer, or the innermost one on the way to it.
    pub(crate) fn at_pointer<'n, 'p>(&'n self, parts: impl IntoIterator<Item = &'p str>) -> &'n Node {
        let mut node = self;
        for part in parts {
            let Some((next, _)) = node.child(part) else { break };
            node = next;
        }
        node
    }

    /// Where the value at a path, or the innermost one on the way to it, is to be pointed at: fields of lists and mappings
    /// at their names.
    pub(crate) fn extent_of<'p>(&self, path: impl IntoIterator<Item = &'p str>) -> Extent {
        let (mut node, mut extent) = (self, self.extent);
        for part in path {
            let Some((next, field)) = node.child(part) else { break };
            let of_name = field.filter(|_| matches!(next.kind, Kind::List(_) | Kind::Object(_)));
            (node, extent) = (next, of_name.map_or(next.extent, |it| it.name_extent));
        }
        extent
    }

    /// Calls `visit` with every text in it.
    pub(crate) fn each_text<'n>(&'n self, visit: &mut impl FnMut(&'n Node, &'n str)) {
        match &self.kind {
            Kind::Text(text) => visit(self, text),
            Kind::List(items) => items.iter().for_each(|it| it.each_text(visit)),
            Kind::Object(fields) => fields.iter().for_each(|it| it.value.each_text(visit)),
            Kind::Null | Kind::Boolean(_) | Kind::Number(_) => {}
        }
    }
}

/// Reads a file; none when it is no YAML.
pub(crate) fn read(report: &mut Report<'_>) -> Option<Node> {
    let text = report.source.text();
    if text.len() > SOURCE_BYTES_MAX {
        report.error(
            Extent::default(),
            "file-too-large",
            format!("the file has {} bytes; a workflow file has at most {SOURCE_BYTES_MAX}", text.len()),
        );
        return None;
    }
    let reader = Reader {
        bytes_of: text.char_indices().map(|(at, _)| at).chain([text.len()]).collect(),
        parser: Parser::new_from_str(text),
        report,
        anchors: BTreeMap::new(),
        nodes: 0,
    };
    reader.document()
}

/// Reading stops: a problem has been reported.
struct Stopped;

struct Reader<'r, 's, 't> {
    /// Byte offset of each character: the parser counts characters.
    bytes_of: Vec<usize>,
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    report: &'r mut Report<'s>,
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'t> Reader<'_, '_, 't> {
    fn document(mut self) -> Option<Node> {
        let mut root = None;
        loop {
            let (event, extent) = self.next().ok()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::Nothing | Event::DocumentEnd => {}
                Event::DocumentStart(_) => {
                    if root.is_some() {
                        self.report
                            .error(
                                extent,
                                "several-documents",
                                "a second document begins here; a workflow file holds one workflow",
                            )
                            .suggest("write each workflow into a file of its own");
                        return None;
                    }
                }
                event => {
                    root = Some(self.value(event, extent, 0).ok()?.0);
                }
            }
        }
        if root.is_none() {
            self.report
                .error(Extent::default(), "empty-file", "the file is empty")
                .suggest("a workflow file begins with `windlass: v1` and `workflow: <its name>`");
        }
        root
    }

    fn next(&mut self) -> Result<(Event<'t>, Extent), Stopped> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let extent = self.extent(span);
                Ok((event, extent))
            }
            Some(Err(error)) => {
                self.refuse(&error);
                Err(Stopped)
            }
            None => Ok((Event::StreamEnd, Extent::default())),
        }
    }

    fn extent(&self, span: Span) -> Extent {
        let byte = |at: usize| self.bytes_of.get(at).or(self.bytes_of.last()).copied().unwrap_or_default();
        let start = byte(span.start.index());
        Extent { start, end: byte(span.end.index()).max(start) }
    }

    /// Says why this is no YAML, in words for the common mistakes.
    fn refuse(&mut self, error: &ScanError) {
        let text = self.report.source.text();
        let at = self.extent(Span::empty(*error.marker())).start;
        let line_start = text[..at].rfind('\n').map_or(0, |it| it + 1);
        let line_end = text[at..].find('\n').map_or(text.len(), |it| at + it);
        let line = &text[line_start..line_end];
        let width = text[at..].chars().next().filter(|it| *it != '\n').map_or(0, char::len_utf8);
        let extent = Extent { start: at, end: at + width };
        let indentation = &line[..line.len() - line.trim_start().len()];
        if let Some(tab) = indentation.find('\t') {
            let start = line_start + tab;
            self.report
                .error(
                    Extent { start, end: start + 1 },
                    "tab",
                    "a tab stands in the indentation; YAML indents with spaces",
                )
                .suggest("replace each tab by two spaces");
        } else if error.info().contains("recursion limit") {
            self.report.error(extent, "too-deep", format!("values are nested deeper than {DEPTH_MAX} levels here"));
        } else if let Some(open) = line[..at - line_start].rfind("${{").or_else(|| line.find("${{")) {
            let start = line_start + open;
            let end = line[open..].find("}}").map_or(line_end, |it| start + it + 2);
            self.report
                .error(Extent { start, end }, "yaml", "YAML reads the braces or colons of this expression as its own")
                .suggest(format!("quote the whole text: '{}'", &text[start..end]));
        } else {
            let problem = self.report.error(extent, "yaml", format!("this is no YAML: {}", error.info()));
            if error.info().contains("mapping values are not allowed") {
                problem.suggest("a text with `: ` in it is quoted; a mapping begins on a line of its own");
            } else if error.info().contains("did not find expected key") {
                problem.suggest("check the indentation: keys of one mapping begin in the same column");
            } else if error.info().contains("unknown anchor") {
                problem.suggest(
                    "a text that begins with `*` is quoted; an alias names an anchor (`&name`) that stands before it",
                );
            }
        }
    }

    /// A value and how many values it holds.
    fn value(&mut self, event: Event<'t>, extent: Extent, depth: usize) -> Result<(Node, usize), Stopped> {
        if depth > DEPTH_MAX {
            self.report.error(extent, "too-deep", format!("values are nested deeper than {DEPTH_MAX} levels here"));
            return Err(Stopped);
        }
        self.count(extent, 1)?;
        let (node, anchor, size) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let extent = self.trimmed(extent);
                (Node { kind: self.scalar(&text, style, tag.as_deref(), extent), extent }, anchor, 1)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", extent);
                let mut size = 1;
                let mut items = Vec::new();
                let end = loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => break end,
                        (event, extent) => {
                            let (item, more) = self.value(event, extent, depth + 1)?;
                            size += more;
                            items.push(item);
                        }
                    }
                };
                (Node { kind: Kind::List(items), extent: self.whole(extent, end) }, anchor, size)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", extent);
                let (fields, end, size) = self.fields(depth)?;
                (Node { kind: Kind::Object(fields), extent: self.whole(extent, end) }, anchor, size)
            }
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    self.report.error(extent, "alias", "this alias stands inside of what it names");
                    return Err(Stopped);
                };
                self.count(extent, size)?;
                if depth + depth_of(&node) > DEPTH_MAX {
                    self.report.error(
                        extent,
                        "too-deep",
                        format!("values are nested deeper than {DEPTH_MAX} levels here"),
                    );
                    return Err(Stopped);
                }
                (node, 0, size)
            }
            _ => (Node { kind: Kind::Null, extent }, 0, 1),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok((node, size))
    }

    fn fields(&mut self, depth: usize) -> Result<(Vec<Field>, Extent, usize), Stopped> {
        let mut fields: Vec<Field> = Vec::new();
        let mut places: BTreeMap<String, Extent> = BTreeMap::new();
        let mut size = 1;
        loop {
            let (event, extent) = self.next()?;
            let (name, name_extent) = match event {
                Event::MappingEnd => return Ok((fields, extent, size)),
                Event::Scalar(text, ..) => (text.into_owned(), self.trimmed(extent)),
                event => {
                    let (key, _) = self.value(event, extent, depth + 1)?;
                    self.report
                        .error(key.extent, "key", format!("a key is a text, this is {}", key.describe()))
                        .suggest("quote it when a text is meant");
                    (String::new(), key.extent)
                }
            };
            let (event, extent) = self.next()?;
            let (value, more) = self.value(event, extent, depth + 1)?;
            size += more + 1;
            self.count(name_extent, 1)?;
            if name == "<<" {
                self.report
                    .error(name_extent, "merge-key", "merge keys (`<<`) are not part of YAML 1.2")
                    .suggest("write the keys out, or put what steps share under `defaults`");
            } else if let Some(first) = places.get(&name) {
                let first = self.report.source.place(*first);
                let problem = self.report.error(name_extent, "duplicate-key", format!("`{name}` is given twice"));
                problem.labelled("again here");
                problem.labels.push(crate::problem::Label { place: first, text: "first here".to_owned() });
            } else {
                places.insert(name.clone(), name_extent);
                fields.push(Field { name, name_extent, value });
            }
        }
    }

    fn count(&mut self, extent: Extent, nodes: usize) -> Result<(), Stopped> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            self.report.error(
                extent,
                "too-many-values",
                format!("the file holds more than {NODES_MAX} values, aliases counted each time"),
            );
            return Err(Stopped);
        }
        Ok(())
    }

    /// From the start of a list or mapping to its end, without the empty lines that follow.
    fn whole(&self, start: Extent, end: Extent) -> Extent {
        let text = self.report.source.slice(Extent { start: start.start, end: end.end.max(start.end) });
        Extent { start: start.start, end: start.start + text.trim_end().len() }
    }

    /// Without the space that the parser counts to a value.
    fn trimmed(&self, extent: Extent) -> Extent {
        let text = self.report.source.slice(extent);
        let text = text.trim_end();
        Extent { start: extent.start, end: extent.start + text.len() }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &str, extent: Extent) {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == expected)
        {
            self.report.error(extent, "tag", format!("the tag `{tag}` means nothing here")).suggest("leave it out");
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, extent: Extent) -> Kind {
        match tag {
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => return Kind::Text(text.to_owned()),
            Some(tag)
                if !(tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "int" | "float" | "bool" | "null")) =>
            {
                self.check_tag(Some(tag), "str", extent);
            }
            Some(_) | None => {}
        }
        if style != ScalarStyle::Plain {
            return Kind::Text(text.to_owned());
        }
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
            "true" | "True" | "TRUE" => Kind::Boolean(true),
            "false" | "False" | "FALSE" => Kind::Boolean(false),
            ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" | "-.Inf" | "-.INF" | ".nan" | ".NaN" | ".NAN" => {
                self.report
                    .error(extent, "number", format!("`{text}` is a number without a JSON form"))
                    .suggest(format!("'{text}' if a text is meant"));
                Kind::Null
            }
            _ => match number(text) {
                Some(Ok(number)) => Kind::Number(number),
                Some(Err(())) => {
                    self.report
                        .error(extent, "number", format!("`{text}` is a number too large to be kept exactly"))
                        .suggest(format!("quote it if a text is meant: '{text}'"));
                    Kind::Null
                }
                None => Kind::Text(text.to_owned()),
            },
        }
    }
}

fn depth_of(node: &Node) -> usize {
    match &node.kind {
        Kind::List(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Kind::Object(fields) => 1 + fields.iter().map(|it| depth_of(&it.value)).max().unwrap_or(0),
        Kind::Null | Kind::Boolean(_) | Kind::Number(_) | Kind::Text(_) => 0,
    }
}

/// A number of the core schema; an error for one that would not be kept exactly.
fn number(text: &str) -> Option<Result<Number, ()>> {
    if let Some(digits) = text.strip_prefix("0o").or_else(|| text.strip_prefix("0x")) {
        let radix = if text.starts_with("0o") { 8 } else { 16 };
        let good = !digits.is_empty() && digits.chars().all(|it| it.is_digit(radix));
        return good.then(|| u64::from_str_radix(digits, radix).map(Number::from).map_err(|_| ()));
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit()) {
        let text = text.strip_prefix('+').unwrap_or(text);
        let signed = text.parse::<i64>().map(Number::from);
        return Some(signed.or_else(|_| text.parse::<u64>().map(Number::from)).map_err(|_| ()));
    }
    // [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (digits, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |it: &str| it.bytes().all(|it| it.is_ascii_digit());
    let good = all_digits(whole)
        && all_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|it| !it.is_empty() && all_digits(it));
    good.then(|| text.parse::<f64>().ok().and_then(Number::from_f64).ok_or(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Source;
    use serde_json::json;

    fn value(text: &str) -> Result<Value, Vec<&'static str>> {
        let source = Source::new("test.yaml", text);
        let mut report = Report::new(&source);
        let node = read(&mut report);
        let problems = report.finish();
        match node {
            Some(node) if problems.is_empty() => Ok(node.to_json()),
            _ => Err(problems.iter().map(|it| it.code).collect()),
        }
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        assert_eq!(
            value(
                "[no, on, yes, y, NO, true, ~, 1, +1, -0, 0x1f, 0o17, 1.10, .5, 1e3, 1e, 1.2.3, '1', !!str 7, 12:30]"
            ),
            Ok(json!([
                "no", "on", "yes", "y", "NO", true, null, 1, 1, 0, 31, 15, 1.1, 0.5, 1000.0, "1e", "1.2.3", "1", "7",
                "12:30"
            ]))
        );
        assert_eq!(value("a: 123456789012345678901"), Err(vec!["number"]));
        assert_eq!(value("a: .inf"), Err(vec!["number"]));
    }

    #[test]
    fn json_is_read_too() {
        assert_eq!(value("{\n\t\"a\": [1, \"b\\u00e9\"],\n\t\"c\": {}\n}\n"), Ok(json!({"a": [1, "bé"], "c": {}})));
    }

    #[test]
    fn aliases_are_bounded() {
        assert_eq!(value("a: &x [1]\nb: *x"), Ok(json!({"a": [1], "b": [1]})));
        let bomb: String = std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned())
            .chain((1..12).map(|it| format!("a{it}: &a{it} [{}]\n", vec![format!("*a{}", it - 1); 10].join(", "))))
            .collect();
        assert_eq!(value(&bomb), Err(vec!["too-many-values"]));
        let tower: String = (0..40)
            .map(|it| {
                if it == 0 { "a0: &a0 [[[[1]]]]\n".to_owned() } else { format!("a{it}: &a{it} [[[[*a{}]]]]\n", it - 1) }
            })
            .collect();
        assert_eq!(value(&tower), Err(vec!["too-deep"]));
        assert_eq!(value("a: &x [*x]"), Err(vec!["alias"]));
    }

    #[test]
    fn depth_and_size_are_bounded() {
        assert_eq!(value(&"[".repeat(100_000)), Err(vec!["too-deep"]));
        assert!(value(&"- ".repeat(100_000)).is_err());
        assert_eq!(
            value(&(0..70).map(|it| format!("{}a:\n", " ".repeat(it))).collect::<String>()),
            Err(vec!["too-deep"])
        );
        assert_eq!(value(&format!("[{}]", "1, ".repeat(60_000))), Err(vec!["too-many-values"]));
        assert_eq!(value(&"#".repeat(SOURCE_BYTES_MAX + 1)), Err(vec!["file-too-large"]));
    }

    #[test]
    fn places_are_bytes_of_the_file() {
        let text = "é: ü\nlist:\n  - 'ö x'\n";
        let source = Source::new("test.yaml", text);
        let mut report = Report::new(&source);
        let node = read(&mut report).expect("good");
        let item = node.at_pointer(["list", "0"]);
        assert_eq!(source.slice(item.extent), "'ö x'");
        assert_eq!((source.place(item.extent).line, source.place(item.extent).column), (3, 5));
    }
}
