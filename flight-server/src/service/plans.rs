//! Plans of prepared statements, kept from the call that prepared them for the calls that run them.
//!
//! Drivers prepare each statement, run it once and close it, so a small INSERT would be planned twice for one row. Only plans
//! that mean the same however old they are come in here; a handle whose plan is not here is planned from its text.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use boathouse_engine::{Prepared, Session};
use parking_lot::Mutex;
use tonic::Status;

use super::session::Caller;
use crate::ticket::Ticket;

/// Plans grow with their texts. All texts together are bounded, the oldest go first.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Kept plans, by the ids of their handles.
#[derive(Debug, Default)]
pub struct Plans {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    plans: HashMap<String, Plan>,
    /// Ids as they came; some may be gone.
    order: VecDeque<String>,
    text_bytes: usize,
}

#[derive(Debug)]
struct Plan {
    prepared: Arc<Prepared>,
    settings: Vec<(String, String)>,
    /// Whose session it was made in.
    owner: String,
}

impl Plans {
    /// Keeps the plan of a handle that a client is about to get.
    pub fn keep(&self, handle: &Ticket, prepared: Prepared, owner: String) {
        let bytes = handle.sql.len();
        if !prepared.is_lasting() || bytes > TEXT_BYTES_MAX {
            return;
        }
        let mut kept = self.kept.lock();
        let plan = Plan { prepared: Arc::new(prepared), settings: handle.settings(), owner };
        kept.plans.insert(handle.id.clone(), plan);
        kept.order.push_back(handle.id.clone());
        kept.text_bytes += bytes;
        while kept.text_bytes > TEXT_BYTES_MAX {
            let Some(oldest) = kept.order.pop_front() else { break };
            kept.remove(&oldest);
        }
        let Kept { plans, order, .. } = &mut *kept;
        if order.len() > 2 * plans.len() + 16 {
            order.retain(|id| plans.contains_key(id));
        }
    }

    /// Of a handle that its client has closed.
    pub fn forget(&self, handle: &Ticket) {
        self.kept.lock().remove(&handle.id);
    }

    /// The statement's plan, for a run in the caller's session: the kept one, or a new one.
    pub async fn prepared(&self, caller: &Caller, statement: &Ticket) -> Result<Prepared, Status> {
        match self.find(&caller.session, statement) {
            Some(prepared) => Ok(prepared.called_by(&caller.origin())),
            None => caller.prepare(&statement.sql).await,
        }
    }

    /// Handles come back from clients, who may have changed them: text, settings and user must be those of the plan.
    fn find(&self, session: &Session, statement: &Ticket) -> Option<Arc<Prepared>> {
        let kept = self.kept.lock();
        let plan = kept.plans.get(&statement.id)?;
        let same = plan.prepared.sql() == statement.sql && plan.settings == session.changed_settings();
        let own = plan.owner == session.identity().name();
        (same && own).then(|| plan.prepared.clone())
    }
}

impl Kept {
    fn remove(&mut self, id: &str) {
        if let Some(plan) = self.plans.remove(id) {
            self.text_bytes -= plan.prepared.sql().len();
        }
    }
}
