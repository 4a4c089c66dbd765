//! Prints lists: those that come in pages, and those that come at once.

use crate::api::page::{LIMIT_MAX, Page};
use crate::cli::table::Table;
use crate::cli::terminal::{Span, Style, json_line, print, print_json, printed};
use crate::client::ClientError;
use serde::Serialize;

/// Prints up to `limit` items under `columns`, a row each, or as JSON, one a line. `page` asks for the items after a
/// cursor, at most so many.
pub async fn list<T: Serialize, const N: usize>(
    columns: [&str; N],
    limit: usize,
    json: bool,
    page: impl AsyncFn(Option<String>, usize) -> Result<Page<T>, ClientError>,
    row: impl Fn(T) -> [Span; N],
) -> anyhow::Result<()> {
    let mut table = Table::new(&columns);
    let (mut left, mut after) = (limit, None);
    while left > 0 {
        let Page { items, next } = page(after, left.min(LIMIT_MAX)).await?;
        left = left.saturating_sub(items.len());
        for item in items {
            if !json {
                table.row(row(item));
            } else if !printed(&json_line(&item)?)? {
                // Nor is any other page wanted.
                return Ok(());
            }
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    if !json {
        print(&table.draw(Style::detect()))?;
    }
    Ok(())
}

/// Prints all `items` under `columns`, a row each, or as JSON, one a line.
pub fn all<T: Serialize, const N: usize>(
    columns: [&str; N],
    items: Vec<T>,
    json: bool,
    row: impl Fn(T) -> [Span; N],
) -> anyhow::Result<()> {
    if json {
        return items.iter().try_for_each(print_json);
    }
    let mut table = Table::new(&columns);
    items.into_iter().for_each(|item| table.row(row(item)));
    Ok(print(&table.draw(Style::detect()))?)
}
