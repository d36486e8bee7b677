//! A release as a tree, a state per step.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use windlass_model::cause::CauseCategory;
use windlass_model::text::{one_line, shortened};
use windlass_model::time::{Span, Timestamp};
use windlass_server::rehearsal::RehearsedView;
use windlass_server::view::{ArtifactView, ReleaseView, RollbackView, StepView, WaitView};

use crate::output::{BAD, BUSY, DIM, GOOD, STRONG, WAIT, styled};

/// Draws a release. `now` is what running steps are timed against.
pub(crate) fn draw(view: &ReleaseView, now: Timestamp) -> String {
    let mut lines = vec![head(view, now)];
    let names = view.steps.iter().chain(view.steps.iter().flat_map(|it| &it.items)).map(|it| it.name.len());
    let wide = names.max().unwrap_or(0);
    let phases: Vec<Option<&str>> = if view.phases.is_empty() {
        vec![None]
    } else {
        let named = view.phases.iter().map(|it| Some(it.as_str()));
        let unnamed = view.steps.iter().any(|it| it.phase.is_none()).then_some(None);
        named.chain(unnamed).collect()
    };
    for (at, phase) in phases.iter().enumerate() {
        let is_last = at + 1 == phases.len();
        let steps: Vec<&StepView> = view.steps.iter().filter(|it| it.phase.as_deref() == *phase).collect();
        let (branch, trunk) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let trunk = match phase {
            Some(phase) => {
                lines.push(format!("{}{}", styled(DIM, branch), styled(STRONG, phase)));
                trunk
            }
            None => "",
        };
        for (at, step) in steps.iter().enumerate() {
            let (branch, below) = if at + 1 == steps.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            lines.push(format!("{}{}", styled(DIM, format!("{trunk}{branch}")), line(step, view, wide, now)));
            for told in dry_run(step) {
                lines.push(styled(DIM, format!("{trunk}{below}  {told}")).to_string());
            }
            let items: Vec<&StepView> = worth_showing(&step.items);
            for (at, item) in items.iter().enumerate() {
                let branch = if at + 1 == items.len() { "└─ " } else { "├─ " };
                lines.push(format!(
                    "{}{}",
                    styled(DIM, format!("{trunk}{below}{branch}")),
                    line(item, view, wide, now)
                ));
                let below_item = if at + 1 == items.len() { "   " } else { "│  " };
                for told in dry_run(item) {
                    lines.push(styled(DIM, format!("{trunk}{below}{below_item}  {told}")).to_string());
                }
            }
        }
    }
    // What is no step's own failure is told nowhere else.
    let is_told = || {
        let all = view.steps.iter().flat_map(|it| it.items.iter().chain([it]));
        all.map(|it| it.status.as_str()).any(|it| !it.is_empty() && view.headline.contains(&one_line(it)))
    };
    if view.state == "failed" && view.headline != view.state && !is_told() {
        lines.push(format!("{} {}", styled(BAD, "✘"), one_line(&view.headline)));
    }
    for left_out in &view.left_out {
        lines.push(styled(DIM, left_out).to_string());
    }
    for (who, wait) in asked(view) {
        lines.push(format!("{} {who} waits: {}", styled(WAIT, "▸"), one_line(&wait.text)));
        lines.push(format!("  {}", styled(DIM, &wait.command)));
        lines.extend(wait.others.iter().map(|it| format!("  {}", styled(DIM, it))));
    }
    if let Some(rollback) = view.rollback.as_ref().filter(|_| view.ended) {
        match &rollback.cause {
            Some(it) => {
                lines.push(one_line(&format!(
                    "cause ({}, by {}): {}",
                    it.cause.category.name(),
                    it.by,
                    it.cause.cause
                )));
                for (name, text) in [("risk", &it.cause.risk), ("runbook", &it.cause.runbook)] {
                    lines.extend(text.as_ref().map(|text| one_line(&format!("  {name}: {text}"))));
                }
            }
            None if rollback.review_open => {
                lines.push(format!("{} the review of its rollback is open: why did it have to be?", styled(WAIT, "▸")));
                let categories: Vec<_> = CauseCategory::ALL.iter().map(|(name, _)| *name).collect();
                let categories = categories.join("|");
                let command = format!("windlass release cause {} --category {categories} --cause …", view.release);
                lines.push(format!("  {}", styled(DIM, command)));
            }
            None => {}
        }
    }
    lines.extend(outputs(view));
    if let Some(rehearsed) = view.rehearsed.as_ref().filter(|_| !view.ended || view.rollback.is_some()) {
        lines.push(styled(DIM, rehearsal(rehearsed, now)).to_string());
    }
    lines.join("\n") + "\n"
}

