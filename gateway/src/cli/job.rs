//! `billhook job`: the replays, and how far they are.

use crate::api::job::{Job, JobQuery, JobState, NewJob, What};
use crate::cli::listing::list;
use crate::cli::terminal::{Span, Style, Tone, print, print_json};
use crate::cli::tree::Node;
use crate::client::Client;
use crate::model::id::JobId;
use clap::Subcommand;

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List jobs, newest first
    Ls {
        /// At most this many
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Print JSON, one job per line
        #[arg(long)]
        json: bool,
    },
    /// Show a job and how far it is
    Show {
        /// job_...
        id: JobId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a job where it stands: what it moved stays moved
    Cancel {
        /// job_...
        id: JobId,
    },
}

/// Runs the command.
pub async fn run(command: Command, client: &Client) -> anyhow::Result<()> {
    let job = match command {
        Command::Ls { limit, json } => return ls(limit, json, client).await,
        Command::Show { id, json: true } => return print_json(&client.job(id).await?),
        Command::Show { id, json: false } => client.job(id).await?,
        Command::Cancel { id } => client.cancel_job(id).await?,
    };
    Ok(print(&render(&job, Style::detect()))?)
}

async fn ls(limit: usize, json: bool, client: &Client) -> anyhow::Result<()> {
    let page = async |after, n| client.jobs(&JobQuery { after, limit: Some(n) }).await;
    list(["CREATED", "JOB", "STATE", "MOVED", "WHAT"], limit, json, page, row).await
}

fn row(job: Job) -> [Span; 5] {
    [
        Span::new(Tone::Plain, job.created.to_string()),
        Span::new(Tone::Plain, job.id.to_string()),
        state(job.state),
        Span::new(Tone::Plain, job.moved.to_string()),
        Span::new(Tone::Strong, described(&job.asked)),
    ]
}

/// A job as text for a terminal, each line ended by `\n`.
fn render(job: &Job, style: Style) -> String {
    let plain = |text: String| [Span::new(Tone::Plain, text)];
    let mut root = Node::new([Span::new(Tone::Strong, job.id.to_string())]);
    root.push(Node::fact("what", plain(described(&job.asked))));
    root.push(Node::fact("asked for", plain(job.created.to_string())));
    root.push(Node::fact("rate", plain(job.asked.rate.clone().unwrap_or_default())));
    let ended = match job.state {
        JobState::Running => None,
        JobState::Done { at } | JobState::Canceled { at } => Some(at),
    };
    let at = Span::new(Tone::Plain, ended.map(|at| format!(" {at}")).unwrap_or_default());
    root.push(Node::fact("state", [state(job.state), at]));
    root.push(Node::fact("moved", plain(format!("{} of {} looked at", job.moved, job.looked))));
    root.draw(style)
}

fn state(state: JobState) -> Span {
    match state {
        JobState::Running => Span::new(Tone::Care, "running"),
        JobState::Done { .. } => Span::new(Tone::Good, "done"),
        JobState::Canceled { .. } => Span::new(Tone::Bad, "canceled"),
    }
}

/// What a job does to what, as a sentence without its subject.
pub(crate) fn described(asked: &NewJob) -> String {
    let (verb, things) = match asked.what {
        What::Resend => ("resend", "deliveries"),
        What::Redrive => ("redrive", "deliveries"),
        What::Reprocess => ("reprocess", "webhooks"),
    };
    let mut text =
        format!("{verb} {}{things}", asked.state.as_ref().map(|s| format!("{s} ")).unwrap_or_default());
    let parts = [
        ("of", &asked.source),
        ("of type", &asked.kind),
        ("to", &asked.endpoint),
        ("since", &asked.since.map(|at| at.to_string())),
        ("until", &asked.until.map(|at| at.to_string())),
    ];
    for (word, value) in parts {
        if let Some(value) = value {
            text += &format!(" {word} {value}");
        }
    }
    if asked.resend {
        text += ", and resend what stays as it is";
    }
    text
}
