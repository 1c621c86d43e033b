//! Socket.IO as its own clients see it: npm's socket.io-client and PyPI's python-socketio, which tests/socketio/fetch.sh fetches.

mod bus;
mod client;
mod clients;
mod limits;
mod raw;
mod world;
