//! What a file becomes, what is said about a wrong one, and that nothing makes the reader panic.

use crate::config::environment::Environment;
use crate::config::{Config, OnFailure, Shipped};
use crate::model::profile::{Format, Profile, Signature, Success};
use crate::model::retry::Schedule;
use crate::model::source::{Auth, Encoding, Grammar, Place};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::Path;
use std::time::Duration;

/// 32 bytes of zero and of one bits, as endpoints' secrets.
const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const OTHER_SECRET: &str = "whsec_//////////////////////////////////////////8=";

const WHOLE: &str = r#"
data_dir = "./state"

[store]
url = "sled"
min_free = "1GiB"

[ingest]
listen = "0.0.0.0:9400"
max_body = "2MiB"
trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]

[admin]
listen = "127.0.0.1:9401"
token = "env:TOKEN"

[network]
allow = ["10.20.0.0/16", "fd00::/8"]

[secrets]
webhook = "env:TOKEN"

[log]
level = "debug"

[[plugin]]
name = "cancel-strategy"
config = { currency = "USD", steps = [1, 2.5, true, { since = 2026-01-02 }] }
grants = ["secret:webhook", "kv:seen", "http:api.example.com"]
on_failure = "skip"

[[source]]
name = "acme"
provider = "acme"
auth = { scheme = "standard-webhooks", secret = ["env:HOOK", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="], tolerance = "1m" }
plugins = ["cancel-strategy"]
dedupe = ["header:webhook-id", "pointer:/id", "body"]
event_type = "header:X-Event"
public_keys = ["pub_1"]
allow_from = ["10.0.0.0/8", "192.0.2.1", "2001:db8::1", "::ffff:127.0.0.0/104", "::/0"]
rate = "500/s"

[[source]]
name = "stripish"
provider = "other"
normalizer = "acme-normalizer"
auth = { scheme = "hmac", header = "X-Sig", format = "pairs", timestamp_key = "t", signature_key = "v1", template = "{timestamp}.{body}", secret = "s3cret" }

[[endpoint]]
name = "app"
url = "https://app.example.com/hooks?key=private"
secret = ["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "env:HOOK"]
events = ["subscription.*", "payment.failed", "acme/InvoicePaid"]
sources = ["acme"]
plugins = []
profile = "standard"
timeout = "5s"
concurrency = 4
schedule = ["1s", "2m"]
headers = { "X-Env" = "prod", x-key = "env:TOKEN" }
query = { token = "env:TOKEN" }
auth = { scheme = "basic", user = "ada", secret = "env:TOKEN" }
"#;

fn shipped() -> Shipped {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let initech = "scheme = 'hmac'\nheader = 'X-Sig'\nformat = 'pairs'\ntimestamp_key = 't'\nsignature_key = 's'\n\
                   template = '{timestamp}.{body}'\nhash = 'sha512'\ntolerance = '1m'\n";
    let presets = [
        ("acme", "scheme = 'standard-webhooks'"),
        ("hooli", "scheme = 'header'\nheader = 'x-hooli'"),
        ("initech", initech),
        ("umbrella", "scheme = 'acme'"),
    ];
    Shipped {
        plugins: names(&["cancel-strategy", "acme-normalizer"]),
        providers: names(&["acme", "globex"]),
        presets: presets.map(|(name, table)| (name.to_owned(), table.parse().unwrap())).into(),
        facts: [].into(),
    }
}

fn environment() -> Environment {
    [("TOKEN", "t-1"), ("HOOK", OTHER_SECRET), ("PATH", "/bin")].into_iter().collect()
}

fn parse(text: &str, environment: &Environment) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/billhook"), environment, &shipped())
        .map_err(|mistakes| mistakes.to_string())
}

#[test]
fn every_key_of_the_contract_is_understood() {
    let config = parse(WHOLE, &environment()).unwrap();
    assert_eq!(config.data_dir, Path::new("/etc/billhook/./state"));
    assert_eq!(config.store.min_free, 1 << 30);
    assert_eq!((config.ingest.listen.port(), config.ingest.max_body), (9400, 2 << 20));
    let proxies = config.ingest.trusted_proxies.iter().map(ToString::to_string);
    assert_eq!(proxies.collect::<Vec<_>>(), ["127.0.0.1/32", "10.0.0.0/8"]);
    assert_eq!(config.admin.token.unwrap().reveal(), "t-1");
    assert_eq!(config.network.allow.len(), 2);
    assert_eq!(config.secrets["webhook"][0].reveal(), "t-1");

    let [plugin, undeclared] = &config.plugins[..] else { panic!("{:?}", config.plugins) };
    assert_eq!((plugin.name.as_str(), plugin.on_failure), ("cancel-strategy", OnFailure::Skip));
    let settings = serde_json::json!({"currency": "USD", "steps": [1, 2.5, true, {"since": "2026-01-02"}]});
    assert_eq!(plugin.config, settings);
    assert_eq!(undeclared.name, "acme-normalizer", "a shipped one that a source names needs no table");

    let Auth::StandardWebhooks { secrets, public_keys, tolerance } = &config.sources[0].auth else {
        panic!()
    };
    assert_eq!(secrets.iter().map(|secret| secret.reveal()).collect::<Vec<_>>(), [OTHER_SECRET, SECRET]);
    assert_eq!((public_keys.len(), *tolerance), (0, Duration::from_secs(60)));
    assert_eq!(config.sources[0].rate, "500/s".parse().ok());
    let networks: Vec<String> = config.sources[0].allow_from.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::1/128", "127.0.0.0/8", "::/0"]);
    assert_eq!(config.sources[0].event_type, Some(vec![Place::Header("x-event".into())]));
    assert_eq!(config.sources[0].dedupe.as_ref().map(Vec::len), Some(3));
    let Auth::Hmac(hmac) = &config.sources[1].auth else { panic!() };
    assert_eq!((hmac.header.as_str(), hmac.tolerance), ("x-sig", Some(Duration::from_secs(300))));
    let pairs = Grammar::Pairs { separator: ',', timestamp: Some("t".into()), signature: "v1".into() };
    assert_eq!(hmac.grammar, pairs);

    let endpoint = &config.endpoints[0];
    assert_eq!((endpoint.secrets.len(), endpoint.concurrency), (2, 4));
    assert_eq!(endpoint.schedule.waits, [Duration::from_secs(1), Duration::from_secs(120)]);
    assert_eq!(endpoint.url.as_str(), "https://app.example.com/hooks?key=private&token=t-1");
    let headers = &endpoint.manner.headers;
    assert_eq!((&headers["x-env"], &headers["x-key"]), (&"prod".parse().unwrap(), &"t-1".parse().unwrap()));
    assert_eq!(headers["authorization"], "Basic YWRhOnQtMQ==");
    assert!(headers.values().all(|value| value.is_sensitive()));
}

#[test]
fn a_profile_says_what_the_endpoint_does_not() {
    let endpoint = |settings: &str| {
        let text = format!("[[endpoint]]\nname = 'a'\nurl = 'https://a.example'\n{settings}");
        let config = parse(&text.replace("SECRET", SECRET), &environment());
        config.unwrap_or_else(|mistakes| panic!("{mistakes}")).endpoints.remove(0)
    };
    let body = |header: &str, prefix: &str, encoding| Signature::Body {
        header: header.parse().unwrap(),
        prefix: prefix.to_owned(),
        encoding,
    };
    let wingspan = || body("x-wingspan-signature", "", Encoding::Hex);
    let (default, any) = (Schedule::default(), Success::Any2xx);
    let quick = Schedule { waits: vec![Duration::from_secs(1)], ..Schedule::default() };
    let abowire = || Profile::Abowire.schedule();
    let cases = [
        ("secret = 'SECRET'", Format::Standard, Signature::Standard, any, default.clone()),
        (
            "profile = 'flexprice'\nsecret = 'SECRET'",
            Format::Flexprice,
            Signature::Standard,
            any,
            Profile::Flexprice.schedule(),
        ),
        ("profile = 'abowire'", Format::Abowire, Signature::None, Success::Only200, abowire()),
        ("profile = 'wingspan'\nsecret = 'x'", Format::Wingspan, wingspan(), any, default.clone()),
        (
            "profile = 'wingback'\nsecret = 'SECRET'",
            Format::Wingback,
            Signature::Standard,
            any,
            default.clone(),
        ),
        ("profile = 'windback'", Format::Windback, Signature::None, any, default.clone()),
        (
            "profile = 'abowire'\nformat = 'cloudevents'",
            Format::CloudEvents,
            Signature::None,
            Success::Only200,
            abowire(),
        ),
        (
            "profile = 'abowire'\nsignature = 'standard'\nsecret = 'SECRET'\nsuccess = '2xx'\nschedule = ['1s']",
            Format::Abowire,
            Signature::Standard,
            any,
            quick,
        ),
        ("signature = 'wingspan'\nsecret = 'x'", Format::Standard, wingspan(), any, default.clone()),
        (
            "format = 'raw'\nsuccess = '200'\nsecret = ['x']\nsignature = { header = 'X-Sig', prefix = 'sha256=', \
             encoding = 'base64' }",
            Format::Raw,
            body("x-sig", "sha256=", Encoding::Base64),
            Success::Only200,
            default,
        ),
    ];
    for (settings, format, signature, success, schedule) in cases {
        let endpoint = endpoint(settings);
        let manner = &endpoint.manner;
        assert_eq!((manner.format, &manner.signature), (format, &signature), "{settings}");
        assert_eq!((manner.success, &endpoint.schedule), (success, &schedule), "{settings}");
        assert_eq!(endpoint.secrets.is_empty(), signature == Signature::None, "{settings}");
    }
    let raw = endpoint("format = 'raw'\nsignature = 'none'\noriginal_headers = ['X-Sig', '*']");
    assert_eq!(raw.manner.original_headers, ["x-sig", "*"]);
}

#[test]
fn a_schedule_may_be_a_rule() {
    let waits = |schedule: &str| {
        let text = format!(
            "[[endpoint]]\nname = 'a'\nurl = 'https://a.example'\nsecret = '{SECRET}'\nschedule = {schedule}"
        );
        let config = parse(&text, &environment()).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        config.endpoints[0].schedule.waits.iter().map(Duration::as_secs).collect::<Vec<_>>()
    };
    let cases: [(&str, &[u64]); 4] = [
        (
            "{ first = '10s', factor = 3, max = '3h', attempts = 10 }",
            &[10, 30, 90, 270, 810, 2430, 7290, 10_800, 10_800],
        ),
        ("{ first = '1h' }", &[3600, 7200, 14_400, 28_800, 57_600, 86_400, 86_400, 86_400, 86_400]),
        ("{ first = '2days', attempts = 3 }", &[172_800, 172_800]),
        ("{ first = '1s', attempts = 1 }", &[]),
    ];
    for (schedule, expected) in cases {
        assert_eq!(waits(schedule), expected, "{schedule}");
    }
}

/// Each of these `auth` tables, and how it is meant.
#[test]
fn a_scheme_may_be_a_provider_whose_manifest_says_the_rest() {
    let auth = |table: &str| {
        let text = format!(
            "[[source]]\nname = 'a'\nprovider = 'acme'\npublic_keys = ['pub_1']\nauth = {}",
            table.replace("SECRET", SECRET)
        );
        let config = parse(&text, &environment()).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        format!("{:?}", config.sources[0].auth)
    };
    let whole = "{ scheme = 'hmac', header = 'X-Sig', format = 'pairs', timestamp_key = 't', signature_key = 's', \
                 template = '{timestamp}.{body}', hash = 'sha512', tolerance = '1m', secret = 'x' }";
    let public = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
    let cases = [
        ("{ scheme = 'acme', secret = 'SECRET' }", "{ scheme = 'standard-webhooks', secret = 'SECRET' }"),
        (
            "{ scheme = 'acme', secret = 'SECRET', tolerance = '9s' }",
            "{ scheme = 'standard-webhooks', secret = 'SECRET', tolerance = '9s' }",
        ),
        ("{ scheme = 'hooli', secret = 'x' }", "{ scheme = 'header', header = 'x-hooli', secret = 'x' }"),
        (
            "{ scheme = 'hooli', header = 'x-other', secret = 'x' }",
            "{ scheme = 'header', header = 'x-other', secret = 'x' }",
        ),
        ("{ scheme = 'initech', secret = 'x' }", whole),
        ("{ scheme = 'initech', secret = 'x', hash = 'sha1' }", &whole.replace("sha512", "sha1")),
        (
            &format!("{{ scheme = 'acme', public_key = '{public}' }}"),
            &format!("{{ scheme = 'standard-webhooks', public_key = ['{public}'] }}"),
        ),
    ];
    for (preset, written) in cases {
        assert_eq!(auth(preset), auth(written), "{preset}");
    }
    assert!(auth("{ scheme = 'basic', user = 'u', secret = ['a', 'b'] }").starts_with("Basic { user: \"u\""));
}

#[test]
fn without_a_file_the_defaults_are_safe() {
    let config = parse("", &Environment::default()).unwrap();
    assert!(config.ingest.listen.ip().is_loopback() && config.admin.listen.ip().is_loopback());
    assert_eq!((config.ingest.listen.port(), config.admin.listen.port()), (8400, 8401));
    assert!(config.sources.is_empty() && config.endpoints.is_empty() && config.network.allow.is_empty());
}

#[test]
fn variables_come_before_the_file_and_unknown_ones_are_refused() {
    let variables = [
        ("BILLHOOK_DATA_DIR", "state"),
        ("BILLHOOK_INGEST__LISTEN", "127.0.0.1:1"),
        ("BILLHOOK_SECRETS__KEY", "env:BILLHOOK_MY_KEY"),
        ("BILLHOOK_MY_KEY", "k"),
        ("BILLHOOK_ADMIN_TOKEN", "t"),
        ("BILLHOOK_SERVICE_HOST", "10.0.0.1"),
        ("BILLHOOK_PORT_8400_TCP_ADDR", "10.0.0.1"),
        ("BILLHOOK_PORT", "tcp://10.0.0.1:8400"),
        ("BILLHOOK_ADMIN_SERVICE_PORT_HTTP", "8401"),
        ("BILLHOOK_ADMIN_PORT", "tcp://10.0.0.1:8401"),
        ("BILLHOOK_ADMIN_PORT_8401_TCP", "tcp://10.0.0.1:8401"),
    ];
    let config = parse("[ingest]\nlisten = \"127.0.0.1:2\"", &variables.into_iter().collect()).unwrap();
    assert_eq!(config.ingest.listen.port(), 1);
    assert_eq!(config.data_dir, Path::new("state"), "a variable's path is relative to the working directory");
    assert_eq!(config.secrets["key"][0].reveal(), "k");

    let variables = [
        ("BILLHOOK_INGEST__LISTE", "x"),
        ("BILLHOOK_NETWORK__ALLOW", "10.0.0.0/8"),
        ("BILLHOOK_STORE__MIN_FREE", "much"),
        ("BILLHOOK_SOURCE__NAME", "x"),
    ];
    let mistakes = parse("", &variables.into_iter().collect()).unwrap_err();
    let expected = [
        "BILLHOOK_INGEST__LISTE: no setting has this name; did you mean `BILLHOOK_INGEST__LISTEN`?",
        "BILLHOOK_NETWORK__ALLOW: network.allow: a string stands where a list belongs; write it in the file: a variable holds \
         one value",
        "BILLHOOK_SOURCE__NAME: no setting has this name; unset it: variables set scalars outside arrays of tables, as \
         `BILLHOOK_INGEST__LISTEN` sets `ingest.listen`",
        "BILLHOOK_STORE__MIN_FREE: store.min_free: `much` is not a size; write one such as `512MiB`",
    ];
    assert_eq!(mistakes.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_secret_comes_from_a_variable_or_a_file_and_no_mistake_shows_it() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("token"), "from-file\n").unwrap();
    let read = |text: &str| Config::parse(text, directory.path(), &environment(), &shipped());
    let token = |text: &str| read(text).unwrap().admin.token.unwrap().reveal().to_owned();
    assert_eq!(token("admin.token = 'file:token'"), "from-file");
    assert_eq!(token("admin.token = 'env:TOKEN'"), "t-1");
    assert_eq!(token("admin.token = 'plain'"), "plain");

    std::fs::write(directory.path().join("whsec"), "whsec_hunter2").unwrap();
    let text = "[admin]\ntoken = 'hunter2 hunter2'\n[[endpoint]]\nname = 'a'\nurl = 'https://x:hunter2@/'\n\
                secret = ['hunter2', 'file:whsec', 'file:none']\n[[endpoint]]\nname = 'b'\nurl = 'hunter2'\nsecret = 'hunter2'\n";
    let mistakes = read(text).unwrap_err();
    assert_eq!(mistakes.list.len(), 7, "{mistakes}");
    assert!(!format!("{mistakes} {mistakes:?}").contains("hunter2"), "{mistakes}");
    assert!(!format!("{:?}", parse(WHOLE, &environment())).contains("whsec_"));
}

/// Each of these texts has the mistakes beside it, and no others.
#[test]
fn each_mistake_is_told_with_its_key_line_and_remedy() {
    for (text, expected) in
        include_str!("wrong.txt").split("\n====\n").map(|case| case.split_once("\n----\n").unwrap())
    {
        let text = text.replace("SECRET", SECRET);
        let told = parse(&text, &environment()).map(|_| ()).unwrap_err();
        assert_eq!(told.trim(), expected.trim(), "\n{text}");
    }
}

#[test]
fn what_has_no_effect_is_told_and_is_no_mistake() {
    let idle = |text: &str| {
        let config = parse(&text.replace("SECRET", SECRET), &environment());
        config.unwrap_or_else(|mistakes| panic!("{mistakes}")).idle.to_string()
    };
    let text = r#"
[secrets]
spare = "x"
used = "y"
[[plugin]]
name = "cancel-strategy"
grants = ["reveal:used"]
[[plugin]]
name = "acme-normalizer"
[[source]]
name = "a"
provider = "acme"
auth = { scheme = "none" }
allow_from = ["192.0.2.0/24"]
plugins = ["acme-normalizer", "acme-normalizer"]
[[source]]
name = "g"
provider = "globex"
auth = { scheme = "none" }
[[endpoint]]
name = "app"
url = "https://app.example.com"
secret = "SECRET"
sources = ["a"]
events = ["acme/*", "globex/*", "invoice.*"]
[[endpoint]]
name = "all"
url = "https://all.example.com"
secret = "SECRET"
events = ["globex/*"]
"#;
    let expected = "\
configuration:3: secrets.spare: no plugin is granted this secret; write `secret:spare` in the `grants` of one that asks for it, or take it out
configuration:6: plugin[0].name: no source or endpoint uses the plugin `cancel-strategy`; name it where it is to be used, or take it out
configuration:14: source[0].allow_from: every connection to `ingest.listen` comes from this machine, so that none is allowed; name the proxy before it in `ingest.trusted_proxies`, or listen elsewhere
configuration:15: source[0].plugins[1]: the plugin is `source[0].plugins[0]` already; take it out, unless it is to run twice
configuration:25: endpoint[0].events[1]: none of the `sources` has the provider `globex`; add one that has, or take it out";
    assert_eq!(idle(text), expected);
    let secret_only = "[secrets]\nspare = 'x'";
    assert!(idle(secret_only).starts_with("configuration:2: secrets.spare: "));
    assert_eq!(idle(&WHOLE.replace("SECRET", SECRET)), "");
}

#[test]
fn all_mistakes_of_a_file_are_told_in_one_run() {
    let wrong = WHOLE
        .replace("\"0.0.0.0:9400\"", "\"9400\"")
        .replace("\"1GiB\"", "\"1 gigabyte\"")
        .replace("provider = \"acme\"", "provider = \"acmee\"")
        .replace("env:HOOK", "env:HOKO")
        .replace("\"payment.failed\"", "\"payment.fialed\"")
        .replace("profile = \"standard\"", "profil = \"standard\"")
        .replace("[[plugin]]", "colour = 1\n[[plugin]]");
    let mistakes = parse(&wrong, &environment()).unwrap_err();
    let keys: Vec<&str> = mistakes.lines().map(|line| line.split(": ").nth(1).unwrap()).collect();
    let expected = [
        "store.min_free",
        "ingest.listen",
        "log.colour",
        "source[0].provider",
        "source[0].auth.secret[0]",
        "endpoint[0].secret[1]",
        "endpoint[0].events[1]",
        "endpoint[0].profil",
    ];
    assert_eq!(keys, expected, "{mistakes}");
    for line in mistakes.lines() {
        let number: usize = line.split(':').nth(1).unwrap().parse().unwrap();
        let written = wrong.lines().nth(number - 1).unwrap();
        let key = line.split(": ").nth(1).unwrap().rsplit('.').next().unwrap().split('[').next().unwrap();
        assert!(written.contains(key), "{line} is said of {written}");
    }
}

#[test]
fn a_broken_text_hides_no_other_mistake_and_causes_none() {
    let text = "[ingest]\nlisten = \"x\"\n[admin]\ntoken = \n[[endpoint]]\nname = \"a\nurl = 'ftp://x'\nsecret = \"SECRET\"\n";
    let mistakes = parse(&text.replace("SECRET", SECRET), &environment()).unwrap_err();
    let lines: Vec<&str> = mistakes.lines().map(|line| line.split(':').nth(1).unwrap()).collect();
    assert_eq!(lines, ["2", "4", "7"], "{mistakes}");
}

#[test]
fn no_text_makes_the_reader_panic() {
    let mut random = StdRng::seed_from_u64(1);
    let pieces: Vec<&str> = WHOLE.split_inclusive([' ', '\n', '"', '[', ']', '{', '}']).collect();
    for _ in 0..3_000 {
        let mut text = String::new();
        let odd = [
            "\"",
            "[",
            "{",
            "=",
            "\0",
            "é",
            "-1",
            "1e999",
            "0x",
            "''",
            "nan",
            "99999999999999999999",
            "1979-05-27",
            "\r",
        ];
        for piece in &pieces {
            match random.random_range(0..150) {
                0 => {}
                1 => text.push_str(odd[random.random_range(0..odd.len())]),
                2 => text.push_str(pieces[random.random_range(0..pieces.len())]),
                3 => text.push_str(&piece.repeat(2)),
                _ => text.push_str(piece),
            }
        }
        if let Err(mistakes) = Config::parse(&text, Path::new(""), &environment(), &shipped()) {
            assert!(!mistakes.list.is_empty());
            assert!(!mistakes.to_string().contains(OTHER_SECRET), "{mistakes}");
        }
    }
    for deep in [
        "[".repeat(100_000),
        "a = ".to_owned() + &"{a=".repeat(100_000),
        format!("a{} = 1", ".a".repeat(1_500_000)),
    ] {
        assert!(parse(&deep, &environment()).is_err());
    }
}
