//! A plain COPY by a client that does nothing else.

use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use futures::{SinkExt as _, TryStreamExt as _, pin_mut};
use synccluster_harness::Role;

use crate::place::Place;

const COLUMNS: &str = "id, title, done, price, created_at";

/// The rows of the table, as COPY writes them.
pub async fn out(place: &Place) -> Result<Vec<Bytes>> {
    let client = place.server().connect(Role::App).await?;
    let stream = client
        .copy_out(&format!("copy (select {COLUMNS} from todos order by id) to stdout"))
        .await?;
    let rows: Vec<Bytes> = stream.try_collect().await?;
    Ok(rows.chunks(500).map(|rows| Bytes::from(rows.concat())).collect())
}

/// Seconds it takes to get them in, in one transaction.
pub async fn into(place: &Place, rows: Vec<Bytes>) -> Result<f64> {
    let client = place.server().connect(Role::App).await?;
    let began = Instant::now();
    let sink = client.copy_in(&format!("copy todos ({COLUMNS}) from stdin")).await?;
    pin_mut!(sink);
    for piece in rows {
        sink.send(piece).await?;
    }
    sink.finish().await?;
    Ok(began.elapsed().as_secs_f64())
}
