//! Rules of our own, around DataFusion's. One rule a file.

mod build_side;
mod conjuncts;
mod correlated;
mod decimals;
mod filter_pushdown;
mod floats;
mod named_faults;
mod order_all;
mod ordered_groups;
mod padded;
mod planner;
mod predicate;
mod quick_conjuncts;
mod route;
mod runtime_filters;
mod shared;
mod spilling;
mod stored_order;
mod timestamps;
mod typed;
mod unknown_in;
mod yielding;

pub(crate) use conjuncts::CheapConjunctsFirst;
pub(crate) use correlated::CorrelatedSubqueries;
pub(crate) use decimals::QuickDecimals;
pub(crate) use filter_pushdown::physical_rules;
pub(crate) use floats::DecimalsToFloats;
pub(crate) use named_faults::value_for;
pub(crate) use order_all::OrderByAll;
pub(crate) use ordered_groups::OrderedGroups;
pub(crate) use planner::Planner;
pub(crate) use quick_conjuncts::QuickConjuncts;
pub(crate) use runtime_filters::RuntimeFilters;
pub(crate) use shared::SharedReaders;
pub(crate) use spilling::SpillingJoins;
pub(crate) use timestamps::WholeTimestamps;
pub(crate) use unknown_in::UnknownIn;
pub(crate) use yielding::YieldingRows;

#[cfg(test)]
mod tests;
