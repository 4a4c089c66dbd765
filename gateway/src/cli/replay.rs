//! `billhook replay`: sends again, redrives and reprocesses in bulk, as a job.

use crate::api::job::{NewJob, What};
use crate::api::rehearsal::RehearsalQuery;
use crate::cli::comparison;
use crate::cli::job::described;
use crate::cli::plugin::running::read as component;
use crate::cli::terminal::{print, show};
use crate::client::Client;
use crate::clock::Clock;
use crate::model::Time;
use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use std::path::PathBuf;

/// What to do again.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send deliveries that have ended again: each gets a new number, the same webhook-id and the whole schedule
    Resend {
        /// What is moved
        #[command(flatten)]
        filter: Filter,
        /// Only deliveries in this state
        #[arg(long, value_parser = PossibleValuesParser::new(["delivered", "skipped", "dead"]))]
        state: Option<String>,
    },
    /// Send dead deliveries again
    Redrive {
        /// What is moved
        #[command(flatten)]
        filter: Filter,
    },
    /// Put webhooks through the plugins again; what that changes is sent again, under a webhook-id with -r2, -r3
    Reprocess {
        /// What is moved
        #[command(flatten)]
        filter: Filter,
        /// Only webhooks in this state
        #[arg(long, value_parser = PossibleValuesParser::new(["dispatched", "dead"]))]
        state: Option<String>,
        /// Send what stays as it is again too
        #[arg(long)]
        resend: bool,
        /// What to look at instead
        #[command(flatten)]
        candidate: Candidate,
    },
}

/// Another version of a plugin, to be looked at.
#[derive(Debug, clap::Args)]
pub struct Candidate {
    /// Show what this component would make of the webhooks, in the place of the plugin of its name
    #[arg(long = "plugin", value_name = "FILE", requires = "dry_run", conflicts_with_all = ["resend", "rate"])]
    file: Option<PathBuf>,
    /// The plugin whose place it takes, with its configuration and grants
    #[arg(long = "as", value_name = "NAME", requires = "file")]
    instead_of: Option<String>,
    /// How many webhooks it is shown at most
    #[arg(long, value_name = "N", requires = "file", default_value_t = 200)]
    limit: u64,
    /// Print JSON
    #[arg(long, requires = "file")]
    json: bool,
}

/// What is moved.
#[derive(Debug, clap::Args)]
pub struct Filter {
    /// Of webhooks that arrived then or later: a time, a date, or a span before now such as 2h
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Time>,
    /// Of webhooks that arrived then or before
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Time>,
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only of this canonical type, such as subscription.canceled
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only what is or was owed to this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// How many in a second, a minute or an hour
    #[arg(long, default_value = "100/s")]
    rate: String,
    /// Only count what would be moved
    #[arg(long)]
    dry_run: bool,
}

/// Digits alone could be a year, a day or seconds: whoever is asked to write more says which.
fn time(text: &str) -> Result<Time, String> {
    let wanted = || "write a time (2026-08-10T12:00:00Z), a date (2026-08-10) or a span (2h)".to_owned();
    if text.trim().bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wanted());
    }
    if let Ok(span) = humantime::parse_duration(text) {
        return Ok(Clock::system().now().minus(span));
    }
    Time::parse(text).ok_or_else(wanted)
}

/// Runs the command.
pub async fn run(command: Command, client: &Client) -> anyhow::Result<()> {
    let (what, filter, state, resend) = match command {
        Command::Resend { filter, state } => (What::Resend, filter, state, false),
        Command::Redrive { filter } => (What::Redrive, filter, None, false),
        Command::Reprocess {
            filter,
            state,
            candidate: Candidate { file: Some(file), instead_of, limit, json },
            ..
        } => {
            let Filter { since, until, source, kind, endpoint, .. } = filter;
            let (plugin, limit) = (instead_of, Some(limit));
            let query = RehearsalQuery { plugin, since, until, source, kind, endpoint, state, limit };
            let rehearsal = client.rehearse(component(&file)?, &query).await?;
            return show(&rehearsal, json, comparison::render);
        }
        Command::Reprocess { filter, state, resend, .. } => (What::Reprocess, filter, state, resend),
    };
    let Filter { since, until, source, kind, endpoint, rate, dry_run } = filter;
    let asked = NewJob { what, since, until, source, kind, endpoint, state, rate: Some(rate), resend };
    let text = if dry_run {
        let counted = client.count_job(&asked).await?;
        let more = if counted.more { " or more" } else { "" };
        format!("would {}: {}{more}; nothing was moved\n", described(&asked), counted.count)
    } else {
        let job = client.add_job(&asked).await?;
        format!("{} begins to {}\nhow far it is: billhook job show {}\n", job.id, described(&asked), job.id)
    };
    Ok(print(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_time_a_date_or_a_span_and_no_bare_number() {
        for text in ["2026-08-10T12:00:00Z", "2026-08-10", "2h", "1d 2h"] {
            assert!(time(text).is_ok(), "{text}");
        }
        for text in ["20260810", "2026", "30", "0", " 30 ", "", "1786363200", "1786363200000", "soon", "-2h"]
        {
            assert!(time(text).unwrap_err().contains("a date (2026-08-10) or a span (2h)"), "{text}");
        }
    }
}
