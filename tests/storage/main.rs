//! The storage suite: every promise of `boathouse-storage`, on a folder, in memory and on S3.
//!
//! `place.rs` is where a lake lies; `on_every_place!` makes three tests of one function. Faults and request counts come
//! from the watched store of `boathouse_tests`.

mod append;
mod catalog;
mod change;
mod checkpoint;
mod create;
mod damage;
mod discover;
mod drop;
mod feed;
mod holds;
mod log;
mod maintain;
mod names;
mod numbers;
mod open;
mod place;
mod rename;
mod scan;
mod snapshot;
mod sorted;
mod tier;
