//! The gateway as the bench needs it: without sites, and each line of its control connection is an event of its bus.

use std::sync::Arc;

use anyhow::Result;
use synccluster_gateway::{
    app::App,
    live::bus::{Kind, News},
    serve::serve,
    sites::Sites,
    sockets::{
        MOST,
        seats::{Most, Seats},
    },
};
use synccluster_protocol::Site;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
};

/// Serves until its standard input ends: it does not outlive the bench.
pub async fn run() -> Result<()> {
    let mut app = App::new("bench".parse()?, Sites::new([].into()), "127.0.0.1:1".to_owned());
    // All clients of the bench are one caller, at one address.
    app.sockets = Seats::new(&Most {
        all: 2 * MOST.all,
        caller: 2 * MOST.all,
        ..MOST
    });
    let app = Arc::new(app);
    let web = TcpListener::bind("127.0.0.1:0").await?;
    let control = TcpListener::bind("127.0.0.1:0").await?;
    println!("{} {}", web.local_addr()?.port(), control.local_addr()?.port());
    let serving = tokio::spawn(serve(Arc::clone(&app), web));
    loop {
        let (stream, _) = control.accept().await?;
        let mut lines = BufReader::new(stream).lines();
        while let Some(line) = lines.next_line().await? {
            app.live.bus.publish(News {
                kind: Kind::Hop,
                table: Some("public.todos".into()),
                site: Some(Site::Client(1)),
                data: line.into(),
                relayed: false,
            });
        }
        if serving.is_finished() {
            return Ok(());
        }
    }
}
