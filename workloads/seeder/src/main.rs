//! `synccluster-seeder`: fills the tables of a SyncCluster, keeps writing to them, and checks what became of it.

use std::process::ExitCode;

fn main() -> ExitCode {
    synccluster_seeder::command::main()
}
