//! The whole line: senders over real sockets, the gateway on a real disk, a sink that counts. All in one process, or with
//! a gateway's program beside it.
//!
//! Run by hand: `cargo bench -p gateway --bench line -- --help`. docs/benchmarks.md says how to read it.

use anyhow::{Context, anyhow, ensure};
use billhook_tests::{configuration, process::Process};
use bytes::Bytes;
use clap::Parser;
use gateway::clock::Clock;
use gateway::config::Config;
use gateway::config::environment::Environment;
use gateway::model::signature::{sign_v1, standard_key};
use gateway::plugins::Compiler;
use gateway::server::load::shipped;
use gateway::server::{Listeners, Running, start};
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, client, server};
use hyper_util::rt::TokioIo;
use rustix::time::{ClockId, clock_gettime};
use std::collections::HashSet;
use std::convert::Infallible;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};

/// The line under load.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// Connections that send, each its next webhook when the last was answered.
    #[arg(long, default_value_t = 64)]
    senders: usize,
    /// Webhooks a second over all connections; 0: as fast as they are answered.
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// How long.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Measures again once so many events more are stored, and how long a restart takes with them.
    #[arg(long, default_value_t = 0)]
    stored: u64,
    /// Adds an endpoint that nobody listens at: every event waits for it.
    #[arg(long)]
    dead: bool,
    /// Plugins after the normalizer.
    #[arg(long, value_delimiter = ',', default_value = "cancel-strategy")]
    plugins: Vec<String>,
    /// Loads this gateway's program, as a process of its own, in place of a gateway in this process.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Passed by cargo.
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

const SECRET: &str = "whsec_dGhpcyBpcyBhIHRlc3Qgc2VjcmV0IG9mIDMyIGJ5dGU=";
/// What every sender sends, some 550 bytes: `@` stands for the number of the webhook and when it was sent.
const BODY: &str = r#"{"webhook_type":"subscription.terminated","object_type":"subscription","data":{"object":{"id":"subs_line-@-","customer_id":"cust_@","plan_id":"plan_team","lookup_key":"team-monthly","subscription_status":"cancelled","currency":"usd","start_date":"2025-02-01T00:00:00Z","current_period_end":"2026-09-01T00:00:00Z","cancel_at_period_end":false,"cancelled_at":"2026-08-10T11:59:00Z","end_date":"2026-08-10T11:59:00Z","customer":{"name":"Northwind Ltd","email":"ap@northwind.example"},"metadata":{"cancellation_reason":"Switching because of the price"}}}}"#;
/// What comes before number and time in a body, and so in its event.
const MARK: &str = "subs_line-";
/// Load that is not counted: pools and connections are made during it.
const WARM: Duration = Duration::from_secs(1);
/// So many events are stored in one turn, so that what the sink remembers stays small.
const STORED_AT_ONCE: u64 = 50_000;
/// How long storing them may take.
const STORED_WITHIN: Duration = Duration::from_secs(600);
/// Ticks a second of the times in `/proc`: Linux has one value for all of its programs (`USER_HZ`).
const TICKS: u64 = 100;
/// How long stopping may take.
const STOP: Duration = Duration::from_secs(30);
/// How long the sink waits for what was accepted, and how often it looks.
const DRAIN: (Duration, Duration) = (Duration::from_secs(60), Duration::from_millis(5));

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let dir = tempfile::tempdir()?;
    let flush = flush(dir.path())?.as_micros();
    println!("{} senders, {} s, rate {}, a flush takes {flush} us", args.senders, args.seconds, args.rate);

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let sink = Arc::new(Sink { zero: Instant::now(), seen: Mutex::new(Seen::new()), cpu: AtomicU64::new(0) });
    let serving = Arc::clone(&sink);
    // It ends with the process.
    std::thread::Builder::new().name("sink".to_owned()).spawn(move || serving.serve(listener))?;
    Runtime::new()?.block_on(line(&args, dir.path(), &sink, at))
}

