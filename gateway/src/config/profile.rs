//! `profile` of an endpoint and the parts that can be set alone: `format`, `signature` and `success`.

use crate::config::headers::is_reserved;
use crate::config::mistake::quote;
use crate::config::reader::{Item, Table};
use crate::config::value::outbound_problem;
use crate::model::profile::{Format, Manner, Profile, Signature, Success};
use crate::model::secret::Secret;
use crate::model::source::Encoding;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use url::Url;

/// Reads all of them, and the secrets that the signature needs.
pub(super) fn read(
    table: &mut Table<'_>,
    headers: HeaderMap,
    url: Option<&Url>,
) -> (Profile, Manner, Vec<Secret>) {
    let profile = table.item("profile").map(|item| item.one_of("a profile", &Profile::NAMED));
    let signature = table.item("signature").map(|item| signature(&item));
    // What hangs on a part that cannot be read is not held against anybody.
    let is_clear = profile != Some(None) && signature != Some(None);
    let profile = profile.flatten().unwrap_or_default();
    let signature = signature.flatten().unwrap_or_else(|| profile.signature());
    let secrets = if is_clear { secrets(table, &signature) } else { secrets_unread(table) };
    if let Signature::Body { header, .. } = &signature {
        // Whoever else sets the header that the signature goes to.
        let of_url = url.is_some_and(|url| !url.username().is_empty() || url.password().is_some());
        let other = match (headers.contains_key(header), *header == AUTHORIZATION) {
            (true, true) => table.peek("auth").or_else(|| table.peek("headers")),
            (true, false) => table.peek("headers"),
            (false, true) if of_url => table.peek("url"),
            (false, _) => None,
        };
        if let Some(item) = other {
            let wrong = format!("the header {} holds the signature", quote(header.as_str()));
            item.wrong(wrong, "take it out, or name another header in `signature`");
        }
    }

    let format = table.item("format").map(|item| item.one_of("a format", &Format::NAMED));
    let is_raw = matches!(format, Some(None | Some(Format::Raw)));
    let original_headers = table.item("original_headers").map(|item| original(&item, is_raw));
    let success = table.item("success").and_then(|item| item.one_of("a rule for success", &Success::NAMED));
    let manner = Manner {
        format: format.flatten().unwrap_or_else(|| profile.format()),
        original_headers: original_headers.unwrap_or_default(),
        signature,
        success: success.unwrap_or_else(|| profile.success()),
        headers,
    };
    (profile, manner, secrets)
}

fn secrets(table: &mut Table<'_>, signature: &Signature) -> Vec<Secret> {
    let remedy = match signature {
        Signature::Standard => {
            "make one with `billhook secret new`, and write it, `env:NAME`, `file:PATH` or a list of them"
        }
        Signature::Body { .. } => "write the secret that the receiver shares, `env:NAME` or `file:PATH`",
        Signature::None => return no_secrets(table),
    };
    let Some(item) = table.required("secret", remedy) else { return Vec::new() };
    if *signature == Signature::Standard {
        return item.secrets(outbound_problem);
    }
    if item.is_list() && item.items().len() > 1 {
        item.wrong("the header of this signature has room for one", "give one secret");
    }
    item.secrets(|_| None)
}

fn no_secrets(table: &mut Table<'_>) -> Vec<Secret> {
    if let Some(item) = table.item("secret") {
        item.wrong("nothing is signed with it", "take it out, or write `signature = \"standard\"`");
    }
    Vec::new()
}

fn secrets_unread(table: &mut Table<'_>) -> Vec<Secret> {
    table.item("secret").map(|item| item.secrets(|_| None)).unwrap_or_default()
}

fn signature(item: &Item<'_>) -> Option<Signature> {
    if !item.is_table() {
        return item.one_of("a signature", &Signature::named());
    }
    let mut table = item.table()?;
    let header = table.required("header", "name the header that holds the signature");
    let header = header.and_then(|item| {
        let name: http::HeaderName = item.header()?.parse().ok()?;
        if is_reserved(name.as_str()) {
            item.wrong(format!("{} is set by the gateway", quote(name.as_str())), "name another one");
            return None;
        }
        Some(name)
    });
    let prefix = table.item("prefix").map(|item| {
        item.parsed("the beginning of a header", "write visible ASCII such as `sha256=`", |text| {
            HeaderValue::from_str(text).ok().filter(|_| text.is_ascii()).map(|_| text.to_owned()).ok_or(())
        })
    });
    let encodings = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
    let encoding = table.item("encoding").map(|item| item.one_of("an encoding", &encodings));
    table.finish();
    let (prefix, encoding) =
        (prefix.unwrap_or_else(|| Some(String::new())), encoding.unwrap_or(Some(Encoding::Hex)));
    Some(Signature::Body { header: header?, prefix: prefix?, encoding: encoding? })
}

fn original(item: &Item<'_>, is_raw: bool) -> Vec<String> {
    if !is_raw {
        item.wrong("only a webhook has headers", "take it out, or write `format = \"raw\"`");
    }
    let name =
        |item: &Item<'_>| if item.as_text() == Some("*") { Some("*".to_owned()) } else { item.header() };
    item.items().iter().filter_map(name).collect()
}
