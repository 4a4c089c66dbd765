//! What to try by hand once the demo has shown what it has to show.

use crate::cli::terminal::WIDTH_USUAL;
use crate::demo::payloads::{WINDBACK_KEY, WINGBACK_HEADER};
use std::borrow::Cow;
use std::env;
use std::net::SocketAddr;
use std::path::Path;

/// A gateway to try things with.
#[derive(Debug)]
pub struct Encore<'a> {
    /// Where providers post.
    pub ingest: SocketAddr,
    /// Where operators ask.
    pub admin: SocketAddr,
    /// The admin token.
    pub token: &'a str,
    /// An event that it has.
    pub event: &'a str,
}

impl Encore<'_> {
    /// Commands for a shell. With the summary above they fit on one screen of 24 rows.
    pub fn text(&self) -> String {
        let Encore { ingest, admin, token, event } = self;
        let (header, value) = WINGBACK_HEADER;
        let program = program();
        let ask = |what: &str| asking(&program, &format!("--url http://{admin} event {what}"));
        let (list, show) = (ask("ls"), ask(&format!("show {event}")));
        format!(
            r#"
Try it yourself; Ctrl-C ends the demo and removes its data:
  # Windback's custom webhook: a customer leaves
  curl -s http://{ingest}/api/v1/webhooks/custom/{WINDBACK_KEY} \
    -d '{{"customer_email":"you@example.com","event_type":"cancellation",
         "cancel_reason":"too many bugs","mrr":4999,"tenure_days":400}}'
  # Wingback: the id in the body, the event in the path
  curl -s http://{ingest}/in/wingback/v1.payment.failed \
    -H '{header}: {value}' -d '{{"id":"Cust_5b1d"}}'
  # what became of it
  export BILLHOOK_ADMIN_TOKEN={token}
{list}
{show}
"#
        )
    }
}

/// A command of this program, on a second line where it is too long for one.
fn asking(program: &str, arguments: &str) -> String {
    let line = format!("  {program} {arguments}");
    if line.chars().count() <= WIDTH_USUAL { line } else { format!("  {program} \\\n    {arguments}") }
}

/// How a shell calls this program from where it runs: by name only if that finds it.
fn program() -> String {
    let name = "billhook";
    let Ok(own) = env::current_exe() else { return name.to_owned() };
    let is_own = |path: &Path| path.canonicalize().is_ok_and(|path| path == own);
    let dirs = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&dirs).map(|dir| dir.join(name)).find(|path| path.is_file());
    if found.is_some_and(|found| is_own(&found)) {
        return name.to_owned();
    }
    let here = env::current_dir().ok();
    let below =
        here.and_then(|here| own.strip_prefix(here).ok()).filter(|path| path.components().count() > 1);
    quoted(&below.unwrap_or(&own).to_string_lossy()).into_owned()
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> Cow<'_, str> {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if word.chars().all(is_bare) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_read_it_otherwise() {
        for (word, expected) in [
            ("target/debug/billhook", "target/debug/billhook"),
            ("/a b/it's", r"'/a b/it'\''s'"),
            ("/$x", "'/$x'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
