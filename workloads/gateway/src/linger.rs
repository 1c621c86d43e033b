//! A connection that ends in a way that lets its peer read the answer. Who has sent what nobody read, such as the rest of a body that is too
//! large, is otherwise answered by a reset, which takes an answer away that he has not read yet.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

/// The peer has ended when nothing came for so long.
const QUIET: Duration = Duration::from_secs(1);
/// And what he sends is thrown away for so long,
const AT_MOST: Duration = Duration::from_secs(10);
/// and so much of it.
const BYTES: usize = 64 * 1024 * 1024;
/// At a time, on the stack.
const PIECE: usize = 8 * 1024;

/// A connection of the web port.
pub struct Lingering {
    stream: TcpStream,
    end: Option<End>,
}

/// What is still read after the last word of ours.
struct End {
    quiet: Pin<Box<Sleep>>,
    over: Instant,
    left: usize,
}

impl Lingering {
    /// Around a connection.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, end: None }
    }

    /// The connection by itself, for who ends it otherwise.
    pub fn into_inner(self) -> TcpStream {
        self.stream
    }
}

impl End {
    fn new() -> Self {
        Self {
            quiet: Box::pin(sleep(QUIET)),
            over: Instant::now() + AT_MOST,
            left: BYTES,
        }
    }

    /// Throws away what comes, until the peer ends too or has had his time.
    fn poll(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut piece = [0; PIECE];
            let mut read = ReadBuf::new(&mut piece);
            match Pin::new(&mut *stream).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    let now = Instant::now();
                    self.left = self.left.saturating_sub(read.filled().len());
                    if self.left == 0 || now >= self.over {
                        return Poll::Ready(());
                    }
                    self.quiet.as_mut().reset(self.over.min(now + QUIET));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.quiet.as_mut().poll(cx),
            }
        }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.end.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        let end = this.end.get_or_insert_with(End::new);
        end.poll(&mut this.stream, cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time,
    };

    use super::*;

    async fn pair() -> (Lingering, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (dialled, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (Lingering::new(accepted.unwrap().0), dialled.unwrap())
    }

    #[tokio::test]
    async fn who_sends_on_reads_the_answer_and_a_clean_end() {
        let (mut ours, mut peer) = pair().await;
        let sends = async {
            for _ in 0..1_600 {
                peer.write_all(&[b'x'; PIECE]).await.unwrap();
            }
            let mut answer = String::new();
            peer.read_to_string(&mut answer).await.unwrap();
            drop(peer);
            answer
        };
        let answers = async {
            ours.read_exact(&mut [0; 10]).await.unwrap();
            ours.write_all(b"too much").await.unwrap();
            ours.shutdown().await.unwrap();
            drop(ours);
        };
        let (answer, ()) = tokio::join!(sends, answers);
        assert_eq!(answer, "too much");
    }

    #[tokio::test]
    async fn who_says_nothing_and_stays_is_left_soon_and_who_never_stops_later() {
        let (mut ours, peer) = pair().await;
        // By a clock that goes on when there is nothing else to do.
        time::pause();
        let began = Instant::now();
        ours.shutdown().await.unwrap();
        assert!((QUIET..AT_MOST).contains(&began.elapsed()), "{:?}", began.elapsed());
        time::resume();
        drop(peer);

        let (mut ours, mut peer) = pair().await;
        let sending = tokio::spawn(async move {
            let mut sent = 0;
            while peer.write_all(&[b'x'; PIECE]).await.is_ok() {
                sent += PIECE;
            }
            sent
        });
        let began = Instant::now();
        ours.shutdown().await.unwrap();
        let took = began.elapsed();
        drop(ours);
        let sent = sending.await.unwrap();
        assert!(sent >= BYTES || took >= AT_MOST, "left after {sent} bytes and {took:?}");
    }
}
