//! Assembly: binds, wires, starts and drains the parts. The only file that knows every other one.

pub mod descriptors;
mod directory;
pub mod load;
pub mod token;

use crate::admin::{self, Admin, EndpointInfo, Phase};
use crate::clock::Clock;
use crate::config::{Config, KEPT_DIR, StoreUrl};
use crate::deliver::{Deliver, Endpoints};
use crate::dispatch::in_flight::InFlight;
use crate::dispatch::rehearsal::Rehearsal;
use crate::dispatch::{Dispatcher, Lines};
use crate::ingest::{self, Ingest};
use crate::model::endpoint::Endpoint;
use crate::model::id::WebhookId;
use crate::outbound::Outbound;
use crate::outbound::address::Policy;
use crate::plugins::Compiler;
use crate::plugins::roster::Kept;
use crate::replay::Replay;
use crate::server::directory::Watcher;
use crate::store::crash::{Point, crash_point};
use crate::store::sled::{Options as SledOptions, SledStore};
use crate::store::{Shared, StoreError};
use crate::worker::pulse::{Pulse, Pulses};
use crate::worker::{Patience, Stop, Stopper, Wake, said, supervise, unwound};
use anyhow::{Context, anyhow, bail};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

/// The sockets that a gateway listens on.
#[derive(Debug)]
pub struct Listeners {
    /// For providers.
    pub ingest: TcpListener,
    /// For operators.
    pub admin: TcpListener,
}

impl Listeners {
    /// Binds what the configuration says; port 0 takes a free one.
    ///
    /// # Errors
    /// Whatever the system says, with the setting that named the address.
    pub async fn bind(config: &Config) -> io::Result<Listeners> {
        let bind = async |key: &str, addr: SocketAddr| {
            TcpListener::bind(addr).await.map_err(|error| {
                io::Error::new(error.kind(), format!("cannot listen on {addr} (`{key}`): {error}"))
            })
        };
        Ok(Listeners {
            ingest: bind("ingest.listen", config.ingest.listen).await?,
            admin: bind("admin.listen", config.admin.listen).await?,
        })
    }
}

/// A gateway that runs. Dropping it stops everything at once: what was acknowledged is safe, what was under way runs
/// again.
pub struct Running {
    ingest: SocketAddr,
    admin: SocketAddr,
    /// Also what writes refused requests.
    accepting: Arc<Ingest>,
    store: Shared,
    dispatch: Wake,
    deliver: Wake,
    replay: Wake,
    /// Of the watched directory, if there is one.
    watch: Option<Wake>,
    /// Stopped in this order: a webhook that is being accepted may still be dispatched, and an operator can ask how it
    /// goes until all is done.
    ingest_face: (Stopper, JoinSet<()>),
    passes: (Stopper, JoinSet<()>),
    admin_face: (Stopper, JoinSet<()>),
    phase: watch::Sender<Phase>,
    failed: watch::Receiver<Option<String>>,
}

