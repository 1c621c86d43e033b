use super::*;
use proptest::prelude::*;

const EPOCH: u64 = 7;

fn news(size: usize) -> News {
    News {
        kind: Kind::Change,
        table: Some("public.todos".into()),
        site: Some(Site::Client(1)),
        data: "x".repeat(size).into(),
        relayed: true,
    }
}

fn bus(events: usize, bytes: usize) -> Bus {
    Bus::new(EPOCH, Limits { events, bytes })
}

fn numbers(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.id.number).collect()
}

#[test]
fn an_id_reads_back_as_it_was_written() {
    let id = Id {
        epoch: 1_760_000_000_000_000,
        number: u64::MAX,
    };
    assert_eq!(id.to_string().parse(), Ok(id));
    for wrong in ["", "7", "7-", "-7", "a-1", "1-2-3"] {
        assert!(wrong.parse::<Id>().is_err(), "{wrong}");
    }
}

#[test]
fn a_reader_resumes_after_the_event_it_saw_last() {
    let bus = bus(10, 10_000);
    (0..5).for_each(|_| bus.publish(news(1)));
    let from = |text: &str| bus.subscribe(Some(text.parse().unwrap())).ready();
    assert_eq!(numbers(&from("7-2")), [3, 4, 5]);
    assert!(from("7-5").is_empty());
}

#[test]
fn an_id_of_another_process_or_of_the_future_is_a_reset() {
    let bus = bus(10, 10_000);
    bus.publish(news(1));
    for unknown in ["8-1", "7-2"] {
        let mut reader = bus.subscribe(Some(unknown.parse().unwrap()));
        let first = reader.ready();
        assert_eq!((first.len(), first[0].news.kind), (1, Kind::Reset), "{unknown}");
        assert_eq!(first[0].id.to_string(), "7-1");
        assert!(reader.ready().is_empty(), "{unknown}");
    }
}

#[tokio::test]
async fn a_reader_that_waits_is_woken() {
    let bus = bus(10, 10_000);
    let mut reader = bus.subscribe(None);
    let waiting = tokio::spawn(async move { reader.next().await });
    tokio::task::yield_now().await;
    bus.publish(news(1));
    assert_eq!(numbers(&waiting.await.unwrap()), [1]);
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    Read(usize),
    Resume(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..400).prop_map(Step::Publish),
        2 => (0usize..3).prop_map(Step::Read),
        1 => (0usize..3).prop_map(Step::Resume),
    ]
}

proptest! {
    #[test]
    fn a_reader_sees_every_event_in_order_or_a_reset_and_never_a_gap(
        steps in prop::collection::vec(step(), 1..400), events in 1usize..40, bytes in 200usize..6000,
    ) {
        let bus = bus(events, bytes);
        let mut readers: Vec<_> = (0..3).map(|_| (bus.subscribe(None), 0)).collect();
        let mut published = 0;
        for step in steps {
            match step {
                Step::Publish(size) => {
                    bus.publish(news(size));
                    published += 1;
                }
                Step::Read(which) => {
                    let (reader, seen) = &mut readers[which];
                    for event in reader.ready() {
                        if event.news.kind == Kind::Reset {
                            // Only where events are gone, and then to the very end.
                            prop_assert!(published - *seen > bus.0.ring().events.len() as u64);
                            *seen = published;
                        } else {
                            *seen += 1;
                        }
                        prop_assert_eq!(event.id, Id { epoch: EPOCH, number: *seen });
                    }
                }
                Step::Resume(which) => {
                    let (reader, seen) = &mut readers[which];
                    *reader = bus.subscribe(Some(Id { epoch: EPOCH, number: *seen }));
                }
            }
            let ring = bus.0.ring();
            prop_assert!(ring.events.len() <= events);
            prop_assert!(ring.bytes <= bytes || ring.events.len() == 1);
            prop_assert_eq!(ring.bytes, ring.events.iter().map(|event| cost(&event.news)).sum::<usize>());
        }
        for (reader, seen) in &mut readers {
            while let Some(last) = reader.ready().last() {
                *seen = last.id.number;
            }
            prop_assert_eq!(*seen, published);
        }
    }
}
