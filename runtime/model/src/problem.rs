//! What is wrong with a file, with the place in it, and how that is shown to a person.
//!
//! **Invariant:** a problem never holds text that may be a secret; where the file shows one, the
//! problem says where it is and [`render`] masks it.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::{Serialize, Serializer};

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
    line_starts: Vec<usize>,
}

/// The largest workflow file, in bytes.
pub const SOURCE_BYTES_MAX: usize = 1024 * 1024;

/// What is said at most in one go: much of it repeats what is in the file, however long that is.
const SAID_CHARS_MAX: usize = 1000;

/// How many problems of one file are shown.
pub const PROBLEMS_MAX: usize = 200;

/// A file without a name, and nothing in it.
impl Default for Source {
    fn default() -> Self {
        Self::new("", "")
    }
}

impl Source {
    /// A file's name as people know it, and its text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), text, line_starts }
    }

    /// Names it otherwise.
    pub(crate) fn rename(&mut self, name: String) {
        self.name = name;
    }

    /// A file whose bytes must be UTF-8; what is not is replaced, and said.
    pub fn from_bytes(name: impl Into<String>, bytes: &[u8]) -> (Self, Option<Problem>) {
        match std::str::from_utf8(bytes) {
            Ok(text) => (Self::new(name, text), None),
            Err(error) => {
                let source = Self::new(name, String::from_utf8_lossy(bytes));
                let at = error.valid_up_to();
                let problem =
                    Problem::error("not-utf8", format!("byte {at} is not UTF-8; a workflow file is UTF-8 text"))
                        .at(source.place(Extent { start: at, end: at + '\u{fffd}'.len_utf8() }));
                (source, Some(problem))
            }
        }
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a part; empty when there is no such part.
    pub fn slice(&self, extent: Extent) -> &str {
        self.text.get(extent.start..extent.end).unwrap_or_default()
    }

    /// Line and column of a part.
    pub fn place(&self, extent: Extent) -> Place {
        let start = self.boundary(extent.start);
        let end = self.boundary(extent.end).max(start);
        let line = self.line_starts.partition_point(|it| *it <= start).max(1);
        let column = self.text[self.line_starts[line - 1]..start].chars().count() + 1;
        Place { line, column, start, end }
    }

    /// The nearest character boundary that is not after `at`.
    fn boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

/// Bytes of a file, from `start` up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Extent {
    /// The first byte.
    pub start: usize,
    /// The first byte after it.
    pub end: usize,
}

impl From<Range<usize>> for Extent {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// A part of a file, for people and for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Default)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The first byte.
    pub start: usize,
    /// The first byte after it.
    pub end: usize,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can be used, and probably does not do what was meant.
    Warning,
}

/// Something wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// Stable, for programs: `unknown-step`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What stands at the caret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Other places that have to do with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// Why it is so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// What must not be shown; only its place is told.
    #[serde(serialize_with = "mask_place", skip_serializing_if = "Option::is_none")]
    pub masked: Option<Extent>,
}

fn mask_place<S: Serializer>(extent: &Option<Extent>, serializer: S) -> Result<S::Ok, S::Error> {
    extent.map(|it| (it.start, it.end)).serialize(serializer)
}

/// Another place that has to do with a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What is there.
    pub text: String,
}

impl Problem {
    /// A problem that makes the file useless, without a place yet.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            place: Place { line: 1, column: 1, start: 0, end: 0 },
            label: None,
            labels: Vec::new(),
            notes: Vec::new(),
            suggestion: None,
            masked: None,
        }
    }

    /// A problem that the file can be used with, without a place yet.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// The same problem at a place.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Says more at the caret.
    pub fn labelled(&mut self, text: impl Into<String>) -> &mut Self {
        self.label = Some(text.into());
        self
    }

    /// Says why.
    pub fn note(&mut self, text: impl Into<String>) -> &mut Self {
        self.notes.push(text.into());
        self
    }

    /// Says what would be right.
    pub fn suggest(&mut self, text: impl Into<String>) -> &mut Self {
        self.suggestion = Some(text.into());
        self
    }

    /// Says what would be right, if there is something.
    pub fn suggest_some(&mut self, text: Option<String>) -> &mut Self {
        if text.is_some() {
            self.suggestion = text;
        }
        self
    }
}

impl Problem {
    fn shorten(&mut self) {
        let said = std::iter::once(&mut self.message)
            .chain(&mut self.label)
            .chain(&mut self.notes)
            .chain(&mut self.suggestion)
            .chain(self.labels.iter_mut().map(|it| &mut it.text));
        for text in said {
            if let Some((end, _)) = text.char_indices().nth(SAID_CHARS_MAX) {
                text.truncate(end);
                text.push('…');
            }
        }
    }
}

/// `file:line:column: error[code]: message`, one line, for logs.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}: {severity}[{}]: {}", self.place.line, self.place.column, self.code, self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

/// Collects the problems of one file.
#[derive(Debug)]
pub(crate) struct Report<'s> {
    pub(crate) source: &'s Source,
    problems: Vec<Problem>,
}

impl<'s> Report<'s> {
    pub(crate) fn new(source: &'s Source) -> Self {
        Self { source, problems: Vec::new() }
    }