/// Starts a gateway between senders and sink, loads it and tells what came of it.
async fn line(args: &Args, dir: &Path, sink: &Arc<Sink>, at: SocketAddr) -> anyhow::Result<()> {
    let text = config(args, at, &TcpListener::bind("127.0.0.1:0")?);
    let gateway = Gateway::start(args, &text, dir).await?;
    let mut under = UnderLoad {
        to: gateway.ingest()?,
        process: gateway.process()?,
        senders: args.senders,
        sink: Arc::clone(sink),
        next: 0,
    };
    let seconds = Duration::from_secs(args.seconds);

    let measured = async {
        under.load(WARM, 0, u64::MAX).await?;
        under.measured(seconds, args.rate).await?;
        if args.stored > 0 {
            let until = under.next + args.stored;
            while under.next < until {
                let most = STORED_AT_ONCE.min(until - under.next);
                under.load(STORED_WITHIN, 0, most).await?;
            }
            println!("\n{} events stored", under.next);
            under.measured(seconds, args.rate).await?;
        }
        anyhow::Ok(())
    };
    let measured = measured.await;
    // Before the verdict: what is wrong with the run should not keep the gateway from ending in order.
    gateway.stop().await?;
    measured?;
    if args.stored > 0 {
        let begun = Instant::now();
        let gateway = Gateway::start(args, &text, dir).await?;
        println!("restart    {:.2} s until ready", begun.elapsed().as_secs_f64());
        gateway.stop().await?;
    }
    Ok(())
}

/// What is loaded.
enum Gateway {
    Here(Running),
    Beside(Process),
}

impl Gateway {
    async fn start(args: &Args, text: &str, dir: &Path) -> anyhow::Result<Gateway> {
        if let Some(program) = &args.program {
            let process = Process::start(program, dir, text, None).await;
            return process.map(Gateway::Beside).context("the program ended before it listened");
        }
        let config = Config::parse(&configuration(dir, text), dir, &Environment::default(), &shipped());
        let config = config.map_err(|mistakes| anyhow!("{mistakes}"))?;
        let listeners = Listeners::bind(&config).await?;
        start(config, listeners, Clock::system(), Compiler::InProcess).await.map(Gateway::Here)
    }

    fn ingest(&self) -> anyhow::Result<SocketAddr> {
        match self {
            Gateway::Here(running) => Ok(running.ingest_addr()),
            Gateway::Beside(process) => Ok(process.ingest.parse()?),
        }
    }

    /// The process that it is, unless that is this one.
    fn process(&self) -> anyhow::Result<Option<u32>> {
        match self {
            Gateway::Here(_) => Ok(None),
            Gateway::Beside(process) => process.id().map(Some).context("the program has ended"),
        }
    }

    async fn stop(self) -> anyhow::Result<()> {
        match self {
            Gateway::Here(running) => running.stop(STOP).await,
            Gateway::Beside(process) => {
                let code = process.terminate().await;
                ensure!(code == Some(0), "the program ended with {code:?}");
                Ok(())
            }
        }
    }
}

/// A gateway with what loads it and what it delivers to.
struct UnderLoad {
    to: SocketAddr,
    /// The gateway's, if it is not this one.
    process: Option<u32>,
    senders: usize,
    sink: Arc<Sink>,
    /// The number of the next webhook.
    next: u64,
}

impl UnderLoad {
    /// Sends for so long or so many, and waits until all of it is delivered.
    async fn load(&mut self, seconds: Duration, rate: u32, most: u64) -> anyhow::Result<Loaded> {
        *self.sink.seen() = Seen::new();
        let (process, delivering) = (cpu_of(self.process)?, self.sink.cpu.load(Relaxed));
        let begun = Instant::now();
        let (first, senders, zero) = (self.next, self.senders, self.sink.zero);
        let load = Load { to: self.to, first, most, begun, seconds, rate, senders, zero };
        let sent = spawn_blocking(move || load.send()).await??;
        let sending = begun.elapsed();
        self.sink.drained(sent.accepted()).await?;
        self.next += sent.accepted() + sent.refused;
        let delivering = self.sink.cpu.load(Relaxed) - delivering;
        let process = cpu_of(self.process)? - process;
        ensure!(sent.refused == 0, "{} webhooks were refused", sent.refused);
        let repeats = self.sink.seen().repeats;
        ensure!(repeats == 0, "{repeats} deliveries were made twice");
        let both_ends = if self.process.is_none() { sent.cpu + delivering } else { 0 };
        let gateway = process.saturating_sub(both_ends);
        Ok(Loaded { sent, begun, sending, gateway, delivering })
    }

    /// The same, and tells what came of it.
    async fn measured(&mut self, seconds: Duration, rate: u32) -> anyhow::Result<()> {
        let Loaded { sent, begun, sending, gateway, delivering } = self.load(seconds, rate, u64::MAX).await?;
        let seen = self.sink.seen();
        let delivered = seen.numbers.len() as u64;
        let until = seen.last.map_or(sending, |last| last - begun).max(sending);
        let each = |nanos: u64| nanos as f64 / 1e3 / delivered as f64;
        tell("accepted", sent.accepted(), sending, &sent.latency);
        tell("delivered", delivered, until, &seen.latency);
        println!(
            "CPU        {:.1} us/event; beside it the senders {:.1}, the sink {:.1}",
            each(gateway),
            each(sent.cpu),
            each(delivering),
        );
        let included = if self.process.is_none() { ", senders and sink included" } else { "" };
        println!("memory     {} MB resident{included}", resident(self.process)?);
        Ok(())
    }
}

