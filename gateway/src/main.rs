//! The `billhook` program: reads the command line, runs it, and says how it ended.

use gateway::cli::terminal::harmless_lines;
use gateway::cli::{self, Cli, EX_USAGE};
use gateway::config::mistake::Mistakes;
use libmimalloc_sys::{mi_option_get, mi_option_set, mi_option_t};
use std::ffi::c_long;
use std::process::ExitCode;

/// The system's allocator cost a seventh of a loaded gateway's time. Without huge pages, which would double what an
/// idle one keeps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Options of mimalloc 2: the number in the enumeration of its `mimalloc.h`, its own value, and ours. Another value that
/// the environment gives (`MIMALLOC_PURGE_DELAY` and the like) stands.
const OPTIONS: [(mi_option_t, c_long, c_long); 4] = [
    // `purge_delay`: for how many milliseconds what is freed stays the process's. Under load it is wanted again within
    // this: two of three page faults less, 3 % of the time, for some 5 MB.
    (15, 10, 50),
    // What a thread leaves behind that ends: its free pages go to the system (`abandoned_page_purge`), and no other thread
    // looks for room in it (`max_segment_reclaim`) but the one that frees something in it (`abandoned_reclaim_on_free`).
    // sled has 23 MB of counters that it never counts in. In memory that is new they are never touched, in what was left
    // behind they are written with zeros.
    (12, 0, 1),
    (21, 10, 0),
    (26, 0, 1),
];

#[expect(unsafe_code, reason = "the allocator's options are set over C")]
fn set_up_allocator() {
    for (option, default, ours) in OPTIONS {
        // SAFETY: both check the option's number, and there is no other thread yet.
        unsafe {
            if mi_option_get(option) == default {
                mi_option_set(option, ours);
            }
        }
    }
}

fn main() -> ExitCode {
    set_up_allocator();
    let cli = match Cli::read(std::env::args_os()) {
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

/// An error with what caused it, numbered, or each mistake of a configuration on its line. What others said may be in
/// it.
fn report(error: &anyhow::Error) {
    if let Some(mistakes) = error.downcast_ref::<Mistakes>() {
        let n = mistakes.list.len();
        let mistakes = mistakes.to_string();
        let mistakes = harmless_lines(&mistakes);
        eprintln!("{mistakes}\n{n} {} in the configuration", if n == 1 { "mistake" } else { "mistakes" });
        return;
    }
    eprintln!("error: {}", harmless_lines(&error.to_string()));
    for (n, cause) in error.chain().skip(1).enumerate() {
        eprintln!("  caused by ({}): {}", n + 1, harmless_lines(&cause.to_string()));
    }
}
