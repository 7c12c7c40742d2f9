//! Rules of our own, around DataFusion's. One rule a file.

mod floats;
mod yielding;

pub(crate) use floats::DecimalsToFloats;
pub(crate) use yielding::YieldingRows;
