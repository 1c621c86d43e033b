//! Namespace `/sites`: what happens at the sites, to whoever subscribes.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use serde_json::json;
use socketioxide::{
    SocketIo,
    extract::{AckSender, Data, SocketRef, TryData},
    handler::ConnectHandler,
};
use synccluster_protocol::Site;

use super::{
    frame::Frame,
    guests::{Credentials, Present, Refused, admit, ask_again, connected, farewell, reply, seat},
    interest::{Asked, Interest, MOST_NAMED},
    rooms::{self, Member, Rooms},
    session::{Session, Sessions},
};
use crate::{access::Caller, app::Shared, live::bus::News, metrics, problem::Problem};

/// Its name.
pub const NAMESPACE: &str = "/sites";
/// Rooms by what is asked for.
type Listeners = Arc<Rooms<Arc<Interest>>>;

/// Opens the namespace, and tells its clients what comes over the bus until the process stops.
pub fn open(io: &SocketIo, app: &Shared, sessions: &Arc<Sessions>, dropped: metrics::Value) {
    let listeners = Listeners::default();
    let admitted = {
        let (app, sessions, listeners) = (Arc::clone(app), Arc::clone(sessions), Arc::clone(&listeners));
        let there = app.metrics.gauge(
            "synccluster_gateway_sockets",
            "Socket.IO clients",
            &[("namespace", NAMESPACE)],
        );
        move |socket: SocketRef, TryData(credentials): TryData<Credentials>| {
            let caller = socket.req_parts().extensions.get::<Caller>();
            let admitted = admit(&app.access, caller, credentials.unwrap_or_default());
            let admitted = admitted.and_then(|caller| seat(&socket, &caller));
            // Here and not once it is connected: a client that is quick asks before what comes after that has run.
            if admitted.is_ok() {
                welcome(&app, &socket, &sessions, &listeners, Arc::new(Present::new(&there)));
            }
            async { admitted.map_err(|problem| Refused(problem.detail)) }
        }
    };
    io.ns(NAMESPACE, (async || {}).with(admitted));
    tokio::spawn(tell(Arc::clone(app), listeners, dropped));
    tokio::spawn(ask_again(io.clone(), NAMESPACE, Arc::clone(app), Arc::clone(sessions)));
}

/// What a client may ask for. A handler is kept by its socket: it must not hold that.
fn welcome(app: &Shared, socket: &SocketRef, sessions: &Arc<Sessions>, listeners: &Listeners, present: Arc<Present>) {
    let session = Session::of(socket, sessions);
    socket.on("subscribe", {
        let (app, listeners) = (Arc::clone(app), Arc::clone(listeners));
        move |socket: SocketRef, TryData(asked): TryData<Asked>, ack: AckSender| {
            let (app, listeners) = (Arc::clone(&app), Arc::clone(&listeners));
            let session = Arc::clone(&session);
            async move {
                let interest = match asked {
                    Ok(asked) => interest(&app, asked).await,
                    Err(error) => Err(bad_subscription(&format!(
                        "{error}; send {{sites: [\"server\"], tables: [\"public.todos\"]}}"
                    ))),
                };
                let answer = match interest {
                    Ok(interest) => {
                        let answer = json!({ "ok": true, "sites": interest.sites, "tables": interest.tables });
                        connected(&socket).await;
                        let socket = socket.clone();
                        listeners.enter(Arc::new(Member { socket, session }), Arc::new(interest));
                        answer
                    }
                    Err(problem) => json!({ "error": problem }),
                };
                reply(&socket, ack, &answer);
            }
        }
    });
    socket.on("unsubscribe", {
        let listeners = Arc::clone(listeners);
        move |socket: SocketRef, ack: AckSender| {
            listeners.leave(socket.id);
            reply(&socket, ack, &json!({ "ok": true }));
            async {}
        }
    });
    socket.on("echo", async |Data(data): Data<Bytes>, ack: AckSender| {
        let _ = ack.send(&data);
    });
    socket.on_disconnect({
        let listeners = Arc::clone(listeners);
        move |socket: SocketRef| {
            listeners.leave(socket.id);
            let _ = &present;
            async {}
        }
    });
}

fn bad_subscription(detail: &str) -> Problem {
    Problem::bad_request("bad-subscription", "Bad subscription", detail)
}

/// What is asked for, if there is such a thing.
async fn interest(app: &Shared, asked: Asked) -> Result<Interest, Problem> {
    for named in [&asked.sites, &asked.tables].into_iter().flatten() {
        if named.len() > MOST_NAMED {
            return Err(bad_subscription(&format!(
                "one subscription names {MOST_NAMED} sites and tables at most; leave the list out for all"
            )));
        }
    }
    let find = |name: &String| app.sites.find(name);
    let sites = asked
        .sites
        .map(|names| names.iter().map(find).collect::<Result<_, _>>())
        .transpose()?;
    for name in asked.tables.iter().flatten() {
        match app.catalogues.table(&app.sites, Site::Server, name).await {
            Err(problem) if problem.kind.ends_with(":unknown-table") => return Err(problem),
            // What cannot be looked up now is taken as it is said: it is heard of when it changes.
            Ok(_) | Err(_) => {}
        }
    }
    let tables: Option<BTreeSet<String>> = asked.tables.map(|names| names.into_iter().collect());
    Ok(Interest { sites, tables })
}

async fn tell(app: Shared, listeners: Listeners, dropped: metrics::Value) {
    let told = app.metrics.counter(
        "synccluster_gateway_socket_events_total",
        "events told to Socket.IO clients",
        &[("namespace", NAMESPACE)],
    );
    let mut news = app.live.bus.subscribe(None);
    loop {
        let batch = tokio::select! {
            () = app.stop.cancelled() => return,
            batch = news.next() => batch,
        };
        let frame = |news: &News| Frame::new(NAMESPACE, news.kind.name(), &news.data);
        let batch: Vec<_> = batch
            .iter()
            .filter_map(|event| Some((&event.news, frame(&event.news)?)))
            .collect();
        for (interest, members) in listeners.all() {
            let wanted: Vec<&Frame> = batch
                .iter()
                .filter(|(news, _)| interest.wants(news))
                .map(|(_, frame)| frame)
                .collect();
            told.add(i64::try_from(wanted.len() * members.len()).unwrap_or(i64::MAX));
            for slow in rooms::tell(&members, &wanted).await {
                dropped.add(1);
                listeners.leave(slow.socket.id);
                tokio::spawn(farewell(slow.socket.clone()));
            }
        }
    }
}
