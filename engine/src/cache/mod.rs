//! What was planned and what was answered, kept by identity.
//!
//! ```text
//! text + settings + rights ──> plan + the names it rests on          (plans)
//!        each name looked up again: the same snapshot, the same view? ──> the plan holds
//! plan key + identities of the names + parameters ──> rows           (results)
//! ```
//!
//! Nothing here is ever invalidated: what changed has another identity, and its old entry falls out in time. Freshness is
//! decided where names are looked up, by the same requests as without a cache. What cannot be told apart exactly (files
//! named by path, tables of the system, functions that look at the clock) is never kept.

mod fixed;
mod key;
mod plans;
mod recording;
mod results;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    fixed::is_fixed,
    key::{Form, PlanKey, ResultKey, Rights},
    plans::{KeptPlan, Optimized, Plans, attach, detach},
    recording::Recording,
    results::Results,
};
