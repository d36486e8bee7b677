//! Drawings of workflows: a Mermaid flowchart and a self-contained SVG.
//!
//! Both are made from the workflow alone, and are the same bytes for the same workflow.

mod layout;

use std::fmt::Write as _;

use crate::fan_out::Items;
use crate::template::Template;
use crate::workflow::{Gate, Step, Workflow};

use layout::{Layout, layout};

/// A Mermaid flowchart: phases as groups, a hexagon for each gate, an edge for each need.
pub fn mermaid(workflow: &Workflow) -> String {
    let mut text = String::from("flowchart LR\n");
    let node = |step: &Step, indent: &str, text: &mut String| {
        let (name, uses) = (&step.name, mermaid_text(&step.uses.to_string()));
        let notes = notes(step);
        let notes = if notes.is_empty() { notes } else { format!("<br/>{}", mermaid_text(&notes)) };
        let _ = writeln!(text, "{indent}{}[\"<b>{}</b><br/>{uses}{notes}\"]", id(step), mermaid_text(name.as_str()));
        if !step.gates.is_empty() {
            let _ = writeln!(
                text,
                "{indent}{}_gate{{{{\"{}\"}}}} -.-> {}",
                id(step),
                mermaid_text(&gate_words(step)),
                id(step)
            );
        }
    };
    for (at, phase) in workflow.phases.iter().enumerate() {
        let _ = writeln!(text, "  subgraph phase_{at}[\"{}\"]", mermaid_text(phase.as_str()));
        for step in workflow.steps.iter().filter(|it| it.phase.as_ref() == Some(phase)) {
            node(step, "    ", &mut text);
        }
        text.push_str("  end\n");
    }
    for step in workflow.steps.iter().filter(|it| it.phase.is_none() && !it.finally) {
        node(step, "  ", &mut text);
    }
    if workflow.steps.iter().any(|it| it.finally) {
        text.push_str("  subgraph finally[\"finally\"]\n");
        for step in workflow.steps.iter().filter(|it| it.finally) {
            node(step, "    ", &mut text);
        }
        text.push_str("  end\n");
    }
    for step in &workflow.steps {
        for need in &step.needs {
            let Some(needed) = workflow.step(need) else { continue };
            match &step.when {
                Some(when) => {
                    let _ = writeln!(
                        text,
                        "  {} -->|\"{}\"| {}",
                        id(needed),
                        mermaid_text(&shorten(when.source(), 40)),
                        id(step)
                    );
                }
                None => {
                    let _ = writeln!(text, "  {} --> {}", id(needed), id(step));
                }
            }
        }
    }
    for pair in filled_phases(workflow).windows(2) {
        let _ = writeln!(text, "  phase_{} ==> phase_{}", pair[0], pair[1]);
    }
    if let Some(last) = filled_phases(workflow).last().filter(|_| workflow.steps.iter().any(|it| it.finally)) {
        let _ = writeln!(text, "  phase_{last} -.-> finally");
    }
    text
}

/// What is special about a step, in a line: `for each of parameters.regions, 2 at a time · after 30m`.
fn notes(step: &Step) -> String {
    let mut notes = Vec::new();
    if let Some(for_each) = &step.for_each {
        let what = match &for_each.items {
            Items::List(Template::Plain(serde_json::Value::Array(items))) => format!("for {} items", items.len()),
            Items::List(Template::Whole(list)) => format!("for each of {}", list.source()),
            Items::List(_) => "for each of a list".to_owned(),
            Items::Matrix { axes, .. } => {
                let axes: Vec<&str> = axes.iter().map(|it| it.name.as_str()).collect();
                format!("for each {}", axes.join(" × "))
            }
        };
        notes.push(match for_each.max_parallel {
            Some(most) => format!("{what}, {most} at a time"),
            None => what,
        });
    }
    notes.extend(step.delay.map(|it| format!("after {it}")));
    notes.extend(step.pivot.then(|| "point of no return".to_owned()));
    notes.join(" · ")
}

/// Phases that have steps; an arrow from or to an empty one says nothing.
fn filled_phases(workflow: &Workflow) -> Vec<usize> {
    let filled = |at: &usize| workflow.steps.iter().any(|it| it.phase.as_ref() == Some(&workflow.phases[*at]));
    (0..workflow.phases.len()).filter(filled).collect()
}

/// A name that Mermaid cannot take for a word of its own, such as `end`.
fn id(step: &Step) -> String {
    format!("step_{}", step.name)
}

