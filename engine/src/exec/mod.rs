//! Threads, memory, how many statements at once, cancelling.

mod join;
mod memory;
mod padded;
mod permit;
mod pool;
mod process;
mod runtime;
mod runtime_filter;
mod shared;
mod spill;
mod stop;
mod stoppable;
mod stream;
mod turn;
mod wire;

pub(crate) use self::{
    join::SpillingJoinExec,
    memory::runtime_env,
    padded::PaddedExec,
    permit::{Permit, Permits, within},
    runtime::CpuRuntime,
    runtime_filter::RuntimeFilterExec,
    shared::SharedExec,
    stop::Stop,
    stoppable::StoppableExec,
    turn::Turns,
    wire::{plain_field, wire_schema},
};
pub use memory::MemoryUsage;
pub use stream::RowStream;
