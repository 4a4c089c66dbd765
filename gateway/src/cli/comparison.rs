//! What another plugin makes of webhooks, in the terminal.

use crate::api::rehearsal::{Compared, Difference, Part, Rehearsal, Rehearsed};
use crate::cli::terminal::{Span, Style, Tone, bad, care, faint, plain, strong};
use crate::cli::tree::Node;

/// What a rehearsal gave, as text for a terminal.
pub fn render(rehearsal: &Rehearsal, style: Style) -> String {
    let Rehearsal { plugin, same, differ, failed, elsewhere, more, changes, examples } = rehearsal;
    let mut root = Node::new([
        strong(plugin.name.clone()),
        plain(format!(" {} ", plugin.version)),
        faint(format!("(SHA-256 {}...)", plugin.digest.get(..12).unwrap_or_default())),
    ]);
    let tone = |n: &u64, tone| if *n == 0 { Tone::Faint } else { tone };
    let webhooks = |n: &u64| if *n == 1 { "1 webhook".to_owned() } else { format!("{n} webhooks") };
    for (label, n, strong) in
        [("same", same, Tone::Good), ("differ", differ, Tone::Care), ("fail", failed, Tone::Bad)]
    {
        root.push(Node::fact(label, [Span::new(tone(n, strong), webhooks(n))]));
    }
    if *elsewhere > 0 {
        let line = format!("{} of sources that do not use it", webhooks(elsewhere));
        root.push(Node::fact("passed over", [faint(line)]));
    }
    if *more {
        let line = "there are more webhooks: narrow the filter, or raise --limit";
        root.push(Node::fact("not all", [care(line)]));
    }
    if !changes.is_empty() {
        let lines = changes.iter().map(|change| {
            let count = faint(format!("{:>6} × ", change.count));
            Node::new(std::iter::once(count).chain(part(&change.part)))
        });
        root.push(Node::fact("changes", [plain("how often each is seen")]).with(lines));
    }
    root.with(examples.iter().map(example)).draw(style)
}

fn example(one: &Rehearsed) -> Node {
    let line = format!(" {}, {}", one.source, one.received_at);
    let head = [strong(one.webhook.to_string()), plain(line)];
    Node::new(head).with(lines(&one.compared))
}

/// A line for each thing that differs, or why it failed.
pub fn lines(compared: &Compared) -> Vec<Node> {
    match compared {
        Compared::Same => Vec::new(),
        Compared::Failed { why } => vec![Node::new([bad(why.clone())])],
        Compared::Differs { differences, more } => {
            let several = differences.iter().any(|difference| difference.event > 0);
            let mut lines: Vec<Node> = differences.iter().map(|one| line(one, several)).collect();
            if *more > 0 {
                lines.push(Node::new([faint(format!("and {more} more"))]));
            }
            lines
        }
    }
}

fn line(difference: &Difference, several: bool) -> Node {
    let which = several.then(|| format!("event {}: ", difference.event.saturating_add(1)));
    let which = which.map(faint);
    Node::new(which.into_iter().chain(part(&difference.part)))
}

fn part(part: &Part) -> Vec<Span> {
    let nothing = || "nothing".to_owned();
    let names = |sign: &str, names: &[String]| -> Vec<String> {
        names.iter().map(|name| format!("{sign}{name}")).collect()
    };
    let (what, line) = match part {
        Part::Gone { kind } => ("gone", kind.clone()),
        Part::New { kind } => ("new", kind.clone()),
        Part::Type { before, after } => ("type", format!("{before} -> {after}")),
        Part::Dropped { before: None, after } => {
            ("dropped", format!("now, because: {}", after.clone().unwrap_or_default()))
        }
        Part::Dropped { before: Some(_), after: None } => ("dropped", "no longer".to_owned()),
        Part::Dropped { before: Some(before), after: Some(after) } => {
            ("dropped", format!("because: {before} -> {after}"))
        }
        Part::Strategy { before, after } => {
            let [before, after] = [before, after].map(|one| one.clone().unwrap_or_else(nothing));
            ("strategy", format!("{before} -> {after}"))
        }
        Part::Route { gained, lost } => ("route", [names("+", gained), names("-", lost)].concat().join(" ")),
        Part::Field { pointer, before: None, after: None } => ("field", pointer.clone()),
        Part::Field { pointer, before, after } => {
            let [before, after] = [before, after].map(|one| one.clone().unwrap_or_else(nothing));
            ("field", format!("{pointer}: {before} -> {after}"))
        }
    };
    vec![care(format!("{what} ")), plain(line)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rehearsal::Grouped;
    use crate::model::Time;
    use crate::model::id::WebhookId;
    use billhook_event::PluginRef;

    #[test]
    fn a_rehearsal_is_told_on_one_screen() {
        let strategy =
            Part::Strategy { before: Some("discount".to_owned()), after: Some("pause_option".to_owned()) };
        let field = |before: Option<&str>, after: Option<&str>| Part::Field {
            pointer: "/retention/primary".to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        let route = Part::Route { gained: vec!["crm".to_owned()], lost: vec!["app".to_owned()] };
        let differences = [strategy.clone(), route, field(None, Some("\"pause_option\""))];
        let differences = differences.into_iter().map(|part| Difference { event: 0, part }).collect();
        let rehearsal = Rehearsal {
            plugin: PluginRef {
                name: "cancel-strategy".to_owned(),
                version: "0.2.0".to_owned(),
                digest: "ab".repeat(32),
            },
            same: 7,
            differ: 1,
            failed: 0,
            elsewhere: 2,
            more: true,
            changes: vec![
                Grouped { count: 12, part: strategy },
                Grouped { count: 1, part: field(None, None) },
            ],
            examples: vec![Rehearsed {
                webhook: WebhookId([0; 16]),
                source: "flexprice".to_owned(),
                received_at: Time::from_secs(0),
                compared: Compared::Differs { differences, more: 2 },
            }],
        };
        let expected = "\
cancel-strategy 0.2.0 (SHA-256 abababababab...)
├─ same         7 webhooks
├─ differ       1 webhook
├─ fail         0 webhooks
├─ passed over  2 webhooks of sources that do not use it
├─ not all      there are more webhooks: narrow the filter, or raise --limit
├─ changes      how often each is seen
│  ├─     12 × strategy discount -> pause_option
│  └─      1 × field /retention/primary
└─ whk_00000000000000000000000000 flexprice, 1970-01-01T00:00:00.000Z
   ├─ strategy discount -> pause_option
   ├─ route +crm -app
   ├─ field /retention/primary: nothing -> \"pause_option\"
   └─ and 2 more
";
        assert_eq!(render(&rehearsal, Style::Plain), expected);
    }
}
