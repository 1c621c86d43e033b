//! Peers: what they are told, what is learnt from them, who is alive.

pub mod members;
