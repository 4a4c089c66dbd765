//! The binary as a person uses it.

use crate::line::{FLEXPRICE, canceled};
use crate::receivers::skipped;
use billhook_tests::process::Process;
use billhook_tests::receiver::{Answer, Receiver};
use billhook_tests::sender::{post, post_signed};
use billhook_tests::{ADMIN_TOKEN, Gateway, START_SECS};
use gateway::clock::Clock;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

fn billhook(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_billhook"));
    command.args(arguments).env_remove("BILLHOOK_ADMIN_TOKEN").env("NO_COLOR", "1").kill_on_drop(true);
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a command against a gateway.
pub(crate) async fn ask(gateway: &Gateway, arguments: &[&str]) -> Output {
    let url = gateway.admin_url();
    let arguments: Vec<&str> = ["--url", &url].into_iter().chain(arguments.iter().copied()).collect();
    billhook(&arguments).env("BILLHOOK_ADMIN_TOKEN", ADMIN_TOKEN).output().await.unwrap()
}

#[tokio::test]
async fn the_demo_shows_what_it_promises_and_ends_well() {
    let output = billhook(&["demo", "--once"]).output().await.unwrap();
    let (shown, said) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{shown}\n{said}");
    for expected in
        ["Flexprice", "Windback", "Wingback", "duplicate", "401", "discount", "pause_option", "delivered"]
    {
        assert!(shown.contains(expected), "no {expected:?} in:\n{shown}");
    }
}

/// Rows and columns of a terminal that nobody changed.
const SCREEN: (usize, usize) = (24, 80);

#[tokio::test]
async fn the_end_of_the_demo_fits_on_a_screen_and_what_it_says_to_try_works() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = billhook(&["demo"]).env("TMPDIR", dir.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let (mut bodies, mut last) = (Vec::new(), Vec::new());
    while !last.last().is_some_and(|line: &String| line.contains("event show")) {
        let line = lines.next_line().await.unwrap().expect("it goes on");
        match line.as_str() {
            "In short" => last.push(line),
            body if body.contains("─ body  ") => bodies.push(line),
            _ if last.is_empty() => {}
            _ => last.push(line),
        }
    }
    assert!(bodies.len() > 5 && last.len() < SCREEN.0, "{bodies:?}\n{last:?}");
    for line in bodies.iter().chain(&last) {
        assert!(line.chars().count() <= SCREEN.1, "{line}");
    }
    let encore = last.iter().skip_while(|line| !line.starts_with("Try it")).skip(1);
    let encore: String = encore.map(|line| format!("{line}\n")).collect();
    if Command::new("curl").arg("--version").output().await.is_err() {
        skipped("`curl` is not on this machine, so what the demo says to try was not tried");
        return;
    }
    let mut shell = Command::new("sh");
    let tried = shell.args(["-ec", &encore]).env("no_proxy", "127.0.0.1").output().await.unwrap();
    let (told, said) = (text(&tried.stdout), text(&tried.stderr));
    assert!(tried.status.success(), "{encore}\n{told}\n{said}");
    assert_eq!(told.matches(r#""status":"ok""#).count(), 2, "{told}");
    for expected in ["OCCURRED", "subscription.cancel_scheduled", "verified", "attempt 1"] {
        assert!(told.contains(expected), "no {expected:?} in:\n{told}");
    }
}

#[tokio::test]
async fn a_demo_that_is_ended_early_leaves_nothing_behind() {
    for (signal, seen, code) in [
        ("INT", "1. ", 130),
        ("TERM", "2. ", 143),
        ("HUP", "1. ", 129),
        ("TERM", "Try it", 0),
        ("HUP", "Try it", 0),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut demo = billhook(&["demo"]).env("TMPDIR", dir.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        while !lines.next_line().await.unwrap().expect("it goes on").starts_with(seen) {}
        let data = fs::read_dir(&dir).unwrap().next().unwrap().unwrap();
        assert!(data.file_name().to_str().unwrap().starts_with("billhook-demo-"), "{data:?}");
        for (path, mode) in [(data.path(), 0o700), (data.path().join("billhook.toml"), 0o600)] {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
        }
        let pid = demo.id().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().await.unwrap().success());
        let ended = demo.wait().await.unwrap();
        assert_eq!(ended.code(), Some(code), "SIG{signal} at {seen:?}: {ended}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "SIG{signal} at {seen:?}");
    }
}

#[tokio::test]
async fn a_private_key_is_new_each_time_and_its_public_key_is_told() {
    let new = billhook(&["secret", "new", "--v1a"]).output().await.unwrap();
    let private = text(&new.stdout).trim().to_owned();
    assert!(private.starts_with("whsk_"), "{private}");
    assert_ne!(text(&billhook(&["secret", "new", "--v1a"]).output().await.unwrap().stdout).trim(), private);
    let key = gateway::model::signature::private_key(&private).unwrap();
    let public_of = async |given: &str| {
        let mut child = billhook(&["secret", "public"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(given.as_bytes()).await.unwrap();
        child.wait_with_output().await.unwrap()
    };
    let told = public_of(&format!("{private}\n")).await;
    let public = gateway::model::signature::public_key(text(&told.stdout).trim());
    assert_eq!(public, Some(key.verifying_key()));
    let refused = public_of("whsk_hunter2").await;
    assert!(!refused.status.success() && refused.stdout.is_empty());
    let why = text(&refused.stderr);
    assert!(why.contains("secret new --v1a") && !why.contains("hunter2"), "{why}");
}

#[tokio::test]
async fn a_secret_is_new_each_time_and_long_enough() {
    let mut secrets = Vec::new();
    for _ in 0..2 {
        let output = billhook(&["secret", "new"]).output().await.unwrap();
        assert!(output.status.success());
        secrets.push(text(&output.stdout).trim().to_owned());
    }
    assert!(secrets.iter().all(|secret| secret.starts_with("whsec_") && secret.len() >= 38), "{secrets:?}");
    assert_ne!(secrets[0], secrets[1]);
}

#[tokio::test]
async fn check_reports_every_mistake_and_passes_what_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("billhook.toml");
    let check = async |config: &str| {
        std::fs::write(&path, config).unwrap();
        billhook(&["check", "--config", path.to_str().unwrap()]).output().await.unwrap()
    };
    let good = check(FLEXPRICE).await;
    assert!(good.status.success(), "{}", text(&good.stderr));
    let bad = check("data_dri = \"x\"\n[[source]]\nname = \"A b\"\nprovider = \"flexprice\"\nauth = { scheme = \"none\" }\n[[endpoint]]\nname = \"app\"\nurl = \"ftp://x\"\nsecret = \"whsec_AAAA\"\n").await;
    assert_eq!(bad.status.code(), Some(64));
    let said = text(&bad.stderr) + &text(&bad.stdout);
    for key in ["data_dri", "source[0].name", "endpoint[0].url", "endpoint[0].secret"] {
        assert!(said.contains(key), "no {key} in:\n{said}");
    }
}

#[tokio::test]
async fn an_event_can_be_listed_and_its_whole_story_read() {
    let receiver = Receiver::scripted([Answer::Status(500)]).await;
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    let body = canceled("subs_1", "too many bugs");
    let answered = post_signed(&gateway.url("/in/flexprice"), "msg_1", START_SECS, &body).await;
    gateway.settle().await;

    let listed = ask(&gateway, &["event", "ls"]).await;
    let listed = text(&listed.stdout);
    let event = receiver.received()[0].header("webhook-id").to_owned();
    assert!(listed.contains(&event) && listed.contains("subscription.canceled"), "{listed}");

    let shown = text(&ask(&gateway, &["event", "show", &event]).await.stdout);
    for expected in [answered.id(), "flexprice", "founder_email", "bugs", "app", "500", "cancel-strategy"] {
        assert!(shown.contains(expected), "no {expected:?} in:\n{shown}");
    }
    let webhook = text(&ask(&gateway, &["webhook", "show", answered.id()]).await.stdout);
    assert!(webhook.contains(&event), "{webhook}");
    let waiting = text(&ask(&gateway, &["delivery", "ls", "--state", "waiting"]).await.stdout);
    assert!(waiting.contains("dlv_") && waiting.contains("app"), "{waiting}");
    let dead = ask(&gateway, &["dead-letter", "ls"]).await;
    assert!(dead.status.success());
    gateway.stop().await;
}

#[tokio::test]
async fn the_admin_api_is_closed_to_strangers() {
    let gateway = Gateway::start(FLEXPRICE).await;
    let refused =
        billhook(&["--url", &gateway.admin_url(), "--token", "wrong", "event", "ls"]).output().await.unwrap();
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("token"), "{}", text(&refused.stderr));
    gateway.stop().await;
}

#[tokio::test]
async fn sigterm_finishes_what_is_in_flight_marks_clean_and_exits_0() {
    let receiver = Receiver::scripted([Answer::Hang]).await;
    let dir = tempfile::tempdir().unwrap();
    let config = format!("{FLEXPRICE}{}", receiver.endpoint("app"));
    let binary = Path::new(env!("CARGO_BIN_EXE_billhook"));
    let gateway = Process::start(binary, dir.path(), &config, None).await.unwrap();
    let now = Clock::system().now().secs();
    post_signed(&gateway.url("/in/flexprice"), "msg_1", now, &canceled("subs_1", "price")).await;
    receiver.got(1).await;
    let ending = tokio::spawn(gateway.terminate());
    receiver.let_go();
    assert_eq!(ending.await.unwrap(), Some(0));
    let options = gateway::store::sled::Options::at(dir.path().join("data/store"));
    let store = gateway::store::sled::SledStore::open(options).unwrap();
    assert!(gateway::store::Upkeep::was_clean(&store));
    let stats = gateway::store::Reading::stats(&store).await.unwrap();
    assert_eq!((stats.delivered, stats.waiting), (1, 0), "what was in flight was finished and recorded");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let receiver = Receiver::scripted([Answer::Hang]).await;
    let dir = tempfile::tempdir().unwrap();
    let config = format!("{FLEXPRICE}{}", receiver.endpoint("app"));
    let binary = Path::new(env!("CARGO_BIN_EXE_billhook"));
    let mut gateway = Process::start(binary, dir.path(), &config, None).await.unwrap();
    let now = Clock::system().now().secs();
    post_signed(&gateway.url("/in/flexprice"), "msg_1", now, &canceled("subs_1", "price")).await;
    receiver.got(1).await;
    gateway.signal("TERM").await;
    gateway.stops_accepting().await;
    gateway.signal("TERM").await;
    assert_ne!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_gateway_without_a_configuration_starts_with_safe_defaults_and_no_log_shows_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let output = billhook(&["check"]).current_dir(dir.path()).output().await.unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[tokio::test]
async fn what_keeps_a_gateway_from_starting_is_in_its_log_too() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    std::fs::write(dir.path().join("data/store"), "no directory").unwrap();
    let file = dir.path().join("billhook.toml");
    std::fs::write(&file, billhook_tests::configuration(dir.path(), "")).unwrap();
    let output = billhook(&["serve", "--config", file.to_str().unwrap()]).output().await.unwrap();
    let said = text(&output.stderr);
    let why = said.lines().find_map(|line| line.strip_prefix("error: ")).expect("a line for people");
    let mut lines = said.lines().rev();
    let last = lines.find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).expect("a log");
    assert_eq!((output.status.code(), last["level"].as_str()), (Some(1), Some("ERROR")), "{said}");
    assert!(last["fields"]["error"].as_str().is_some_and(|error| error.starts_with(why)), "{said}");
}

#[tokio::test]
async fn a_log_that_cannot_be_written_costs_its_lines_alone() {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let config = format!("{FLEXPRICE}{}", receiver.endpoint("app"));
    let mut gateway = Process::start(Path::new(env!("CARGO_BIN_EXE_billhook")), dir.path(), &config, None)
        .await
        .expect("it starts");
    gateway.close_log().await;
    let url = gateway.url("/in/flexprice");
    for _ in 0..12 {
        assert_eq!(post(&url, &[], "{}").await.status, 401, "each is worth a line");
    }
    let now = Clock::system().now().secs();
    assert_eq!(post_signed(&url, "msg_1", now, &canceled("subs_1", "price")).await.status, 200);
    receiver.got(1).await;
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn what_is_kept_is_nobody_elses_to_read() {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let config = format!("{FLEXPRICE}{}", receiver.endpoint("app"));
    let data = dir.path().join("data");
    // As an installation may have made it.
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    let gateway = Process::start(Path::new(env!("CARGO_BIN_EXE_billhook")), dir.path(), &config, None)
        .await
        .expect("it starts");
    let now = Clock::system().now().secs();
    post_signed(&gateway.url("/in/flexprice"), "msg_1", now, &canceled("subs_1", "price")).await;
    receiver.got(1).await;
    assert_eq!(gateway.terminate().await, Some(0));
    let mut inside = vec![data.join("store")];
    while let Some(path) = inside.pop() {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        if path.is_dir() {
            inside.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

/// How long a command gets that should end.
const PATIENCE: Duration = Duration::from_secs(30);

const JOB: &str = r#"{"id":"job_01M7Y73WK0JQSE5WP88DQ66Z7V","asked":{"what":"resend"},
    "created":"2026-08-10T12:00:00Z","status":"running","looked":0,"moved":0}"#;

/// Something that answers what a command asks by `answer`, from the path and query. Its URL.
async fn pretender<F>(answer: F) -> String
where
    F: Fn(&str) -> (u16, String) + Clone + Send + Sync + 'static,
{
    let router = axum::Router::new().fallback(move |uri: http::Uri| {
        let (status, body) = answer(uri.path_and_query().unwrap().as_str());
        std::future::ready((http::StatusCode::from_u16(status).unwrap(), body))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(gateway::admin::serve(router, listener, std::future::pending()));
    url
}

#[tokio::test]
async fn a_redrive_in_bulk_goes_on_where_the_answer_says() {
    let url = pretender(|asked| match asked {
        "/api/v1/dead-letters/redrive" => (200, r#"{"deliveries":1,"webhooks":2,"next":"n1"}"#.to_owned()),
        "/api/v1/dead-letters/redrive?after=n1" => (200, r#"{"deliveries":3,"webhooks":4}"#.to_owned()),
        other => (404, other.to_owned()),
    })
    .await;
    let mut redrive = billhook(&["--url", &url, "--token", "t", "dead-letter", "redrive", "--all"]);
    let told = tokio::time::timeout(PATIENCE, redrive.output()).await.expect("it ends").unwrap();
    assert_eq!(text(&told.stdout), "redriven: 4 deliveries, 6 webhooks\n");
}

#[tokio::test]
async fn what_a_hostile_gateway_says_controls_no_terminal() {
    let problem = r#"{"status":409,"code":"x\u0007","detail":"\u001b[31mred \u202e\u009b"}"#;
    let url = pretender(move |_| (409, problem.to_owned())).await;
    let told = billhook(&["--url", &url, "--token", "t", "job", "ls"]).output().await.unwrap();
    let expected = r"error: \u{1b}[31mred \u{202e}\u{9b} (x\u{7}, HTTP 409)";
    assert_eq!(text(&told.stderr).trim_end(), expected);
}

#[tokio::test]
async fn a_list_that_nobody_reads_any_more_asks_for_no_more_pages() {
    let url = pretender(|_| (200, r#"{"items":[{}],"next":"more"}"#.replace("{}", JOB))).await;
    let mut child = billhook(&["--url", &url, "--token", "t", "job", "ls", "--json", "--limit", "1000000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    assert!(ended.expect("it ends").unwrap().success());
}

/// The binary in `dir`, as somebody whom the modes of files count for.
fn as_nobody(dir: &Path, arguments: &[&str]) -> Command {
    // Where it was built may be closed to everybody else.
    let binary = dir.join("billhook");
    if !binary.exists() {
        fs::copy(env!("CARGO_BIN_EXE_billhook"), &binary).unwrap();
    }
    let mut command = Command::new(binary);
    command.args(arguments).env("NO_COLOR", "1").kill_on_drop(true).current_dir(dir);
    if rustix::process::geteuid().is_root() {
        command.uid(65_534);
    }
    command
}

#[tokio::test]
async fn a_file_that_is_there_and_cannot_be_read_is_not_taken_for_none() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    let check = async || as_nobody(dir.path(), &["check"]).output().await.unwrap();
    let file = dir.path().join("billhook.toml");
    std::os::unix::fs::symlink("moved.toml", &file).unwrap();
    let dangling = check().await;
    assert_eq!(dangling.status.code(), Some(64), "{}", text(&dangling.stdout));
    assert!(text(&dangling.stderr).contains("cannot read `billhook.toml`"), "{}", text(&dangling.stderr));
    fs::remove_file(&file).unwrap();
    fs::write(&file, "[ingest]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    let unreadable = check().await;
    assert_eq!(unreadable.status.code(), Some(64), "{}", text(&unreadable.stdout));
    assert!(text(&unreadable.stderr).contains("Permission denied"), "{}", text(&unreadable.stderr));
}

#[tokio::test]
async fn check_finds_the_directories_that_a_start_could_not_use() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("file"), "").unwrap();
    for (name, mode) in [("closed", 0o000), ("fixed", 0o555), ("open", 0o777)] {
        fs::create_dir(path(name)).unwrap();
        fs::set_permissions(path(name), Permissions::from_mode(mode)).unwrap();
    }
    std::os::unix::fs::symlink("nowhere", path("link")).unwrap();
    let cases = [
        ("data_dir = \"file\"", "data_dir: nothing can be kept in ", "not a directory"),
        ("data_dir = \"file/in\"", "data_dir: nothing can be kept in ", "ot a directory"),
        ("data_dir = \"link\"", "data_dir: nothing can be kept in ", "No such file"),
        ("data_dir = \"fixed\"", "", "by the user who checks: Permission denied"),
        ("data_dir = \"fixed/new/er\"", "", "by the user who checks: Permission denied"),
        (
            "data_dir = \"open\"\nplugins.watch = \"closed\"",
            "plugins.watch: cannot read ",
            "Permission denied",
        ),
        ("data_dir = \"open/new/er\"\nplugins.watch = \"open\"", "", ""),
    ];
    for (config, told, cause) in cases {
        fs::write(path("billhook.toml"), config).unwrap();
        let checked = as_nobody(dir.path(), &["check"]).output().await.unwrap();
        let said = text(&checked.stderr) + &text(&checked.stdout);
        assert_eq!(checked.status.success(), told.is_empty(), "{config}: {said}");
        assert!(said.contains(told) && said.contains(cause), "{config}: {said}");
    }
}

#[tokio::test]
async fn check_says_once_where_a_source_is_posted_to() {
    let dir = tempfile::tempdir().unwrap();
    let source = |name: &str, provider: &str, more: &str| {
        format!(
            "[[source]]\nname = \"{name}\"\nprovider = \"{provider}\"\nauth = {{ scheme = \"none\" }}\n{more}\n"
        )
    };
    let config = [
        source("by-path", "wingback", ""),
        source("by-body", "flexprice", "plugins = [\"event-filter\"]"),
        source("only-by-path", "flexprice", "event_type = \"path\""),
        source("by-header", "wingspan", "event_type = \"header:x-event\""),
    ];
    fs::write(dir.path().join("billhook.toml"), config.concat()).unwrap();
    let checked = billhook(&["check"]).current_dir(&dir).output().await.unwrap();
    let told = text(&checked.stdout);
    let of_sources: Vec<_> = told.lines().filter(|line| line.trim().starts_with("source")).collect();
    let expected = [
        "  source `by-path` is normalized by `wingback`: POST /in/by-path[/EVENT] from wingback",
        "  source `by-body` is normalized by `flexprice`, then event-filter: POST /in/by-body from flexprice",
        "  source `only-by-path` is normalized by `flexprice`: POST /in/only-by-path/EVENT from flexprice",
        "  source `by-header` is normalized by `wingspan`: POST /in/by-header from wingspan",
    ];
    assert_eq!(of_sources, expected);
}