/// Who waits for somebody that can do something about it: its own steps, then those of releases inside of it.
fn asked(view: &ReleaseView) -> impl Iterator<Item = (String, &WaitView)> {
    let own = view.waits.iter().map(|it| (if it.step.is_empty() { &view.release } else { &it.step }.clone(), it));
    let inner = view.within.iter().flat_map(|inner| {
        let who = |it: &WaitView| format!("{} {}", inner.release, it.step).trim_end().to_owned();
        inner.waits.iter().map(move |it| (who(it), it))
    });
    own.chain(inner).filter(|(_, it)| !it.command.is_empty())
}

/// How much of an output is drawn.
const OUTPUT_LETTERS_MAX: usize = 200;

/// What the release gives, a line each; artifacts have lines of their own.
pub(crate) fn outputs(view: &ReleaseView) -> Vec<String> {
    let given = view.outputs.as_object().into_iter().flatten();
    let given = given.filter(|(name, _)| !view.artifacts.iter().any(|it| it.from == format!("output {name}")));
    let shown = |value: &serde_json::Value| {
        let whole = one_line(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        shortened(&whole, OUTPUT_LETTERS_MAX)
    };
    given.map(|(name, value)| format!("{} {}", styled(DIM, format!("{name}:")), shown(value))).collect()
}

/// `rollback rehearsed 2d ago in payments-12: 3m12s of 15m`
fn rehearsal(RehearsedView { last, is_same, objective }: &RehearsedView, now: Timestamp) -> String {
    let ago = took(last.ended_at, now);
    let how = match (last.is_good, last.took, objective) {
        (true, Some(took), Some(objective)) if took > *objective => {
            format!("{}, objective {objective}", duration(took))
        }
        (true, Some(took), Some(objective)) => format!("{} of {objective}", duration(took)),
        (true, Some(took), None) => duration(took),
        _ => last.outcome.clone(),
    };
    let which = if *is_same { "" } else { ", of another definition" };
    format!("rollback rehearsed {ago} ago in {}{which}: {how}", last.release)
}

/// How much of a stopped request's body is drawn.
const BODY_LETTERS_MAX: usize = 200;

/// What a dry run tells of a step, a line each: `would POST https://ci.example/job/x/build {"ref":"main"}`.
fn dry_run(step: &StepView) -> Vec<String> {
    let Some(dry) = &step.dry_run else { return Vec::new() };
    let mut lines = dry.left_out.clone();
    for would in &dry.would {
        let shown: String = one_line(&would.body).chars().take(BODY_LETTERS_MAX).collect();
        let cut = if (shown.len() as u64) < would.body_bytes {
            format!(" … {} bytes", would.body_bytes)
        } else {
            String::new()
        };
        lines.push(format!("would {} {shown}{cut}", one_line(&would.what)).trim_end().to_owned());
    }
    if dry.omitted > 0 {
        lines.push(format!("would do {} things more", dry.omitted));
    }
    lines.extend(dry.note.as_deref().map(one_line));
    lines.extend(dry.output_from.as_deref().and_then(|it| match it {
        "plugin" => None,
        "schema" => Some("output made of its schema".to_owned()),
        release => Some(format!("output of {release}")),
    }));
    lines
}

/// How many items of a step are drawn.
const ITEMS_MAX: usize = 12;

/// The items of a step that somebody wants to see: all when they are few, else those that are not simply done or
/// to come, as many as fit.
fn worth_showing(items: &[StepView]) -> Vec<&StepView> {
    if items.len() <= ITEMS_MAX {
        return items.iter().collect();
    }
    items.iter().filter(|it| !matches!(it.state.as_str(), "succeeded" | "waiting")).take(ITEMS_MAX).collect()
}

/// What an item of a step is, for people: `eu`, `linux, 18`.
fn item_label(item: &serde_json::Value) -> String {
    use serde_json::Value;
    match item {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => fields.values().map(item_label).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => item.to_string(),
    }
}

fn head(view: &ReleaseView, now: Timestamp) -> String {
    let style = match view.state.as_str() {
        "succeeded" => GOOD,
        "running" | "finishing" => BUSY,
        "paused" => WAIT,
        _ => BAD,
    };
    let end = if view.ended { view.updated_at } else { now };
    let took = took(view.created_at, end);
    let mut marks = String::new();
    if view.rehearsal {
        marks.push_str(" · rehearsal");
    }
    if view.dry_run {
        marks.push_str(" · dry run, nothing was written");
    }
    if let Some(priority) = &view.priority {
        marks.push_str(&format!(" · {priority}"));
    }
    let trigger = view.rollback.as_ref().map(|it| format!(" ({})", rollback(it, now))).unwrap_or_default();
    format!(
        "{}  {}{trigger} {}",
        styled(STRONG, &view.release),
        styled(style, &view.state),
        styled(DIM, format!("· {took}{marks}"))
    )
}

/// `step deploy failed; took 12.0s of 15m`
fn rollback(rollback: &RollbackView, now: Timestamp) -> String {
    let took = took(rollback.began_at, rollback.ended_at.unwrap_or(now));
    let verb = if rollback.ended_at.is_some() { "took " } else { "" };
    let trigger = one_line(&rollback.trigger);
    match rollback.objective {
        None => trigger,
        Some(objective) if rollback.is_overdue => format!("{trigger}; {verb}{took}, objective {objective}"),
        Some(objective) => format!("{trigger}; {verb}{took} of {objective}"),
    }
}

fn line(step: &StepView, view: &ReleaseView, wide: usize, now: Timestamp) -> String {
    let (sign, style) = sign(&step.state);
    let time = match (step.began_at, step.ended_at) {
        (Some(began), Some(ended)) => took(began, ended),
        (Some(began), None) if step.state != "not run" => took(began, now),
        _ => String::new(),
    };
    let percent = step.percent.map(|it| format!("{it}% ")).unwrap_or_default();
    let state = match step.state.as_str() {
        "succeeded" | "waiting" => String::new(),
        other if step.status.starts_with(&format!("{other}: ")) => String::new(),
        other => format!("{other}: "),
    };
    let mut text = format!("{state}{percent}{}", step.status);
    text = one_line(text.trim_end_matches([':', ' ']));
    let attempt = if step.attempt > 1 { format!(" (attempt {})", step.attempt) } else { String::new() };
    let what = match item_label(&step.item) {
        label if label.is_empty() => step.uses.clone(),
        label => one_line(&label).chars().take(28).collect(),
    };
    let mut line =
        format!("{} {:wide$}  {}", styled(style, sign), step.name, styled(DIM, format!("{what:28} {time:>7}")),);
    if !text.is_empty() {
        line.push_str(&format!("  {}{attempt}", styled(style, text)));
    }
    match view.within.iter().find(|it| it.step == step.name && step.release.is_some()) {
        Some(inner) => line.push_str(&format!(" {}", styled(DIM, format!("→ {} ({})", inner.release, inner.state)))),
        None => line.extend(step.release.iter().map(|it| format!(" {}", styled(DIM, format!("→ {it}"))))),
    }
    for (title, url) in &step.links {
        line.push_str(&format!(" {}", styled(DIM, one_line(&format!("[{title}: {url}]")))));
    }
    line
}

fn sign(state: &str) -> (&'static str, anstyle::Style) {
    match state {
        "succeeded" => ("✔", GOOD),
        "failed" | "rollback blocked" => ("✘", BAD),
        "paused" | "held" => ("▸", WAIT),
        "running" | "suspended" | "retrying" | "canceling" | "rolling back" => ("●", BUSY),
        "rolled back" => ("↩", WAIT),
        "skipped" | "canceled" | "not run" => ("–", DIM),
        _ => ("○", DIM),
    }
}

/// A length of time for people: `8.1s`, `2m03s`.
fn took(from: Timestamp, to: Timestamp) -> String {
    duration(to.since(from))
}

/// `8.1s`, `2m03s`, `2h1m`
pub(crate) fn duration(span: Span) -> String {
    let millis = span.as_millis();
    match millis / 1000 {
        0..60 => format!("{:.1}s", millis as f64 / 1000.0),
        seconds @ 60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        seconds => Span(seconds / 60 * 60_000).to_string(),
    }
}

/// A tree that is drawn anew over itself on a terminal, and told line by line elsewhere.
pub(crate) struct Live {
    is_live: bool,
    drawn: usize,
    teller: Teller,
}

impl Live {
    pub(crate) fn new(is_live: bool) -> Self {
        Self { is_live, drawn: 0, teller: Teller::default() }
    }

    /// Shows how the release stands now.
    pub(crate) fn show(&mut self, view: &ReleaseView, now: Timestamp) {
        let mut out = anstream::stdout().lock();
        if self.is_live {
            let columns = terminal_columns();
            let text = draw(view, now);
            let lines: Vec<String> = text.lines().map(|it| cut(it, columns)).collect();
            let up = if self.drawn > 0 { format!("\x1b[{}A", self.drawn) } else { String::new() };
            let _ = writeln!(out, "{up}\x1b[J{}", lines.join("\n"));
            self.drawn = lines.len();
        } else {
            for line in self.teller.tell(view) {
                let _ = writeln!(out, "{line}");
            }
        }
        let _ = out.flush();
    }

    /// Leaves what is drawn as it is; the next drawing goes below it.
    pub(crate) fn leave(&mut self) {
        self.drawn = 0;
    }
}

/// Tells a release line by line: what is new, and what somebody has to do.
#[derive(Default)]
struct Teller {
    /// The release's state, under the empty name, and each step's.
    states: BTreeMap<String, String>,
    /// What each step said of itself since its state became what it is.
    said: BTreeMap<String, BTreeSet<String>>,
    asked: BTreeSet<(String, String)>,
    /// When the rollback began whose trigger was told.
    rollback: Option<Timestamp>,
}

impl Teller {
    fn tell(&mut self, view: &ReleaseView) -> Vec<String> {
        let mut lines = Vec::new();
        for step in view.steps.iter().flat_map(|it| it.items.iter().chain([it])) {
            // A step that waits outside is woken to look again and again; that is no news.
            let state = if step.state == "suspended" { "running" } else { step.state.as_str() };
            let before = self.states.insert(step.name.clone(), state.to_owned());
            let said = self.said.entry(step.name.clone()).or_default();
            let is_new = before.as_deref() != Some(state);
            if is_new {
                said.clear();
            }
            let is_news = said.insert(step.status.clone()) && !step.status.is_empty();
            if (is_new && (before.is_some() || state != "waiting")) || (!is_new && is_news) {
                let said = match step.status.as_str() {
                    "" => state.to_owned(),
                    status if status.starts_with(&format!("{state}: ")) => one_line(status),
                    status => format!("{state}: {}", one_line(status)),
                };
                lines.push(format!("{:>12}  {said}", step.name));
            }
        }
        for (who, wait) in asked(view) {
            if self.asked.insert((who.clone(), wait.text.clone())) {
                lines.push(match &wait.queue {
                    // There is nothing to do but to wait.
                    Some(_) => format!("{who:>12}  waits: {}", one_line(&wait.text)),
                    None => format!("{who:>12}  waits for {}: {}", one_line(&wait.owner), wait.command),
                });
                lines.extend(wait.others.iter().map(|it| format!("{:>12}  or {it}", "")));
            }
        }
        if self.states.insert(String::new(), view.state.clone()).as_ref() != Some(&view.state) {
            let began = view.rollback.as_ref().map(|it| it.began_at);
            let is_told = std::mem::replace(&mut self.rollback, began) == began;
            let why = view.rollback.as_ref().filter(|_| !is_told);
            let why = why.map(|it| format!(": {}", one_line(&it.trigger))).unwrap_or_default();
            lines.push(format!("{:>12}  {}{why}", view.release, view.state));
        }
        lines
    }
}

fn terminal_columns() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or(100, |it| usize::from(it.ws_col).max(20))
}

