//! The `billhook` program: reads the command line, runs it, and says how it ended.

use gateway::cli::{self, Cli, EX_USAGE};
use gateway::config::mistake::Mistakes;
use std::process::ExitCode;

/// The system's allocator cost a seventh of a loaded gateway's time. Without huge pages, which would double what an
/// idle one keeps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(shown) => {
            // Help and version are no errors. A closed output leaves nobody to tell.
            let _ = shown.print();
            return ExitCode::from(if shown.use_stderr() { EX_USAGE } else { 0 });
        }
    };
    match cli::run(cli) {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::from(cli::exit_code(&error))
        }
    }
}

/// An error with what caused it, numbered, or each mistake of a configuration on its line.
fn report(error: &anyhow::Error) {
    if let Some(mistakes) = error.downcast_ref::<Mistakes>() {
        let n = mistakes.list.len();
        eprintln!("{mistakes}\n{n} {} in the configuration", if n == 1 { "mistake" } else { "mistakes" });
        return;
    }
    eprintln!("error: {error}");
    for (n, cause) in error.chain().skip(1).enumerate() {
        eprintln!("  caused by ({}): {cause}", n + 1);
    }
}
