//! Downlink: topics to a site's tables.
//!
//! `event` reads records, `assemble` makes source transactions whole again (`replay` reads what is too large to be held), `rounds` divides
//! them so that no key meets itself, `stand` knows what was sent before, `statements` writes the SQL, `judge` carries out what `synccluster-merge` decides, `apply` does it in
//! one transaction with the progress; `session` ties them together until the link is cut or something fails.

pub mod apply;
pub mod assemble;
pub mod constraints;
pub mod digest;
pub mod event;
pub mod judge;
pub mod measure;
pub mod park;
pub mod predecessors;
pub mod replay;
pub mod rounds;
pub mod run;
pub mod sequences;
pub mod session;
pub mod settle;
pub mod source;
pub mod stand;
pub mod statements;
pub mod target;