/// Cuts a line with styles in it to what fits, so that it takes one line on the screen.
fn cut(line: &str, columns: usize) -> String {
    let mut out = String::new();
    let mut width = 0;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter == '\x1b' {
            out.push(letter);
            for letter in letters.by_ref() {
                out.push(letter);
                if letter.is_ascii_alphabetic() {
                    break;
                }
            }
        } else if width < columns - 1 {
            out.push(letter);
            width += 1;
        }
    }
    out
}

/// `artifact  payments 2.4.1 (sha256:0123456789ab)  from parameter image, step build`, a line each.
pub(crate) fn artifacts(view: &ReleaseView) -> String {
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for ArtifactView { from, artifact } in &view.artifacts {
        let shown = artifact.to_string();
        match lines.iter_mut().find(|(it, _)| *it == shown) {
            Some((_, places)) => places.push(from),
            None => lines.push((shown, vec![from])),
        }
    }
    let line = |(shown, places): (String, Vec<&str>)| {
        format!("{}  {shown}  {}\n", styled(DIM, "artifact"), styled(DIM, format!("from {}", places.join(", "))))
    };
    lines.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_by_what_is_seen_of_it() {
        assert_eq!(cut("\x1b[1mabcdef\x1b[0m", 4), "\x1b[1mabc\x1b[0m");
        assert_eq!(took(Timestamp(0), Timestamp(8_100)), "8.1s");
        assert_eq!(took(Timestamp(0), Timestamp(123_000)), "2m03s");
        assert_eq!(took(Timestamp(0), Timestamp(7_260_000)), "2h1m");
    }

    fn view(state: &str, status: &str, command: &str) -> ReleaseView {
        let step = serde_json::json!({
            "name": "build", "phase": null, "needs": [], "uses": "jenkins/trigger-build", "version": "0.1.0",
            "component": "", "state": state, "status": status, "attempt": 1, "began_at": null, "ended_at": null
        });
        let wait = serde_json::json!({
            "step": "build", "cause": "decision", "text": "it failed", "owner": "you", "until": null,
            "command": command
        });
        serde_json::from_value(serde_json::json!({
            "release": "payments-1", "workflow": "payments", "state": "running", "ended": false, "succeeded": false,
            "requested_by": "ana", "plan": "", "parameters": {}, "outputs": {}, "phases": [], "steps": [step],
            "waits": [wait], "headline": "", "records": 1, "created_at": 0, "updated_at": 0
        }))
        .expect("a view")
    }

    #[test]
    fn only_news_is_told() {
        let mut teller = Teller::default();
        let mut told = Vec::new();
        for (state, status, command) in [
            ("waiting", "", ""),
            ("running", "", ""),
            ("suspended", "it is queued", ""),
            ("running", "it is queued", ""),
            ("suspended", "it is queued", ""),
            ("suspended", "it runs", ""),
            ("running", "", ""),
            ("paused", "it failed", "windlass release retry"),
            ("paused", "it failed", "windlass release retry"),
            ("running", "it is queued", ""),
            ("succeeded", "", ""),
        ] {
            told.extend(teller.tell(&view(state, status, command)).iter().map(|it| it.trim().to_owned()));
        }
        assert_eq!(
            told,
            [
                "payments-1  running",
                "build  running",
                "build  running: it is queued",
                "build  running: it runs",
                "build  paused: it failed",
                "build  waits for you: windlass release retry",
                "build  running: it is queued",
                "build  succeeded",
            ]
        );
    }

    #[test]
    fn a_release_inside_is_shown_as_it_stands() {
        let mut view = view("rolling back", "rolling back: release deploy-1 is being rolled back", "");
        view.steps[0].release = Some("deploy-2".to_owned());
        let wait = serde_json::json!({
            "step": "upgrade", "cause": "decision", "text": "its rollback failed", "owner": "you", "until": null,
            "command": "windlass release retry deploy-1", "others": ["windlass release settle deploy-1"],
        });
        let within = serde_json::json!([
            { "release": "deploy-1", "step": "build", "state": "rollback blocked", "waits": [wait] },
        ]);
        view.within = serde_json::from_value(within).expect("what is inside");
        let drawn = anstream::adapter::strip_str(&draw(&view, Timestamp(0))).to_string();
        assert_eq!(
            Teller::default().tell(&view)[0].trim(),
            "build  rolling back: release deploy-1 is being rolled back"
        );
        let expected = "  rolling back: release deploy-1 is being rolled back → deploy-1 (rollback blocked)\n▸ deploy-1 upgrade waits: its rollback failed\n  windlass release retry deploy-1\n  windlass release settle deploy-1\n";
        assert!(drawn.ends_with(expected), "{drawn}");
    }

    /// What a plugin says is on its own line, whatever is in it.
    #[test]
    fn nothing_that_is_said_moves_the_cursor() {
        const SAID: &str = "fine\n       build  succeeded\r\u{1b}[2K\u{1b}]0;title\u{7}\u{202e}neddih";
        let mut view = view("running", SAID, "");
        view.steps[0].links = vec![(SAID.to_owned(), format!("https://x/{SAID}"))];
        view.steps[0].item = serde_json::json!(SAID);
        let wait = serde_json::json!({
            "step": "", "cause": "outside", "text": SAID.replace("fine", "waits"), "owner": SAID, "until": null,
            "command": "windlass release show payments-1",
        });
        view.waits = vec![serde_json::from_value(wait).expect("a wait")];
        view.ended = true;
        let rollback = serde_json::json!({
            "trigger": SAID.replace("fine", "trigger"), "began_at": 0, "ended_at": 1, "is_overdue": false,
            "cause": { "category": "configuration", "cause": SAID.replace("fine", "cause"), "by": "ana", "at": 1 },
        });
        view.rollback = Some(serde_json::from_value(rollback).expect("a rollback"));
        let drawn = draw(&view, Timestamp(0));
        // Our own styles begin with ESC and end with m.
        let plain: String = anstream::adapter::strip_str(&drawn).to_string();
        assert_eq!(plain.lines().filter(|it| it.contains("fine")).count(), 1, "{plain}");
        assert_eq!(plain.lines().filter(|it| it.contains("neddih")).count(), 4, "{plain}");
        let told = Teller::default().tell(&view).join("\n");
        let said = |it: &&str| ["fine", "succeeded"].iter().any(|said| it.contains(said));
        assert_eq!(told.lines().filter(said).count(), 3, "{told}");
        for text in [drawn, told] {
            for acts in ["\r", "\u{1b}[2K", "\u{1b}]", "\u{7}", "\u{202e}"] {
                assert!(!text.contains(acts), "{text:?}");
            }
        }
    }
}
