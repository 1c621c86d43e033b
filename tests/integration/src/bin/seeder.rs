//! The seeder as a process of its own, so that a test can kill it.

use std::process::ExitCode;

fn main() -> ExitCode {
    synccluster_seeder::command::main()
}