fn mermaid_text(text: &str) -> String {
    let mut safe = String::new();
    for letter in text.chars() {
        match letter {
            '"' | '<' | '>' | '&' | '#' | ';' | '`' | '|' => {
                let _ = write!(safe, "#{};", u32::from(letter));
            }
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

/// `approval by 1 of group:release-managers`
fn gate_words(step: &Step) -> String {
    let words: Vec<String> = step
        .gates
        .iter()
        .map(|Gate::Approval(gate)| {
            let from: Vec<String> = gate.from.iter().map(ToString::to_string).collect();
            format!("approval by {} of {}", gate.min, from.join(", "))
        })
        .collect();
    words.join("; ")
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

const STYLE: &str = "
  svg { color-scheme: light dark; font: 13px system-ui, sans-serif; }
  .paper { fill: #ffffff; } .band { fill: #f1f4f8; } .phase { fill: #52606d; font-weight: 600; }
  .step { fill: #ffffff; stroke: #7b8794; } .name { fill: #1f2933; font-weight: 600; } .uses { fill: #52606d; font-size: 11px; }
  .need { fill: none; stroke: #7b8794; stroke-width: 1.5; } .head { fill: #7b8794; }
  .gate { fill: #fff3c4; stroke: #b7791f; } .gate-text { fill: #8d5a0b; font-size: 11px; } .when { fill: #2563a8; font-size: 11px; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #14181d; } .band { fill: #1e242b; } .phase { fill: #a5b1bd; }
    .step { fill: #262d35; stroke: #8d99a6; } .name { fill: #f0f4f8; } .uses { fill: #b8c2cc; }
    .need { stroke: #8d99a6; } .head { fill: #8d99a6; }
    .gate { fill: #4a3a12; stroke: #d9a441; } .gate-text { fill: #f2cf86; } .when { fill: #8ec1f5; }
  }
";

/// A drawing for a page: phases as bands from left to right, steps in columns, each to the right of all
/// that it needs. Light or dark as the reader's system is.
pub fn svg(workflow: &Workflow) -> String {
    let layout = layout(workflow);
    let mut svg = String::new();
    let (width, height) = (layout.width, layout.height);
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">"
    );
    let _ = writeln!(svg, "<title>{}</title>", escape(workflow.name.as_str()));
    if let Some(description) = &workflow.description {
        let _ = writeln!(svg, "<desc>{}</desc>", escape(description));
    }
    let _ = writeln!(svg, "<style>{STYLE}</style>");
    svg.push_str("<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path class=\"head\" d=\"M0 0 8 4 0 8z\"/></marker></defs>\n");
    let _ = writeln!(svg, "<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>");
    for band in &layout.bands {
        let _ = writeln!(
            svg,
            "<rect class=\"band\" x=\"{}\" y=\"8\" width=\"{}\" height=\"{}\" rx=\"8\"/>",
            band.left,
            band.width,
            height - 16
        );
        let _ = writeln!(svg, "<text class=\"phase\" x=\"{}\" y=\"28\">{}</text>", band.left + 12, escape(&band.name));
    }
    draw_needs(&mut svg, workflow, &layout);
    for (step, place) in workflow.steps.iter().zip(&layout.steps) {
        draw_step(&mut svg, step, place.left, place.top);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_needs(svg: &mut String, workflow: &Workflow, layout: &Layout) {
    for (step, to) in workflow.steps.iter().zip(&layout.steps) {
        for need in &step.needs {
            let Some(from) = workflow.steps.iter().position(|it| it.name == *need).map(|at| &layout.steps[at]) else {
                continue;
            };
            let (x1, y1) = (from.left + layout::STEP_WIDTH, from.top + layout::STEP_HEIGHT / 2);
            let (x2, y2) = (to.left - 2, to.top + layout::STEP_HEIGHT / 2);
            let bend = ((x2 - x1) / 2).clamp(12, 60);
            let _ = writeln!(
                svg,
                "<path class=\"need\" marker-end=\"url(#head)\" d=\"M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}\"/>",
                x1 + bend,
                x2 - bend
            );
        }
    }
}

fn draw_step(svg: &mut String, step: &Step, left: i64, top: i64) {
    let (width, height) = (layout::STEP_WIDTH, layout::STEP_HEIGHT);
    let title = step.uses.to_string();
    let _ = writeln!(svg, "<g><title>{}</title>", escape(&title));
    let _ =
        writeln!(svg, "<rect class=\"step\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>");
    let _ = writeln!(
        svg,
        "<text class=\"name\" x=\"{}\" y=\"{}\">{}</text>",
        left + 10,
        top + 20,
        escape(&shorten(step.name.as_str(), 22))
    );
    let _ = writeln!(
        svg,
        "<text class=\"uses\" x=\"{}\" y=\"{}\">{}</text>",
        left + 10,
        top + 36,
        escape(&shorten(&step.uses.to_string(), 28))
    );
    let mut below = top + height + 14;
    if !step.gates.is_empty() {
        let (x, y) = (left, top + height / 2);
        let _ = writeln!(svg, "<path class=\"gate\" d=\"M{} {y}L{x} {}L{} {y}L{x} {}z\"/>", x - 9, y - 9, x + 9, y + 9);
        let _ = writeln!(
            svg,
            "<text class=\"gate-text\" x=\"{}\" y=\"{below}\">{}</text>",
            left + 2,
            escape(&shorten(&gate_words(step), 30))
        );
        below += 14;
    }
    let notes = notes(step);
    if !notes.is_empty() {
        let _ = writeln!(
            svg,
            "<text class=\"when\" x=\"{}\" y=\"{below}\">{}</text>",
            left + 2,
            escape(&shorten(&notes, 34))
        );
        below += 14;
    }
    if let Some(when) = &step.when {
        let _ = writeln!(
            svg,
            "<text class=\"when\" x=\"{}\" y=\"{below}\">when {}</text>",
            left + 2,
            escape(&shorten(when.source(), 26))
        );
    }
    svg.push_str("</g>\n");
}

/// Text for XML, without characters that XML cannot hold.
fn escape(text: &str) -> String {
    let mut safe = String::new();
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}