/// What came of a load.
struct Loaded {
    sent: Sent,
    begun: Instant,
    sending: Duration,
    /// Nanoseconds of the processor that the gateway took.
    gateway: u64,
    /// Those of the sink.
    delivering: u64,
}

/// MB of a process in memory (`proc_pid_status(5)`); `None`: of this one.
fn resident(process: Option<u32>) -> anyhow::Result<u64> {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", process.unwrap_or_else(std::process::id)))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has a VmRSS")?;
    Ok(line.trim_end_matches("kB").trim().parse::<u64>()? >> 10)
}

/// Nobody will listen at the address of `nobody`: it is closed when this returns.
fn config(args: &Args, sink: SocketAddr, nobody: &TcpListener) -> String {
    let nobody = nobody.local_addr().map(|at| at.to_string()).unwrap_or_default();
    let dead = format!("[[endpoint]]\nname = \"dead\"\nurl = \"http://{nobody}/\"\nsecret = \"{SECRET}\"");
    let dead = if args.dead { dead } else { String::new() };
    let plugins: Vec<&String> = args.plugins.iter().filter(|plugin| !plugin.is_empty()).collect();
    format!(
        r#"
        [[source]]
        name = "flexprice"
        provider = "flexprice"
        auth = {{ scheme = "standard-webhooks", secret = "{SECRET}" }}
        plugins = {plugins:?}
        [[endpoint]]
        name = "sink"
        url = "http://{sink}/"
        secret = "{SECRET}"
        {dead}
        "#
    )
}

/// One line of the result.
fn tell(what: &str, count: u64, within: Duration, latency: &Histogram<u64>) {
    let ms = |quantile| latency.value_at_quantile(quantile) as f64 / 1e6;
    println!(
        "{what:<10} {:.0}/s ({count}); ms after sending: p50 {:.2}, p95 {:.2}, p99 {:.2}, max {:.2}",
        count as f64 / within.as_secs_f64(),
        ms(0.5),
        ms(0.95),
        ms(0.99),
        latency.max() as f64 / 1e6,
    );
}

/// What the senders do.
#[derive(Clone, Copy)]
struct Load {
    to: SocketAddr,
    /// The number of the first webhook.
    first: u64,
    /// How many at most.
    most: u64,
    begun: Instant,
    seconds: Duration,
    /// Webhooks a second; 0: as fast as they are answered.
    rate: u32,
    senders: usize,
    /// What times in bodies count from.
    zero: Instant,
}

/// What came of it.
struct Sent {
    /// From sending to the answer 200, in nanoseconds.
    latency: Histogram<u64>,
    refused: u64,
    /// Nanoseconds of the processor that sending took.
    cpu: u64,
}

impl Sent {
    fn accepted(&self) -> u64 {
        self.latency.len()
    }
}

impl Load {
    /// Sends from this thread alone, so that its time can be told apart.
    fn send(self) -> anyhow::Result<Sent> {
        let before = cpu(ClockId::ThreadCPUTime);
        let next = Arc::new(AtomicU64::new(0));
        let mut all = Sent { latency: histogram(), refused: 0, cpu: 0 };
        runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let mut senders: JoinSet<_> = (0..self.senders).map(|_| self.sender(Arc::clone(&next))).collect();
            while let Some(sent) = senders.join_next().await {
                let (latency, refused) = sent??;
                all.latency.add(latency)?;
                all.refused += refused;
            }
            anyhow::Ok(())
        })?;
        Ok(Sent { cpu: cpu(ClockId::ThreadCPUTime) - before, ..all })
    }

    /// One connection. Tells latencies of what was accepted, and how much was not.
    async fn sender(self, next: Arc<AtomicU64>) -> anyhow::Result<(Histogram<u64>, u64)> {
        let (key, clock) = (standard_key(SECRET)?, Clock::system());
        let stream = TcpStream::connect(self.to).await?;
        stream.set_nodelay(true)?;
        let (mut requests, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let (mut latency, mut refused) = (histogram(), 0);
        loop {
            let number = next.fetch_add(1, Relaxed);
            let due = match self.rate {
                0 => Instant::now(),
                rate => self.begun + Duration::from_secs_f64(number as f64 / f64::from(rate)),
            };
            if number >= self.most || due >= self.begun + self.seconds {
                break;
            }
            sleep_until(due).await;
            let (sent, number) = (self.zero.elapsed().as_nanos(), self.first + number);
            let body = BODY.replace('@', &format!("{number}-{sent}"));
            let (id, timestamp) = (format!("msg_{number}"), clock.now().secs());
            let request = Request::post("/in/flexprice")
                .header("host", "line")
                .header("content-type", "application/json")
                .header("webhook-signature", sign_v1(&key, &id, timestamp, body.as_bytes()))
                .header("webhook-id", id)
                .header("webhook-timestamp", timestamp)
                .body(Full::new(Bytes::from(body)))?;
            requests.ready().await?;
            let answer = requests.send_request(request).await?;
            let status = answer.status();
            answer.into_body().collect().await?;
            match status {
                StatusCode::OK => latency.record((self.zero.elapsed().as_nanos() - sent) as u64)?,
                _ => refused += 1,
            }
        }
        drop(requests);
        connection.await??;
        Ok((latency, refused))
    }
}

