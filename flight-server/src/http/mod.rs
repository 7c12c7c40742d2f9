//! The HTTP port, for those who watch the server: `/metrics`, `/health`, `/ready`.
//!
//! [`listener`] takes the connections, [`answer`] knows the paths, [`metrics`] gathers what is told and [`exposition`] writes it
//! down as Prometheus reads it. Nothing here changes anything, and nothing of a lake's rows is told.

mod answer;
mod exposition;
pub mod listener;
mod metrics;
mod ready;
