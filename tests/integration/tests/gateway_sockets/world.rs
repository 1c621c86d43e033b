//! From a real database to a real client.
