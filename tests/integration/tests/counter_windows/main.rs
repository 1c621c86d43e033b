//! Windows over the likes, against a real Kafka: exactly once, whatever is killed.

mod kills;
mod likes;
mod odd;
mod publishing;
mod worker;
