//! The counter's binary, built with the tests that kill it.

use std::process::ExitCode;

fn main() -> ExitCode {
    synccluster_counter::command::main()
}
