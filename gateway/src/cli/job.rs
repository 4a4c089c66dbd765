//! `billhook job`: the replays, and how far they are.

use crate::api::job::{Job, JobQuery, JobState, NewJob, What};
use crate::cli::listing::list;
use crate::cli::terminal::{Span, Style, bad, care, good, plain, show, strong};
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
    match command {
        Command::Ls { limit, json } => ls(limit, json, client).await,
        Command::Show { id, json } => show(&client.job(id).await?, json, render),
        Command::Cancel { id } => show(&client.cancel_job(id).await?, false, render),
    }
}

async fn ls(limit: usize, json: bool, client: &Client) -> anyhow::Result<()> {
    let page = async |after, n| client.jobs(&JobQuery { after, limit: Some(n) }).await;
    list(["CREATED", "JOB", "STATE", "MOVED", "WHAT"], limit, json, page, row).await
}

fn row(job: Job) -> [Span; 5] {
    [
        plain(job.created.to_string()),
        plain(job.id.to_string()),
        state(job.state),
        plain(job.moved.to_string()),
        strong(described(&job.asked)),
    ]
}

/// A job as text for a terminal, each line ended by `\n`.
fn render(job: &Job, style: Style) -> String {
    let mut root = Node::new([strong(job.id.to_string())]);
    root.push(Node::fact("what", [plain(described(&job.asked))]));
    root.push(Node::fact("asked for", [plain(job.created.to_string())]));
    root.push(Node::fact("rate", [plain(job.asked.rate.clone().unwrap_or_default())]));
    let ended = match job.state {
        JobState::Running => None,
        JobState::Done { at } | JobState::Canceled { at } => Some(at),
    };
    let at = plain(ended.map(|at| format!(" {at}")).unwrap_or_default());
    root.push(Node::fact("state", [state(job.state), at]));
    root.push(Node::fact("moved", [plain(format!("{} of {} looked at", job.moved, job.looked))]));
    root.draw(style)
}

fn state(state: JobState) -> Span {
    match state {
        JobState::Running => care("running"),
        JobState::Done { .. } => good("done"),
        JobState::Canceled { .. } => bad("canceled"),
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
