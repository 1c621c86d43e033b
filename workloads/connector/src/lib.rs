//! Uplink: a site's WAL to its topic.
