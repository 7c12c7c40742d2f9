//! The scan against plain DataFusion: tables are written by the Delta library, rows are compared with the same rows
//! in memory.

mod address;
mod encodings;
mod features;
mod hot;
mod joined;
mod kinds;
mod late;
mod plan;
mod random;
mod rot;
mod running;
mod shapes;
mod vectors;
mod widening;
mod work;

use super::{location, originals};
use work::{add_hot, append, hot_copies, load, open, register_hot, rows, run, session};
