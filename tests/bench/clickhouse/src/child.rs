//! The sink as a process of its own.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use synccluster_harness::{ClickHouse, Role};
use synccluster_integration::World;
use synccluster_protocol::Site;

/// It ends with this.
pub struct Sink(Child);

impl Sink {
    /// With the environment it has in a cluster.
    pub fn start(
        binary: &Path,
        world: &World,
        clickhouse: &ClickHouse,
        bootstrap: &str,
        generation: usize,
    ) -> Result<Self> {
        let child = Command::new(binary)
            .args([
                "run",
                "--cluster",
                world.cluster.as_str(),
                "--site",
                "server",
                "--listen",
                "127.0.0.1:0",
            ])
            .args([
                "--bootstrap-servers",
                bootstrap,
                "--generation",
                &generation.to_string(),
            ])
            .arg("--postgres-secret")
            .arg(world.at(Site::Server).postgres.secret_dir(Role::Connector))
            .arg("--clickhouse-secret")
            .arg(clickhouse.secret_dir())
            .env("MALLOC_ARENA_MAX", "1")
            .env("MALLOC_TRIM_THRESHOLD_", "262144")
            .env("RUST_LOG", "warn")
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        Ok(Self(child))
    }

    /// The most memory it has had, by /proc.
    pub fn peak_mb(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .context("no VmHWM")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kilobytes / 1024.0)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
