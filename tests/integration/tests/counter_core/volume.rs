//! Volumes that are full.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use hyper::Method;
use synccluster_harness::eventually;
use synccluster_integration::counter::{Nodes, PATIENCE, like};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
    time::timeout,
};

use crate::NODE;

#[tokio::test]
async fn a_full_volume_refuses_likes_and_loses_none_that_was_acknowledged() -> Result<()> {
    let mut nodes = Nodes::start(NODE, 1, &[]).await?;
    nodes.stop(0).await?;
    // A limit of the file's size stands in for the volume's: the kernel's answer is as final.
    nodes.run_as(0, &["trap '' XFSZ; ulimit -f 40;"]).await?;
    let (acknowledged, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for n in 0.. {
        let likes: Vec<_> = (0..97).map(|m| like("tea", &format!("c/{}", n * 97 + m))).collect();
        let answer = nodes.ask(0, Method::POST, "/likes", Some(&likes.into())).await?;
        if answer.status.is_success() {
            acknowledged.fetch_add(97, Ordering::Relaxed);
        } else {
            answer.problem(507, "volume-full")?;
            if refused.fetch_add(1, Ordering::Relaxed) == 3 {
                break;
            }
        }
    }
    let acknowledged = acknowledged.into_inner();
    ensure!(acknowledged > 97, "{acknowledged}");
    let expected = BTreeMap::from([("tea".to_owned(), i64::try_from(acknowledged)?)]);
    nodes.agree(&expected).await?;
    ensure!(nodes.status(0).await?.error.is_some_and(|error| error.contains("full")));
    nodes.kill(0).await?;
    nodes.run(0).await?;
    nodes.agree(&expected).await?;
    nodes.like(0, &like("tea", "d/1")).await.map(drop)
}

/// Waits until nothing is wrong, the snapshot included.
async fn well(nodes: &Nodes) -> Result<()> {
    eventually(PATIENCE, async || {
        let error = nodes.status(0).await?.error;
        ensure!(error.is_none(), "{error:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_is_said_and_blamed_for_a_full_log() -> Result<()> {
    let nodes = Nodes::start(NODE, 1, &["--segment-bytes", "20000", "--log-bytes", "60000"]).await?;
    // Where the new snapshot would be written is a folder: likes are written as before.
    let obstacle = nodes.nodes[0].data.join("snapshot.new");
    fs::create_dir(&obstacle)?;
    let mut acknowledged = 0;
    let detail = eventually(PATIENCE, async || {
        let likes: Vec<_> = (0..97)
            .map(|n| like("tea", &format!("c/{}", acknowledged + n)))
            .collect();
        let answer = nodes.ask(0, Method::POST, "/likes", Some(&likes.into())).await?;
        if answer.status.is_success() {
            acknowledged += 97;
            bail!("the log is not full yet");
        }
        let detail = answer.problem(507, "log-full")?["detail"].to_string();
        ensure!(detail.contains("no snapshot is written"), "{detail}");
        Ok(detail)
    })
    .await?;
    ensure!(detail.contains("check the volume"), "{detail}");
    let error = nodes.status(0).await?.error.unwrap_or_default();
    ensure!(error.contains("no snapshot is written"), "{error}");
    fs::remove_dir(&obstacle)?;
    eventually(PATIENCE, async || nodes.like(0, &like("tea", "room/1")).await).await?;
    well(&nodes).await?;
    nodes
        .agree(&BTreeMap::from([("tea".to_owned(), acknowledged + 1)]))
        .await
}

/// A volume of 2 MB in a mount namespace of its own, which lasts while this does.
struct Volume {
    holder: Child,
    data: PathBuf,
}

impl Volume {
    async fn at(data: &Path) -> Result<Self> {
        let mount = "mount -t tmpfs -o size=2m none \"$0\" && echo mounted && exec sleep 3600";
        let mut holder = Command::new("unshare")
            .args(["--mount", "setpriv", "--pdeathsig=KILL", "--", "sh", "-c", mount])
            .arg(data)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut said = [0; 8];
        let out = holder.stdout.as_mut().context("no output")?;
        timeout(PATIENCE, out.read_exact(&mut said))
            .await?
            .context("mounting a volume needs root")?;
        Ok(Self {
            holder,
            data: data.to_owned(),
        })
    }

    fn pid(&self) -> Result<u32> {
        self.holder.id().context("the holder has ended")
    }

    /// What a node's process is begun with.
    fn within(&self) -> Result<String> {
        Ok(format!("exec nsenter --mount --target {} \"$0\" \"$@\";", self.pid()?))
    }

    fn ballast(&self) -> Result<PathBuf> {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid()?));
        Ok(root.join(self.data.strip_prefix("/")?).join("ballast"))
    }

    /// Leaves no byte, or gives all back.
    fn fill(&self, full: bool) -> Result<()> {
        if !full {
            return Ok(fs::remove_file(self.ballast()?)?);
        }
        let mut file = File::create(self.ballast()?)?;
        loop {
            match file.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[tokio::test]
async fn a_volume_without_a_byte_left_refuses_likes_and_goes_on_when_there_is_room() -> Result<()> {
    let mut nodes = Nodes::start(NODE, 1, &["--segment-bytes", "20000"]).await?;
    nodes.kill(0).await?;
    let data = nodes.nodes[0].data.clone();
    fs::remove_dir_all(&data)?;
    fs::create_dir(&data)?;
    let volume = Volume::at(&data).await?;
    let within = volume.within()?;
    nodes.run_as(0, &[&within]).await?;
    let (mut acknowledged, mut number) = (0, 0);
    for round in 0..3 {
        // The last page of the log has some room yet; segments and snapshots do not fit any more.
        if round > 0 {
            volume.fill(true)?;
        }
        let mut refused = 0;
        while refused < 3 && (round > 0 || number < 20_000) {
            let likes: Vec<_> = (0..97).map(|n| like("tea", &format!("c/{}", number + n))).collect();
            number += 97;
            let answer = nodes.ask(0, Method::POST, "/likes", Some(&likes.into())).await?;
            if answer.status.is_success() {
                acknowledged += 97;
            } else {
                let detail = answer.problem(507, "volume-full")?["detail"].to_string();
                ensure!(
                    detail.contains("No space left on device") && detail.contains("make room"),
                    "{detail}"
                );
                refused += 1;
            }
        }
        let expected = BTreeMap::from([("tea".to_owned(), acknowledged)]);
        nodes.agree(&expected).await?;
        if round == 0 {
            continue;
        }
        ensure!(nodes.status(0).await?.error.is_some_and(|error| error.contains("full")));
        if round == 2 {
            // Asked to stop, it writes no snapshot; killed, it starts from what is there.
            nodes.stop(0).await?;
            ensure!(nodes.said(0).contains("no snapshot"), "{}", nodes.said(0));
            nodes.run_as(0, &[&within]).await?;
            nodes.agree(&expected).await?;
        }
        volume.fill(false)?;
        nodes.like(0, &like("tea", &format!("room/{round}"))).await?;
        acknowledged += 1;
        nodes.agree(&BTreeMap::from([("tea".to_owned(), acknowledged)])).await?;
        well(&nodes).await?;
    }
    // An empty folder on a full volume cannot become a node's; the message says what to look at.
    nodes.kill(0).await?;
    let root = volume.ballast()?.with_file_name("");
    for file in fs::read_dir(&root)? {
        fs::remove_file(file?.path())?;
    }
    volume.fill(true)?;
    let _ = timeout(Duration::from_secs(5), nodes.run_as(0, &[&within])).await;
    ensure!(!nodes.ended(0).await?.success());
    let said = nodes.said(0);
    ensure!(
        said.contains("No space left on device") && said.contains("volume"),
        "{said}"
    );
    volume.fill(false)?;
    nodes.run_as(0, &[&within]).await?;
    nodes.like(0, &like("tea", "new/1")).await?;
    nodes.agree(&BTreeMap::from([("tea".to_owned(), 1)])).await
}
