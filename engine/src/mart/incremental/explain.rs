//! What `EXPLAIN MART` tells: how a run would go now, and why.

use std::sync::Arc;

use super::{
    super::{
        definition::Definition,
        plan::{Inputs, published},
        project::{MartOptions, Project},
        written::file,
    },
    way::looked_at,
};
use crate::{Engine, EngineError, catalog::TableName, session::Pins};

/// Pairs of what is told and its value. The mart is looked at among the tables as they are now, those of other marts too;
/// nothing is written. `text` is that of its definition; `force`: the run is
/// told to take nothing over.
pub(crate) async fn explain(
    engine: &Arc<Engine>,
    name: &TableName,
    text: &str,
    force: bool,
) -> Result<Vec<(String, String)>, EngineError> {
    let definition = Definition::parse(&file(name), text).map_err(|fault| *fault.error)?;
    let definition = Definition { name: name.clone(), ..definition };
    let options = MartOptions::of_statements();
    let (project, faults) = Project::open_sound(engine, vec![definition], options).await;
    if let Some(fault) = faults.into_iter().next() {
        return Err(fault.error.without_excerpt());
    }
    let [mart] = &*project.marts else { return Err(EngineError::internal("a mart without a fault is not there")) };
    let context = mart.context(engine, &Pins::new());
    let inputs = Inputs::of(&context, mart).await?;
    let target = published(engine, name).await?;
    let looked = looked_at(&project, mart, &inputs, target.as_ref()).await;
    let is_done = match (&target, inputs.number()) {
        (Some(target), Some(number)) => project.is_up_to_date(mart, target, number).await?,
        _ => false,
    };
    let mut told = vec![
        ("mart".to_owned(), name.to_string()),
        ("strategy".to_owned(), mart.definition.strategy.word().to_owned()),
    ];
    let version = target.map_or("none".to_owned(), |target| target.version().to_string());
    told.push(("version".to_owned(), version));
    for (table, before, now, became) in looked.sources {
        let before = before.map_or("never read".to_owned(), |version| format!("version {version}"));
        told.push(("source".to_owned(), format!("{table}: {before} -> version {now}: {became}")));
    }
    let (way, why) = match looked.way {
        _ if force => ("full".to_owned(), "FORCE says so".to_owned()),
        _ if is_done => ("skipped".to_owned(), "definition and inputs are those of the last run".to_owned()),
        Ok(planned) => (planned.way.word().to_owned(), planned.way.text().to_owned()),
        Err(why) => ("full".to_owned(), why),
    };
    told.extend([("way".to_owned(), way), ("why".to_owned(), why)]);
    Ok(told)
}
