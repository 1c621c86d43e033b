//! The decision for one key: pure, property-tested.
