//! Likes and windows through the gateway: real counter nodes, a real Kafka, and python-socketio as clients knew it before there were any.

mod homes;
mod likes;
mod place;
mod refused;
mod windows;
