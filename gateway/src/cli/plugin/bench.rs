//! `billhook plugin bench`: what calls cost, from the fresh instance until it is dropped.

use crate::cli::plugin::figure;
use crate::cli::plugin::play::{Stage, play};
use crate::cli::plugin::subject::Which;
use crate::cli::table::Table;
use crate::cli::terminal::{Style, bad, plain, print, print_json};
use billhook_fixture::{Answer, Fixture, Outcome};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

/// Calls that are made before those that are counted: caches and pages warm up.
const WARM_UP: u32 = 50;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Only this fixture
    #[arg(long, value_name = "NAME")]
    fixture: Option<String>,
    /// How many calls of each fixture
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
    /// Print JSON, one fixture per line
    #[arg(long)]
    json: bool,
}

/// What the calls of one fixture cost.
struct Cost {
    p50: Duration,
    p99: Duration,
    /// The median.
    cpu: Duration,
    memory: usize,
    instructions: Option<u64>,
    /// What a call failed with, unless the fixture expects that.
    failure: Option<Answer>,
}

/// Runs the command. The exit code is 1 if a call failed and its fixture does not expect so: what is measured then is not
/// what it costs.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let subject = args.which.subject()?;
    let fixtures = match &args.fixture {
        Some(name) => vec![Fixture::read(&subject.fixtures.join(name))?],
        None => Fixture::all(&subject.fixtures)?,
    };
    let (stage, counting) = (Stage::open(&subject)?, Stage::counting(&subject)?);
    let mut table = Table::new(&["FIXTURE", "KIND", "P50", "P99", "PROCESSOR", "INSTRUCTIONS", "MEMORY"]);
    let mut failures = String::new();
    for fixture in &fixtures {
        let cost = cost(&stage, &counting, fixture, args.calls).await?;
        if let Some(failure) = &cost.failure {
            let text =
                format!("{} fails, which it does not expect: {}", fixture.name, failure.tree()?.line());
            bad(text).draw(Style::detect(), &mut failures);
            failures.push('\n');
        }
        if args.json {
            print_json(&json!({
                "fixture": fixture.name,
                "kind": fixture.kind.name(),
                "failure": cost.failure,
                "calls": args.calls,
                "p50_ns": u64::try_from(cost.p50.as_nanos())?,
                "p99_ns": u64::try_from(cost.p99.as_nanos())?,
                "cpu_ns": u64::try_from(cost.cpu.as_nanos())?,
                "instructions": cost.instructions,
                "memory_bytes": cost.memory,
            }))?;
            continue;
        }
        let instructions = cost.instructions.map(figure::count).unwrap_or_default();
        let cells = [
            fixture.name.clone(),
            fixture.kind.name().to_owned(),
            figure::time(cost.p50),
            figure::time(cost.p99),
            figure::time(cost.cpu),
            instructions,
            figure::bytes(cost.memory),
        ];
        table.row(cells.map(plain));
    }
    if !args.json {
        print(&(table.draw(Style::detect()) + &failures))?;
    }
    Ok(ExitCode::from(u8::from(!failures.is_empty())))
}

async fn cost(stage: &Stage, counting: &Stage, fixture: &Fixture, calls: u32) -> anyhow::Result<Cost> {
    let instructions = counting.play(fixture).await?.usage.instructions;
    let plugin = stage.load(fixture)?;
    for _ in 0..WARM_UP {
        play(&plugin, fixture).await?;
    }
    let (mut walls, mut cpus, mut memory, mut failure) = (Vec::new(), Vec::new(), 0, None);
    for _ in 0..calls {
        let played = play(&plugin, fixture).await?;
        if played.answer.is_failure() && fixture.judge(&played.answer, false)? != Outcome::Same {
            failure = Some(played.answer);
        }
        walls.push(played.wall);
        cpus.push(played.usage.cpu);
        memory = memory.max(played.usage.memory);
    }
    Ok(Cost {
        p50: at(&mut walls, 50),
        p99: at(&mut walls, 99),
        cpu: at(&mut cpus, 50),
        memory,
        instructions,
        failure,
    })
}

/// The value that so many of a hundred do not exceed.
fn at(values: &mut [Duration], percent: usize) -> Duration {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut values: Vec<_> = (1..=200).rev().map(Duration::from_nanos).collect();
        assert_eq!(at(&mut values, 50), Duration::from_nanos(100));
        assert_eq!(at(&mut values, 99), Duration::from_nanos(198));
        assert_eq!(at(&mut [Duration::from_nanos(7)], 99), Duration::from_nanos(7));
    }
}