/// Starts a gateway. When it returns, both listeners are served and what a crash left behind is being worked on.
///
/// `compiler` says who compiles plugins that the cache does not have.
///
/// # Errors
/// A store that does not open, a plugin that does not load, or a configuration that names what is not there; each
/// says which and what to do.
pub async fn start(
    config: Config,
    listeners: Listeners,
    clock: Clock,
    compiler: Compiler,
) -> anyhow::Result<Running> {
    let ingest_addr = listeners.ingest.local_addr().context("the ingest listener has no address")?;
    let admin_addr = listeners.admin.local_addr().context("the admin listener has no address")?;
    let dir = &config.data_dir;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create `data_dir` {}", dir.display()))?;
    let token = token::admin_token(&config)?;
    let policy = Policy { allow: config.network.allow.clone(), own: vec![ingest_addr, admin_addr] };
    let outbound = Outbound::new(policy)?;
    let loading = load::Options {
        cache_dir: Some(dir.join("plugin-cache")),
        compiler,
        kept: Kept::at(dir.join(KEPT_DIR)),
        outbound: Some(outbound.clone()),
    };
    let loaded = load::load(config.clone(), loading, clock.clone()).await?;
    loaded.ways(&config).for_each(|way| tracing::info!("{way}"));
    loaded.refused.iter().for_each(|why| tracing::error!("{why}"));
    let roster = loaded.roster;
    let store = open_store(&config).await?;

    let (in_flight, suspects) = recover(dir, &store).await?;

    let endpoints = Arc::new(Endpoints::new(config.endpoints.clone())?.with_steps(loaded.steps));
    let (dispatch, dispatch_woken) = Wake::new();
    let (deliver, deliver_woken) = Wake::new();
    let (replay, replay_woken) = Wake::new();

    let mut options = ingest::Options {
        max_body: config.ingest.max_body,
        trusted_proxies: config.ingest.trusted_proxies.clone(),
        ..ingest::Options::default()
    };
    options.connections_max = descriptors::connections(options.connections_max);
    let ingest =
        Arc::new(Ingest::new(Arc::clone(&store), clock.clone(), dispatch.clone(), loaded.inlets, options));

    let lines = Arc::new(Lines { lines: loaded.lines, endpoints: config.endpoints.clone() });
    let dispatcher = Arc::new(Dispatcher::new(
        Arc::clone(&store),
        clock.clone(),
        Arc::clone(&lines),
        deliver.clone(),
        in_flight,
        suspects,
    ));
    // Now nothing keeps it from serving.
    let enlisted = Arc::clone(&roster);
    tokio::task::spawn_blocking(move || enlisted.write_down())
        .await
        .context("keeping the plugins panicked")?;
    roster.on_change({
        let (dispatcher, dispatch) = (Arc::clone(&dispatcher), dispatch.clone());
        let deliver = deliver.clone();
        move |plugin| {
            dispatcher.plugin_changed(plugin);
            dispatch.wake();
            deliver.wake();
        }
    });
    let (shadows, breakers) = (dispatcher.shadows(), dispatcher.breakers());
    let delivery = Deliver::new(Arc::clone(&store), clock.clone(), outbound, endpoints);
    let replaying = Replay::new(Arc::clone(&store), clock.clone(), dispatch.clone(), deliver.clone());
    let mut passes = Passes::new();
    passes.keep("dispatch", &dispatch, move |stop| {
        let (dispatcher, woken) = (Arc::clone(&dispatcher), dispatch_woken.clone());
        async move { dispatcher.run(woken, stop).await }
    });
    passes.keep("deliver", &deliver, move |stop| delivery.clone().run(deliver_woken.clone(), stop));
    passes.keep("replay", &replay, move |stop| replaying.clone().run(replay_woken.clone(), stop));
    let refusing = Arc::clone(&ingest);
    passes.keep("refused", &ingest.refused_wake(), move |stop| {
        let ingest = Arc::clone(&refusing);
        async move { ingest.keep_refused(stop).await }
    });
    let watch = config.watch.clone().map(|dir| {
        let watcher = Arc::new(Watcher::new(dir, Arc::clone(&roster), clock.clone()));
        let (watch, woken) = Wake::new();
        passes.keep("watch", &watch, move |stop| {
            let (watcher, woken) = (Arc::clone(&watcher), woken.clone());
            async move { watcher.run(woken, stop).await }
        });
        watch
    });
    let Passes { stopper, tasks, failing, failed, pulses, .. } = passes;

    let (phase, phase_seen) = watch::channel(Phase::Up);
    let readmitting = Arc::clone(&ingest);
    let rehearsal = Rehearsal::new(Arc::clone(&store), clock.clone(), lines);
    let router = admin::router(Admin {
        rehearsal,
        shadows,
        breakers,
        store: Arc::clone(&store),
        clock,
        dispatch: dispatch.clone(),
        deliver: deliver.clone(),
        replay: replay.clone(),
        readmit: Arc::new(move |id| {
            let ingest = Arc::clone(&readmitting);
            Box::pin(async move { ingest.readmit(id).await })
        }),
        sources: config.sources.iter().map(|source| source.name.clone()).collect(),
        endpoints: config.endpoints.iter().map(shown).collect(),
        plugins: roster,
        token,
        listens_on: admin_addr.ip(),
        phase: phase_seen,
        pulses,
    });
    let serving = Arc::clone(&ingest);
    let ingest_face =
        face(
            failing.clone(),
            move |stop| async move { serving.serve(listeners.ingest, stop.stopped()).await },
        );
    let admin_face =
        face(failing, move |stop| async move { admin::serve(router, listeners.admin, stop.stopped()).await });

    dispatch.wake();
    deliver.wake();
    Ok(Running {
        ingest: ingest_addr,
        admin: admin_addr,
        accepting: ingest,
        store,
        dispatch,
        deliver,
        replay,
        watch,
        ingest_face,
        passes: (stopper, tasks),
        admin_face,
        phase,
        failed,
    })
}

impl Running {
    /// Where providers post.
    pub fn ingest_addr(&self) -> SocketAddr {
        self.ingest
    }

    /// Where operators ask.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// What it keeps.
    pub fn store(&self) -> Shared {
        Arc::clone(&self.store)
    }

    /// Returns once nothing is due at the clock's time and nothing is under way: what was accepted before has been
    /// dispatched and tried, and what was refused a second before is written.
    pub async fn settle(&self) {
        if let Some(watch) = &self.watch {
            watch.settled().await;
        }
        self.accepting.refused_settled().await;
        self.replay.settled().await;
        self.dispatch.settled().await;
        self.deliver.settled().await;
    }

