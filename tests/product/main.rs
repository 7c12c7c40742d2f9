//! The product as a whole: the same session on every store, other readers and writers beside it, and what must not end it.

mod archived;
mod dropped;
mod hardship;
mod near;
mod place;
mod readers;
mod required;
mod tier;
mod transaction;
mod warm;
mod writer;
