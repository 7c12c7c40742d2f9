//! The tests of marts over the rows that are published.

use std::sync::Arc;

use super::{
    anomaly::Known,
    audit::{Audited, audit},
    outcome::TestReport,
    plan::published,
    project::Project,
    test::Test,
};
use crate::{EngineError, Origin, queries::Phase, session::Pins};

impl Project {
    /// Carries out the tests of these marts, or of all, over the rows that are published.
    pub async fn test(&self, names: &[String]) -> Result<Vec<TestReport>, EngineError> {
        let (project, selected) = (self.clone(), self.selected(names)?);
        let work = async move {
            let mut reports = Vec::with_capacity(selected.len());
            for at in selected {
                let mart = project.marts[at].definition.name();
                reports.push(TestReport { mart, tests: project.test_one(at).await.map(|audited| audited.tests) });
            }
            reports
        };
        self.engine.runtime().spawn(work).await
    }

    async fn test_one(&self, at: usize) -> Result<Audited, EngineError> {
        let mart = &self.marts[at];
        let name = &mart.definition.name;
        if published(&self.engine, name).await?.is_none() {
            let error = EngineError::not_found(format!("mart \"{name}\" was never published"));
            return Err(error.with_hint("boathouse mart run builds it."));
        }
        let live = self.engine.queries().begin(&Origin::default(), &format!("MART TEST {name}"), Phase::Queued);
        live.is_a("MART");
        let permit = Arc::new(self.engine.permits().acquire(None, live).await?);
        let context = mart.context(&self.engine, &Pins::new()).for_run(permit.clone());
        // What is published is the last of them itself.
        let known = Known::of(&*self.engine.lake().mart(&name.to_string()).await?, true);
        let tests: Vec<&Test> = mart.definition.tests.iter().collect();
        let audited = permit.bound(audit(&context, name, &tests, &known, self.options.clock.now_ms())).await;
        match &audited {
            Ok(_) => permit.live().done(),
            Err(error) => permit.live().failed(error),
        }
        audited
    }
}
