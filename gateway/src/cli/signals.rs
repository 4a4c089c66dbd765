//! The signals that end this program.

use std::future::poll_fn;
use std::io;
use std::process::ExitCode;
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that ends the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// As `kill -l` has it, with `SIG`.
    pub name: &'static str,
    /// 128 and its number, as shells have it.
    code: u8,
}

/// The terminal is gone.
pub const HANGUP: Ending = Ending { name: "SIGHUP", code: 129 };
/// Ctrl-C.
pub const INTERRUPT: Ending = Ending { name: "SIGINT", code: 130 };
/// What `kill` sends, and whoever supervises services.
pub const TERMINATE: Ending = Ending { name: "SIGTERM", code: 143 };

impl Ending {
    /// What the shell is told.
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// Ends the process without dropping the runtime, which would wait for what blocks.
    pub fn at_once(self) -> ! {
        std::process::exit(self.code.into())
    }
}

/// Listens for signals, which no longer end the process by themselves.
#[derive(Debug)]
pub struct Signals(Vec<(Ending, Signal)>);

impl Signals {
    /// Listens for these.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn listen(endings: &[Ending]) -> io::Result<Signals> {
        let of = |ending: &Ending| Ok((*ending, signal(SignalKind::from_raw((ending.code - 128).into()))?));
        endings.iter().map(of).collect::<io::Result<_>>().map(Signals)
    }

    /// The next signal. Dropping the future loses none.
    pub async fn next(&mut self) -> Ending {
        poll_fn(|context| {
            let came = self
                .0
                .iter_mut()
                .find_map(|(ending, signal)| signal.poll_recv(context).is_ready().then_some(*ending));
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
