//! `billhook plugin test`: holds a plugin to its fixtures and to its own smoke test, in the gateway's own sandbox.

use crate::cli::plugin::play::Stage;
use crate::cli::plugin::subject::Which;
use crate::cli::terminal::{Span, Style, Tone, faint, print, print_json, strong};
use billhook_fixture::{Answer, Difference, Fixture, Outcome};
use serde_json::json;
use std::process::ExitCode;

/// What to test.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Take the answers as the expected ones: write expected.json where it differs or is missing
    #[arg(long)]
    bless: bool,
    /// Print JSON, one fixture per line
    #[arg(long)]
    json: bool,
}

/// What became of one fixture.
enum Verdict {
    Judged(Outcome, Box<Answer>),
    /// It could not be played.
    Failed(String),
}

/// Runs the command. The exit code is 1 if an answer is not the expected one, or the smoke test fails.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let subject = args.which.subject()?;
    let fixtures = Fixture::all(&subject.fixtures)?;
    let stage = Stage::open(&subject)?;
    let width = fixtures.iter().map(|fixture| fixture.name.chars().count()).max().unwrap_or(0);
    let (mut right, mut wrong) = (0, 0);
    for fixture in &fixtures {
        let verdict = judged(&stage, fixture, args.bless).await;
        let is_right = matches!(verdict, Verdict::Judged(Outcome::Same | Outcome::Blessed, _));
        *(if is_right { &mut right } else { &mut wrong }) += 1;
        if args.json {
            print_json(&json(fixture, &verdict, is_right))?;
        } else {
            print(&told(fixture, &verdict, width, Style::detect()))?;
        }
    }
    if !args.json {
        let (tone, tail) = match wrong {
            0 => (Tone::Good, "all as expected".to_owned()),
            n => (Tone::Bad, format!("{right} as expected, {n} not")),
        };
        last(tone, &format!("{} fixtures: {tail}", fixtures.len()))?;
    }
    // As a gateway does before the version serves.
    let Some((entries, tried)) = stage.smoke(&fixtures[0]).await else {
        return Ok(ExitCode::from(u8::from(wrong > 0)));
    };
    match &tried {
        _ if args.json => {
            let why = tried.as_ref().err().map(|error| format!("{error:#}"));
            print_json(&json!({ "smoke": entries, "ok": tried.is_ok(), "error": why }))?;
        }
        Ok(()) => last(Tone::Good, &format!("{entries} of [[smoke]]: all passed"))?,
        Err(error) => last(Tone::Bad, &format!("a gateway would not let it serve: {error:#}"))?,
    }
    Ok(ExitCode::from(u8::from(wrong > 0 || tried.is_err())))
}

async fn judged(stage: &Stage, fixture: &Fixture, bless: bool) -> Verdict {
    let answer = match stage.play(fixture).await {
        Ok(played) => played.answer,
        Err(error) => return Verdict::Failed(format!("{error:#}")),
    };
    match fixture.judge(&answer, bless) {
        Ok(outcome) => Verdict::Judged(outcome, Box::new(answer)),
        Err(error) => Verdict::Failed(error.to_string()),
    }
}

/// A line of what all of it came to.
fn last(tone: Tone, text: &str) -> std::io::Result<()> {
    let mut line = String::new();
    Span::new(tone, text).draw(Style::detect(), &mut line);
    print(&format!("{line}\n"))
}

fn told(fixture: &Fixture, verdict: &Verdict, width: usize, style: Style) -> String {
    let (tone, word) = match verdict {
        Verdict::Judged(Outcome::Same, _) => (Tone::Good, "ok"),
        Verdict::Judged(Outcome::Blessed, _) => (Tone::Care, "blessed"),
        Verdict::Judged(Outcome::Unexpected, _) => (Tone::Bad, "no expected.json"),
        Verdict::Judged(Outcome::Differs(_), _) => (Tone::Bad, "differs"),
        Verdict::Failed(_) => (Tone::Bad, "failed"),
    };
    let mut out = String::new();
    strong(format!("{:width$}  ", fixture.name)).draw(style, &mut out);
    faint(format!("{:<9}  ", fixture.kind.name())).draw(style, &mut out);
    Span::new(tone, word).draw(style, &mut out);
    out.push('\n');
    match verdict {
        Verdict::Judged(Outcome::Differs(differences), _) => {
            differences.iter().for_each(|difference| draw(difference, style, &mut out));
        }
        Verdict::Judged(Outcome::Unexpected, answer) => {
            let shown = answer.tree().map(|tree| tree.pretty()).unwrap_or_default();
            line(&mut out, 2, &[(Tone::Faint, "it answers this; `--bless` writes it:")], style);
            shown.lines().for_each(|text| line(&mut out, 2, &[(Tone::Plain, text)], style));
        }
        Verdict::Failed(why) => line(&mut out, 2, &[(Tone::Bad, why)], style),
        Verdict::Judged(Outcome::Same | Outcome::Blessed, _) => {}
    }
    out
}

/// One difference, the expected above the found.
fn draw(difference: &Difference, style: Style, out: &mut String) {
    let at = if difference.at.is_empty() { "the whole answer" } else { &difference.at };
    line(out, 2, &[(Tone::Plain, at)], style);
    if let Some(expected) = &difference.expected {
        line(out, 4, &[(Tone::Good, "- expected  "), (Tone::Plain, expected)], style);
    }
    match &difference.found {
        Some(found) => line(out, 4, &[(Tone::Bad, "+ found     "), (Tone::Plain, found)], style),
        None => line(out, 4, &[(Tone::Bad, "+ found     "), (Tone::Faint, "nothing")], style),
    }
}

fn line(out: &mut String, indent: usize, spans: &[(Tone, &str)], style: Style) {
    out.extend(std::iter::repeat_n(' ', indent));
    for (tone, text) in spans {
        Span::new(*tone, *text).draw(style, out);
    }
    out.push('\n');
}

fn json(fixture: &Fixture, verdict: &Verdict, is_right: bool) -> serde_json::Value {
    let mut told = json!({ "fixture": fixture.name, "kind": fixture.kind.name(), "ok": is_right });
    match verdict {
        Verdict::Failed(why) => told["error"] = why.as_str().into(),
        Verdict::Judged(outcome, answer) => {
            told["answer"] = serde_json::to_value(answer).unwrap_or_default();
            told["blessed"] = (*outcome == Outcome::Blessed).into();
            if let Outcome::Differs(differences) = outcome {
                let each = |d: &Difference| json!({ "at": d.at, "expected": d.expected, "found": d.found });
                told["differences"] = differences.iter().map(each).collect();
            }
        }
    }
    told
}
