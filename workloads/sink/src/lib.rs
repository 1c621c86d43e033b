//! Downlink: topics to a site's tables.
