//! Analytics: the server's topic to tables in ClickHouse.
//!
//! `catalogue` and the protocol's `definitions` say what there is, `table` what there should be, `arrange` makes it so. `event`, `rows` and `encode` turn a
//! record into the bytes of an insert, `collect` gathers them, `write` sends them, `progress` remembers how far; `session` ties them together
//! until the link is cut or something fails. `verify` compares what came of it with Postgres, `rebuild` has tables filled anew; `sides` is why they cannot.
//! `windows` keeps the counter nodes' windows, beside the tables.

pub mod arrange;
pub mod catalogue;
pub mod collect;
pub mod encode;
pub mod event;
pub mod http;
pub mod progress;
pub mod rebuild;
pub mod rows;
pub mod run;
pub mod session;
pub mod sides;
pub mod sql;
pub mod table;
pub mod types;
pub mod verify;
pub mod ways;
pub mod windows;
pub mod write;
