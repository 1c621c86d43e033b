//! A blocked link looks to a client like dropped packets, never like a refusal.

use std::time::Duration;

use anyhow::Result;
use synccluster_harness::{Link, Proxy, eventually_eq};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long what must happen may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long is waited for what must not happen.
const A_WHILE: Duration = Duration::from_millis(500);

/// Sends back what it gets.
async fn echo() -> Result<Proxy> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = Proxy::start(listener.local_addr()?).await?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    Ok(proxy)
}

async fn echoes(stream: &mut TcpStream, byte: u8, limit: Duration) -> bool {
    let mut back = [0];
    let round = async {
        stream.write_all(&[byte]).await?;
        stream.read_exact(&mut back).await
    };
    matches!(timeout(limit, round).await, Ok(Ok(_))) && back == [byte]
}

/// What a dial is answered, if it is.
async fn dials(proxy: &Proxy) -> Option<std::io::Result<TcpStream>> {
    timeout(A_WHILE, TcpStream::connect(proxy.address())).await.ok()
}

#[tokio::test]
async fn blocks_new_lets_the_established_live_and_answers_no_dial() -> Result<()> {
    let proxy = echo().await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    assert!(echoes(&mut stream, 1, PATIENCE).await);
    proxy.set(Link::BlocksNew).await?;
    assert!(
        echoes(&mut stream, 2, PATIENCE).await,
        "an established connection stalled"
    );
    for _ in 0..3 {
        assert!(dials(&proxy).await.is_none(), "a dial got an answer");
    }
    assert_eq!(proxy.established(), 1);
    proxy.set(Link::Open).await?;
    assert!(echoes(&mut TcpStream::connect(proxy.address()).await?, 3, PATIENCE).await);
    Ok(())
}

#[tokio::test]
async fn blocked_stalls_the_established_which_resume_in_order() -> Result<()> {
    let proxy = echo().await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    assert!(echoes(&mut stream, 1, PATIENCE).await);
    proxy.set(Link::Blocked).await?;
    assert!(!echoes(&mut stream, 2, A_WHILE).await, "a byte got through");
    stream.write_all(&[3, 4]).await?;
    // One that waits in its dial gets through with the heal.
    let waiting = tokio::spawn(TcpStream::connect(proxy.address()));
    assert!(dials(&proxy).await.is_none(), "a dial got an answer");
    proxy.set(Link::Open).await?;
    let mut back = [0; 3];
    timeout(PATIENCE, stream.read_exact(&mut back)).await??;
    assert_eq!(back, [2, 3, 4]);
    assert!(echoes(&mut timeout(PATIENCE, waiting).await???, 5, PATIENCE).await);
    Ok(())
}

#[tokio::test]
async fn a_close_while_cut_is_counted_at_once_and_reaches_the_far_end_after_the_heal() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = Proxy::start(listener.local_addr()?).await?;
    let near = TcpStream::connect(proxy.address()).await?;
    let (mut far, _) = listener.accept().await?;
    eventually_eq(PATIENCE, 1, async || Ok(proxy.established())).await?;
    proxy.set(Link::Blocked).await?;
    drop(near);
    eventually_eq(PATIENCE, 0, async || Ok(proxy.established())).await?;
    assert!(
        timeout(A_WHILE, far.read(&mut [0])).await.is_err(),
        "the far end heard through the cut"
    );
    proxy.set(Link::Open).await?;
    assert_eq!(timeout(PATIENCE, far.read(&mut [0])).await??, 0);
    Ok(())
}

#[tokio::test]
async fn it_can_be_cut_and_healed_many_times() -> Result<()> {
    let proxy = echo().await?;
    for _ in 0..3 {
        proxy.set(Link::Blocked).await?;
        assert!(dials(&proxy).await.is_none());
        proxy.set(Link::Open).await?;
        assert!(echoes(&mut TcpStream::connect(proxy.address()).await?, 7, PATIENCE).await);
    }
    Ok(())
}
