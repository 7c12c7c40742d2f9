//! How work that nobody waits for lets others go first.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;

type Wait = dyn Fn() -> BoxFuture<'static, ()> + Send + Sync;

/// Waited for before each batch of rows that is rewritten. The default does not wait.
#[derive(Clone, Default)]
pub struct Pace(Option<Arc<Wait>>);

impl Pace {
    pub fn new(wait: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(wait)))
    }

    pub(crate) async fn wait(&self) {
        if let Some(wait) = &self.0 {
            wait().await;
        }
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pace").field(&self.0.is_some()).finish()
    }
}
