//! Postgres and Kafka as plain processes, for tests.