    /// Adds a problem; what it returns lets the caller say more.
    pub(crate) fn error(&mut self, extent: Extent, code: &'static str, message: impl Into<String>) -> &mut Problem {
        self.push(extent, Problem::error(code, message))
    }

    pub(crate) fn warning(&mut self, extent: Extent, code: &'static str, message: impl Into<String>) -> &mut Problem {
        self.push(extent, Problem::warning(code, message))
    }

    fn push(&mut self, extent: Extent, problem: Problem) -> &mut Problem {
        self.problems.push(problem.at(self.source.place(extent)));
        self.problems.last_mut().expect("one was just added")
    }

    pub(crate) fn has_errors(&self) -> bool {
        has_errors(&self.problems)
    }

    /// All problems in the order of the file, each once.
    pub(crate) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by(|a, b| (a.place, a.code, &a.message).cmp(&(b.place, b.code, &b.message)));
        self.problems.dedup();
        self.problems.iter_mut().for_each(Problem::shorten);
        self.problems
    }
}

/// Whether one of them makes the file useless.
pub fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|it| it.severity == Severity::Error)
}

/// Whether to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// ANSI escape codes.
    Ansi,
    /// Plain text.
    None,
}

/// Shows problems with the lines they are about, a caret and what would be right.
pub fn render(source: &Source, problems: &[Problem], color: Color) -> String {
    let masked = masked_text(source, problems);
    let renderer = match color {
        Color::Ansi => Renderer::styled(),
        Color::None => Renderer::plain(),
    };
    let mut shown = String::new();
    for problem in problems.iter().take(PROBLEMS_MAX) {
        if !shown.is_empty() {
            shown.push('\n');
        }
        shown.push_str(&render_one(source, &masked, problem, &renderer));
        shown.push('\n');
    }
    if problems.len() > PROBLEMS_MAX {
        shown.push_str(&format!("\n… and {} more\n", problems.len() - PROBLEMS_MAX));
    }
    shown
}

/// The file's text with everything that may be a secret replaced, byte by byte.
fn masked_text(source: &Source, problems: &[Problem]) -> String {
    let mut text = source.text.clone();
    for extent in problems.iter().filter_map(|it| it.masked) {
        let Some(secret) = text.get(extent.start..extent.end) else { continue };
        let mask: String = secret.bytes().map(|it| if it == b'\n' { '\n' } else { '*' }).collect();
        text.replace_range(extent.start..extent.end, &mask);
    }
    text
}

fn render_one(source: &Source, text: &str, problem: &Problem, renderer: &Renderer) -> String {
    let places = || std::iter::once(&problem.place).chain(problem.labels.iter().map(|it| &it.place));
    let first_line = places().map(|it| it.line).min().unwrap_or(1);
    let begin = source.line_starts[first_line - 1];
    let last = places().map(|it| it.end).max().unwrap_or(begin);
    let end = text[last..].find('\n').map_or(text.len(), |it| last + it);
    let window = &text[begin..end];
    let within = |place: &Place| {
        let (start, end) = (place.start - begin, (place.end - begin).min(window.len()));
        // What begins on one line and ends on another is pointed at where it begins.
        let line_end = window[start..].find('\n').map_or(window.len(), |it| start + it);
        start..end.min(line_end).max(start)
    };
    let mut primary = AnnotationKind::Primary.span(within(&problem.place));
    if let Some(label) = &problem.label {
        primary = primary.label(label.as_str());
    }
    let snippet =
        Snippet::source(window).line_start(first_line).path(source.name.as_str()).annotation(primary).annotations(
            problem.labels.iter().map(|it| AnnotationKind::Context.span(within(&it.place)).label(it.text.as_str())),
        );
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let group = level
        .primary_title(problem.message.as_str())
        .id(problem.code)
        .element(snippet)
        .elements(problem.notes.iter().map(|it| Level::NOTE.message(it.as_str())))
        .elements(problem.suggestion.iter().map(|it| Level::HELP.message(it.as_str())));
    renderer.render(&[group])
}

/// The most similar of some names, if one is similar enough to have been meant.
pub(crate) fn most_similar<'n>(given: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let plain = |it: &str| it.to_ascii_lowercase().replace('_', "-");
    let wanted: String = plain(given).chars().take(100).collect();
    let bound = (wanted.chars().count() / 3).clamp(1, 4);
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&wanted, &plain(name)), name))
        .filter(|(distance, name)| {
            *distance <= bound && *distance < plain(name).chars().count().max(1)
                || (wanted.chars().count() >= 3 && plain(name).starts_with(&wanted))
                || plain(name).chars().zip(wanted.chars()).take_while(|(a, b)| a == b).count() >= 5
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// ``did you mean `build`?``
pub fn did_you_mean<'n>(given: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    most_similar(given, names).map(|it| format!("did you mean `{it}`?"))
}

/// `` `a`, `b` and `c` ``, shortened after a dozen.
pub fn listed<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|it| format!("`{it}`")).collect();
    match items.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [all @ .., last] if items.len() <= 12 => format!("{} and {last}", all.join(", ")),
        _ => format!("{} and {} more", items[..11].join(", "), items.len() - 11),
    }
}
