//! `synccluster-counter`: a counter node, and a client of one.

use std::process::ExitCode;

fn main() -> ExitCode {
    synccluster_counter::command::main()
}
