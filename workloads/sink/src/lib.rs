//! Downlink: topics to a site's tables.
//!
//! `event` reads records, `assemble` makes source transactions whole again, `rounds` divides them so that no key meets itself, `statements`
//! writes the SQL, `apply` carries out what `synccluster-merge` decides, all in one transaction with the progress; `session` ties them
//! together until the link is cut or something fails.

pub mod apply;
pub mod assemble;
pub mod digest;
pub mod event;
pub mod measure;
pub mod park;
pub mod rounds;
pub mod run;
pub mod session;
pub mod settle;
pub mod source;
pub mod state;
pub mod statements;
pub mod target;
