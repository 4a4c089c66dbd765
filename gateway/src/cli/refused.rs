//! `billhook refused`: what was turned away at the door, and how to take it after all.

use crate::api::refused::{Refused, RefusedDetail, RefusedQuery};
use crate::cli::listing::list;
use crate::cli::story::text;
use crate::cli::terminal::{Span, Style, bad, care, faint, plain, print, show, strong};
use crate::cli::tree::Node;
use crate::client::Client;
use crate::model::id::RefusedId;
use crate::model::refused::{ELSEWHERE, NO_SOURCE};
use anyhow::bail;
use clap::Subcommand;

/// What to do with refused requests.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List refused requests, newest first; at most a hundred are kept for each source
    Ls {
        /// Only of this source; `-` for requests that no source was found for, `/` for those to other paths than the
        /// gateway's
        #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
        source: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Print JSON, one request per line
        #[arg(long)]
        json: bool,
    },
    /// Show a refused request
    Show {
        /// rfs_...
        id: RefusedId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Authenticate refused requests again, once the source's secret is mended, and take those that are authentic
    Retry {
        /// rfs_... ids
        #[arg(value_name = "ID", required = true)]
        ids: Vec<RefusedId>,
    },
}

/// Runs the command.
pub async fn run(command: Command, client: &Client) -> anyhow::Result<()> {
    match command {
        Command::Ls { source, limit, json } => ls(source, limit, json, client).await,
        Command::Show { id, json } => show(&client.refused(id).await?, json, render),
        Command::Retry { ids } => retry(&ids, client).await,
    }
}

async fn ls(source: Option<String>, limit: usize, json: bool, client: &Client) -> anyhow::Result<()> {
    let page = async |after, n| {
        client.refused_requests(&RefusedQuery { source: source.clone(), after, limit: Some(n) }).await
    };
    list(["CAME", "ID", "SOURCE", "FROM", "WHY"], limit, json, page, row).await
}

fn row(refused: Refused) -> [Span; 5] {
    // Where it was sent is all there is to tell it by.
    let why = match refused.source.as_str() {
        NO_SOURCE | ELSEWHERE => format!("{}: {}", refused.cause, refused.path),
        _ => refused.cause.clone(),
    };
    [
        plain(refused.at.to_string()),
        plain(refused.id.to_string()),
        strong(refused.source.clone()),
        plain(refused.remote.to_string()),
        bad(why),
    ]
}

/// A refused request as text for a terminal, each line ended by `\n`.
fn render(detail: &RefusedDetail, style: Style) -> String {
    let refused = &detail.refused;
    let mut root = Node::new([strong(refused.id.to_string())]);
    root.push(Node::fact("came", [plain(format!("{} from {}", refused.at, refused.remote))]));
    root.push(Node::fact("source", [plain(&refused.source)]));
    root.push(Node::fact("refused", [bad(refused.cause.clone())]));
    root.push(Node::fact("path", [plain(&refused.path)]));
    if !refused.query.is_empty() {
        root.push(Node::fact("query", [plain(&refused.query)]));
    }
    for header in &refused.headers {
        root.push(Node::fact("header", [plain(format!("{}: {}", header.name, text(&header.value)))]));
    }
    for place in &refused.hidden {
        root.push(Node::fact("hidden", [plain(place), faint(" (kept as a hash)")]));
    }
    root.push(Node::fact("body", [plain(text(&detail.body))]));
    let next = match refused.whole {
        false if refused.body_bytes == 0 => care("its body was not kept: it cannot be retried"),
        true => faint(format!("mend the source, then: billhook refused retry {}", refused.id)),
        false => care("its body was not kept whole: it cannot be retried"),
    };
    root.push(Node::fact("next", [next]));
    root.draw(style)
}

/// Retries each, the first that came first; one that is still refused is told at the end and does not stop the others.
async fn retry(ids: &[RefusedId], client: &Client) -> anyhow::Result<()> {
    let mut failures = Vec::new();
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    for id in &ids {
        match client.retry_refused(*id).await {
            Ok(taken) if taken.duplicate => print(&format!("{id}: was here before, as {}\n", taken.webhook))?,
            Ok(taken) => print(&format!("{id}: taken as {}\n", taken.webhook))?,
            Err(why) => failures.push(why.to_string()),
        }
    }
    if !failures.is_empty() {
        bail!("{} of {} not taken:\n  {}", failures.len(), ids.len(), failures.join("\n  "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_no_text_is_marked_as_base64() {
        let detail = serde_json::from_value(serde_json::json!({
            "refused": {
                "id": "rfs_01M7Y73WK0JQSE5WP88DQ66Z7V", "source": "shop", "at": "2026-08-10T12:00:00Z",
                "cause": "no signature", "remote": "127.0.0.1", "path": "/in/shop", "query": "",
                "headers": [{"name": "x-a", "base64": "/w=="}], "body_bytes": 1, "whole": true
            },
            "body": {"base64": "/w=="}
        }));
        let shown = render(&detail.unwrap(), Style::Plain);
        assert_eq!(shown.matches("base64:/w==").count(), 2, "{shown}");
    }
}
