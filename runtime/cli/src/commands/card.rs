//! `windlass release card`

use windlass_model::time::Timestamp;
use windlass_server::view::{AskedView, CardView, CriterionView, OwnerView};

use crate::output::{BAD, DIM, GOOD, STRONG, WAIT, styled};
use crate::tree::duration;

/// A decision card for people.
pub(crate) fn drawn(card: &CardView, now: Timestamp) -> String {
    let mut out = format!("{}  {}\n", styled(STRONG, &card.release), card.state);
    let mut line = |name: &str, text: String| out.push_str(&format!("  {name:<9} {text}\n"));
    match &card.asked {
        Some(AskedView { cause, since, .. }) => {
            line(
                "asked",
                format!("{} {}", styled(WAIT, cause), styled(DIM, format!("{} ago", duration(now.since(*since))))),
            );
        }
        None => line("asked", styled(DIM, "nothing").to_string()),
    }
    for (at, it) in card.criteria.iter().enumerate() {
        line(if at == 0 { "criteria" } else { "" }, criterion(it));
    }
    for (at, it) in card.owners.iter().enumerate() {
        line(if at == 0 { "owners" } else { "" }, owner(it, card.asked.as_ref(), now));
    }
    if card.owners.is_empty()
        && let Some(asked) = &card.asked
    {
        line("owner", asked.owner.clone());
    }
    if !card.inform.is_empty() {
        line("inform", card.inform.join(", "));
    }
    for (at, it) in card.alerts.iter().enumerate() {
        line(if at == 0 { "alerts" } else { "" }, format!("{}, since {}", it.alert.in_words(), it.alert.starts_at));
    }
    for (at, command) in card.commands.iter().enumerate() {
        line(if at == 0 { "decide" } else { "" }, styled(STRONG, command).to_string());
    }
    if let Some(it) = &card.decided {
        line("decided", format!("{} by {} at {}: {}", it.decision, it.by, it.at, it.reason));
    }
    out
}

fn criterion(it: &CriterionView) -> String {
    let sign = match it.is_met {
        Some(true) => styled(BAD, "✘ met"),
        Some(false) => styled(GOOD, "✔ not met"),
        None => styled(DIM, "○ not known"),
    };
    let values: Vec<String> = it.values.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let why = match &it.problem {
        Some(problem) => problem.clone(),
        None => format!("{}: {}", it.when, values.join(", ")),
    };
    format!("{sign}  {}  {}", it.text, styled(DIM, why))
}

fn owner(it: &OwnerView, asked: Option<&AskedView>, now: Timestamp) -> String {
    let has = it.escalate_after.map(|it| format!("  has {it}")).unwrap_or_default();
    let next = match asked.filter(|_| it.is_asked) {
        None => String::new(),
        Some(AskedView { escalates_at: Some(at), then: Some(then), .. }) => {
            format!("  {}", styled(WAIT, format!("is asked; in {} {then} is", duration(at.since(now)))))
        }
        Some(_) => format!("  {}", styled(WAIT, "is asked")),
    };
    format!("{}{has}{next}", it.who)
}
