//! A suite that nothing can fail is worth nothing: for each rule of stores and allocators, plugins that break it and no
//! other. The case of that rule must find each of them out, and no case of another rule may.

mod ids;
mod shared_memory;
mod store;
mod verdict;

use libtest_mimic::Arguments;
use std::process::ExitCode;

fn main() -> ExitCode {
    let trials = store::trials().into_iter().chain(ids::trials());
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}
