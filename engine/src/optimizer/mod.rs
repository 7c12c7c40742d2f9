//! Rules of our own, after DataFusion's. One rule a file.

mod yielding;

pub(crate) use yielding::YieldingRows;
