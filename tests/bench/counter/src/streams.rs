//! Kafka Streams: fetched from Maven Central, compiled with the JDK that is there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

const SOURCE: &str = "tests/bench/counter/streams";
const BUILT: &str = "target/bench/streams";

/// Builds it, unless it is built.
pub fn build() -> Result<()> {
    ensure!(
        Path::new(SOURCE).is_dir(),
        "{SOURCE} is missing; run this in the repository's root, by make bench-counter"
    );
    let jars = Path::new(BUILT).join("jars");
    if !jars.is_dir() {
        let fetched = Path::new(BUILT).join("fetched");
        let to = format!("-DoutputDirectory={}", std::path::absolute(&fetched)?.display());
        run(Command::new("mvn").args([
            "-B",
            "-q",
            "-f",
            &format!("{SOURCE}/pom.xml"),
            "dependency:copy-dependencies",
            &to,
        ]))?;
        fs::rename(fetched, &jars)?;
    }
    run(Command::new("javac").args([
        "-cp",
        &format!("{}/*", jars.display()),
        "-d",
        BUILT,
        &format!("{SOURCE}/Windows.java"),
    ]))
}

/// What runs it.
pub fn command(
    bootstrap: &str,
    application: &str,
    likes: &str,
    aggregations: &str,
    threads: &str,
    store: &str,
    state: &Path,
) -> Command {
    let class_path = format!("{BUILT}:{}", PathBuf::from(BUILT).join("jars/*").display());
    let mut java = Command::new("java");
    java.args([
        "-Xmx512m",
        "-cp",
        &class_path,
        "Windows",
        bootstrap,
        application,
        likes,
        aggregations,
        threads,
        store,
    ])
    .arg(state);
    java
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("starting {name} (Debian: maven openjdk-17-jdk-headless)"))?;
    ensure!(
        status.success(),
        "{name} failed; is Maven Central (or a mirror in ~/.m2/settings.xml) in reach?"
    );
    Ok(())
}