/// The endpoint.
struct Sink {
    /// What times in bodies count from.
    zero: Instant,
    /// Between the sink's thread and the one that waits for it.
    seen: Mutex<Seen>,
    /// Nanoseconds of the processor that the sink's thread took.
    cpu: AtomicU64,
}

/// What the endpoint got.
struct Seen {
    numbers: HashSet<u64>,
    /// Deliveries whose number was there before.
    repeats: u64,
    /// From sending to delivered, in nanoseconds.
    latency: Histogram<u64>,
    last: Option<Instant>,
}

impl Seen {
    fn new() -> Seen {
        Seen { numbers: HashSet::new(), repeats: 0, latency: histogram(), last: None }
    }
}

impl Sink {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers every delivery on this thread, for as long as the process lives.
    fn serve(self: Arc<Sink>, listener: TcpListener) -> anyhow::Result<()> {
        runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let sink = Arc::clone(&self);
                let service = service_fn(move |request| Arc::clone(&sink).answer(request));
                tokio::spawn(
                    server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        })
    }

    async fn answer(
        self: Arc<Sink>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let mut answer = Response::new(Full::default());
        let body = request.into_body().collect().await.map(|body| body.to_bytes());
        *answer.status_mut() = match body {
            Ok(body) if self.take(&body).is_some() => StatusCode::NO_CONTENT,
            _ => StatusCode::BAD_REQUEST,
        };
        self.cpu.store(cpu(ClockId::ThreadCPUTime), Relaxed);
        Ok(answer)
    }

    /// Counts a delivery; `None` if it is none of ours.
    fn take(&self, body: &[u8]) -> Option<()> {
        let (_, marked) = std::str::from_utf8(body).ok()?.split_once(MARK)?;
        let mut parts = marked.splitn(3, '-');
        let (number, sent): (u64, u64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let now = Instant::now();
        let mut seen = self.seen();
        if seen.numbers.insert(number) {
            let took = (now - self.zero).as_nanos() as u64 - sent;
            seen.latency.record(took).ok()?;
        } else {
            seen.repeats += 1;
        }
        seen.last = Some(now);
        Some(())
    }

    /// Returns once `count` webhooks were delivered.
    async fn drained(&self, count: u64) -> anyhow::Result<()> {
        let (most, pause) = DRAIN;
        let begun = Instant::now();
        loop {
            let delivered = self.seen().numbers.len() as u64;
            if delivered >= count {
                return Ok(());
            }
            ensure!(begun.elapsed() < most, "{delivered} of {count} were delivered within {most:?}");
            sleep(pause).await;
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are allowed")
}

/// Nanoseconds of the processor that a process took (`proc_pid_stat(5)`); `None`: this one.
fn cpu_of(process: Option<u32>) -> anyhow::Result<u64> {
    let Some(id) = process else { return Ok(cpu(ClockId::ProcessCPUTime)) };
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    // After the name, which ends with the last parenthesis: `utime` and `stime` are fields 14 and 15 of all.
    let after = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<u64> = after.skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
    ensure!(ticks.len() == 2, "/proc/{id}/stat has no times");
    Ok(ticks.iter().sum::<u64>() * (1_000_000_000 / TICKS))
}

/// Nanoseconds.
fn cpu(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The median time to write 4 KiB and have them on the disk.
fn flush(dir: &Path) -> anyhow::Result<Duration> {
    let mut file = std::fs::File::create(dir.join("flush"))?;
    let mut times = Vec::new();
    for _ in 0..101 {
        file.write_all(&[0; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort();
    times.get(times.len() / 2).copied().context("there are times")
}
