//! What is told to whom.

use anyhow::Result;
use serde_json::json;
use synccluster_gateway::live::bus::Kind;
use synccluster_integration::gateway::Gateway;
use synccluster_protocol::Site;

use crate::client::{Client, Place, Who, news};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_told_to_those_whom_it_concerns_under_its_name() -> Result<()> {
    let place = Place::new()?;
    let gateway = Gateway::serve(place.app()?).await?;
    let tell = |kind, site, table, data| gateway.app.live.bus.publish(news(kind, site, table, &data));
    for transports in ["polling", "websocket"] {
        let mut client = Client::scenario(Who::Node, &gateway, "kinds", transports)?;
        client.says("subscribed").await?;
        for (site, table) in [
            (Site::Client(1), "public.todos"),
            (Site::Server, "public.other"),
            (Site::Server, "public.todos"),
        ] {
            tell(Kind::Change, Some(site), Some(table), json!({ "of": site }));
            tell(Kind::Hop, Some(site), Some(table), json!({ "of": site }));
        }
        tell(Kind::Cluster, None, None, json!({ "name": "demo" }));
        tell(
            Kind::Reset,
            Some(Site::Client(2)),
            None,
            json!({ "reason": "elsewhere" }),
        );
        tell(Kind::Reset, None, None, json!({ "reason": "over" }));
        client.says("unsubscribed").await?;
        tell(
            Kind::Change,
            Some(Site::Server),
            Some("public.todos"),
            json!({ "of": "nobody" }),
        );
        tell(Kind::Cluster, None, None, json!({ "name": "nobody" }));
        client.go_on().await?;
        client.says("subscribed").await?;
        tell(Kind::Reset, None, None, json!({ "reason": "again" }));
        client.done().await?;
    }
    Ok(())
}
