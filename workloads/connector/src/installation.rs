//! Which of the databases that a site has one after the other this one is.

use synccluster_protocol::event::Installation;
use tokio_postgres::{Client, Error};

/// As `sync.sql` has written it down.
pub async fn read(client: &Client) -> Result<Installation, Error> {
    let row = client.query_one("select made from sync.installation", &[]).await?;
    Ok(Installation(row.get(0)))
}
