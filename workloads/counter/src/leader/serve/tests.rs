use std::{path::PathBuf, sync::atomic::Ordering, time::Duration};

use super::*;
use crate::{
    crdt::Ordinal,
    leader::Settings,
    mesh::members::{Claim, Heartbeat, Members},
};

/// A leader that says what it is told to say, at an address.
async fn says(term: &'static str, body: &'static str) -> String {
    let answer = move |headers: HeaderMap| async move {
        assert!(headers.contains_key(FORWARDED));
        ([(TERM, term)], body)
    };
    let app = Router::new().route("/assign", get(answer)).route("/nodes", get(answer));
    serving(app).await
}

async fn serving(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

/// Node 1 of two, which takes node 0 at this address for the leader.
async fn follower(leader_api: String) -> (Arc<Leader>, String) {
    let members = Members::new(Ordinal(1), [0, 1].map(Ordinal), Heartbeat::default());
    let claim = Some(Claim {
        term: 7,
        leader: Ordinal(0),
    });
    let heartbeat = Heartbeat {
        leader_api,
        claim,
        ..Heartbeat::default()
    };
    // However long the test takes it does not fall silent.
    members.heard(Ordinal(0), heartbeat, Instant::now() + Duration::from_hours(1));
    let settings = Settings {
        lease: None,
        nodes: 2,
        data: PathBuf::from("/nonexistent"),
    };
    let leader = Leader::new(settings, members).await.unwrap();
    let address = serving(router(Arc::clone(&leader), None)).await;
    (leader, address)
}

async fn asked(address: &str, path: &str, forwarded: bool) -> (u16, Option<u64>, String) {
    let answer = ask::get(address, path, forwarded).await.unwrap();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    (answer.status.as_u16(), answer.term, text)
}

#[tokio::test]
async fn a_node_passes_on_what_the_leader_says_and_no_lower_term() {
    let (leader, address) = follower(says("7", "{}").await).await;
    let path = "/assign?client=ann&except=1";
    assert_eq!(asked(&address, path, false).await, (200, Some(7), "{}".to_owned()));
    assert_eq!(leader.highest.load(Ordering::SeqCst), 7);
    assert!(leader.heard(8));
    let (status, term, text) = asked(&address, path, false).await;
    assert!(
        (status, term) == (503, None) && text.contains("term 7, which is over"),
        "{text}"
    );
    // What it knows itself is no word of a leader's.
    let (status, term, text) = asked(&address, "/nodes", false).await;
    assert!(
        (status, term) == (200, None) && text.contains("\"leader\":false"),
        "{text}"
    );
}

#[tokio::test]
async fn whoever_asks_at_the_port_outside_is_told_addresses_outside() {
    let assigned = r#"{"node":1,"address":"node-1:5002","ws":"ws://node-1:5002/ws","term":7}"#;
    let (leader, inside) = follower(says("7", assigned).await).await;
    let there = Outside {
        host: "likes.example.org".to_owned(),
        first: 30501,
    };
    let outside = serving(router(leader, Some(there.clone()))).await;
    let path = "/assign?client=ann";
    assert_eq!(asked(&inside, path, false).await, (200, Some(7), assigned.to_owned()));
    let told = assigned.replace("node-1:5002", "likes.example.org:30502");
    assert_eq!(asked(&outside, path, false).await, (200, Some(7), told));

    let load = r#""load":{"clients":0,"likes_per_second":0}"#;
    let nodes = format!(
        r#"[{{"node":0,"address":"node-0:5002","alive":true,{load},"leader":true}},{{"node":1,"address":null,"alive":false,{load},"leader":false}}]"#
    );
    let (leader, _) = follower(says("7", String::leak(nodes.clone())).await).await;
    let outside = serving(router(leader, Some(there.clone()))).await;
    let told = nodes.replace("node-0:5002", "likes.example.org:30501");
    assert_eq!(asked(&outside, "/nodes", false).await, (200, Some(7), told));

    let (leader, _) = follower(says("7", "{}").await).await;
    let outside = serving(router(leader, Some(there))).await;
    let (status, term, text) = asked(&outside, path, false).await;
    assert!(
        (status, term) == (503, None) && text.contains("does not read"),
        "{text}"
    );
}

#[tokio::test]
async fn a_question_is_passed_on_once_and_not_to_a_leader_that_is_away() {
    let (_leader, address) = follower(says("7", "{}").await).await;
    let (status, _, text) = asked(&address, "/assign?client=ann", true).await;
    assert!(status == 503 && text.contains("does not lead"), "{text}");
    let (_leader, address) = follower("127.0.0.1:1".to_owned()).await;
    let (status, _, text) = asked(&address, "/assign?client=ann", false).await;
    assert!(
        status == 503 && text.contains("node 0 leads, and 127.0.0.1:1 is not in reach"),
        "{text}"
    );
}