    /// Returns when a pass died for good, with the reason: then the process should end.
    pub async fn failed(&self) -> String {
        match self.failed.clone().wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            // All loops ended well, which only a stop makes them do.
            Err(_) => std::future::pending().await,
        }
    }

    /// Stops in order: accepts nothing more, finishes what is in flight, closes the store and marks it as clean. Senders
    /// have a third of the time: what they were not told is stored they send again. What is in flight has two thirds:
    /// what is given up then runs again after the next start.
    ///
    /// # Errors
    /// When the store is not closed within `deadline`.
    pub async fn stop(mut self, deadline: Duration) -> anyhow::Result<()> {
        self.phase.send_replace(Phase::Stopping);
        let in_order = async {
            let began = Instant::now();
            let parts = [
                (&mut self.ingest_face, began + deadline / 3, "requests of senders, who come again"),
                (
                    &mut self.passes,
                    began + deadline * 2 / 3,
                    "attempts, which run again after the next start",
                ),
                (&mut self.admin_face, began + deadline * 5 / 6, "requests of operators"),
            ];
            for ((stopper, tasks), until, under_way) in parts {
                stopper.stop();
                let ended = async { while tasks.join_next().await.is_some() {} };
                if timeout_at(until, ended).await.is_err() {
                    tracing::warn!(under_way, "what takes too long is given up");
                    tasks.shutdown().await;
                }
            }
            self.store.close().await
        };
        match timeout(deadline, in_order).await {
            Ok(closed) => closed.context("cannot close the store in order"),
            Err(_) => bail!(
                "the store was not closed within {deadline:?}: what was in flight runs again after the next start"
            ),
        }
    }
}

/// Looks at what was in the pipeline when the process died, if it did: those webhooks are suspected.
async fn recover(dir: &Path, store: &Shared) -> anyhow::Result<(Arc<InFlight>, Vec<WebhookId>)> {
    let path = dir.join("in-flight");
    let (in_flight, left) =
        InFlight::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let suspects = if store.was_clean() { Vec::new() } else { left };
    if !store.was_clean() {
        tracing::warn!(
            suspects = suspects.len(),
            "the gateway did not stop in order: what was under way runs again"
        );
    }
    crash_point(Point::InRecovery);
    store.suspect(suspects.clone()).await?;
    Ok((in_flight, suspects))
}

/// The loops, which end together, and what tells how they are.
struct Passes {
    stopper: Stopper,
    stop: Stop,
    tasks: JoinSet<()>,
    failing: watch::Sender<Option<String>>,
    failed: watch::Receiver<Option<String>>,
    pulses: Pulses,
}

impl Passes {
    fn new() -> Passes {
        let (stopper, stop) = Stop::new();
        let (failing, failed) = watch::channel(None);
        Passes { stopper, stop, tasks: JoinSet::new(), failing, failed, pulses: Pulses::default() }
    }

    /// Keeps the loop going that `start` gives and `wake` wakes.
    fn keep<F, E>(&mut self, name: &'static str, wake: &Wake, start: impl Fn(Stop) -> F + Send + 'static)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let stop = self.stop.clone();
        let pass = supervise(name, Patience::default(), move || start(stop.clone()));
        self.tasks.spawn(watched(self.failing.clone(), self.pulses.begin(name, wake), pass));
    }
}

/// What serves a listener, and what stops it. The gateway cannot go on without it.
fn face<F>(failing: watch::Sender<Option<String>>, serve: impl FnOnce(Stop) -> F) -> (Stopper, JoinSet<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (stopper, stop) = Stop::new();
    let mut tasks = JoinSet::new();
    let serving = unwound(serve(stop));
    tasks.spawn(async move {
        if let Err(panic) = serving.await {
            failing.send_replace(Some(format!("a listener panicked: {}", said(&*panic))));
        }
    });
    (stopper, tasks)
}

/// Runs a pass to its end and tells if that was not by being stopped.
async fn watched<E: std::error::Error + 'static>(
    failing: watch::Sender<Option<String>>,
    pulse: Pulse,
    pass: impl Future<Output = Result<(), E>>,
) {
    if let Err(error) = pass.await {
        let why = format!("{:#}", anyhow!(error.to_string()).context("a pass ended"));
        tracing::error!(why, "a pass ended for good");
        pulse.ended();
        failing.send_replace(Some(why));
    }
}

async fn open_store(config: &Config) -> anyhow::Result<Shared> {
    let StoreUrl::Sled = config.store.url;
    let options =
        SledOptions { min_free: config.store.min_free, ..SledOptions::at(config.data_dir.join("store")) };
    let opening: JoinHandle<Result<SledStore, StoreError>> =
        tokio::task::spawn_blocking(move || SledStore::open(options));
    Ok(Arc::new(opening.await.context("opening the store panicked")??))
}

fn shown(endpoint: &Endpoint) -> EndpointInfo {
    EndpointInfo {
        id: endpoint.id,
        name: endpoint.name.clone(),
        url: endpoint.shown_url(),
        secrets: if endpoint.rotates() { endpoint.secrets.clone() } else { Vec::new() },
        disable_after: endpoint.disable_after,
    }
}
