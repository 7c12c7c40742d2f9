//! What the tests that go through the whole product stand on.
//!
//! [`TestLake`] is a lake of one test, [`TestServer`] a real Flight server on a free port, [`TestS3`] a real S3 endpoint in
//! this process, [`Authority`] makes certificates, [`Collector`] takes traces, [`tpch`] a lake with TPC-H in it, [`slt`] the runner of SQL test files, [`rows`] rows as text.

mod certificates;
mod collector;
mod lake;
pub mod rows;
mod s3;
mod server;
pub mod slt;
pub mod store;
pub mod tpch;

pub use certificates::{Authority, Files};
pub use collector::{Collector, SentSpan};
pub use lake::{TestLake, config};
pub use s3::{Faults, Rights, TestS3};
pub use server::TestServer;
