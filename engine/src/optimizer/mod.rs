//! Rules of our own, around DataFusion's. One rule a file.

mod filter_pushdown;
mod floats;
mod route;
mod yielding;

pub(crate) use filter_pushdown::physical_rules;
pub(crate) use floats::DecimalsToFloats;
pub(crate) use yielding::YieldingRows;

#[cfg(test)]
mod tests;
