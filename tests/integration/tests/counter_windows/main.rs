//! Windows over the likes, against a real Kafka: exactly once, whatever is killed.

mod brokers;
mod clock;
mod kills;
mod likes;
mod memory;
mod odd;
mod operator;
mod publishing;
mod publishing_apart;
mod publishing_clock;
mod quiet;
mod retention;
mod two;
mod worker;
