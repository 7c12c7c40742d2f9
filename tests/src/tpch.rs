//! A lake with TPC-H in it.

use boathouse_flight_server::tpch;

use crate::TestLake;

/// A lake in a temporary folder with the eight tables at a scale, made as the demo makes them.
pub async fn lake(scale: f64) -> TestLake {
    let lake = TestLake::folder().await;
    let loaded = tpch::load(&lake.engine().session(), scale, |_, _, _| ()).await;
    loaded.unwrap_or_else(|error| panic!("TPC-H at scale {scale}: {error}"));
    lake
}
