//! Ports of this machine for what a test starts.

use std::{
    fs::{self, File},
    net::TcpListener,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};
use rand::RngExt;

/// Where it is written who has which port. The locks are the kernel's: they end with their process, however that ends.
const TAKEN: &str = "synccluster-ports";
/// Held as long as this process runs.
static MINE: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port nobody listens on, outside the range the kernel takes for outgoing connections, and that no other test gets while this process runs:
/// so it is still free when its process has been stopped for a while and comes back.
pub fn free_port() -> Result<u16> {
    let first_outgoing = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse::<u16>().ok())
        .filter(|first| *first > 21_000)
        .unwrap_or(32_768);
    // Each user has a folder of his own: nobody else can write there.
    let folder = std::env::temp_dir().join(format!("{TAKEN}-{}", rustix::process::geteuid().as_raw()));
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    for _ in 0..200 {
        let port = rand::rng().random_range(20_000..first_outgoing);
        let lock = File::create(folder.join(port.to_string()))?;
        if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            MINE.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
            return Ok(port);
        }
    }
    bail!("found no free port between 20000 and {first_outgoing}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nobody_gets_a_port_that_somebody_else_has() {
        let ports: Vec<_> = (0..200).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.iter().collect::<HashSet<_>>().len(), ports.len());
    }
}
