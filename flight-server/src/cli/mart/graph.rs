//! `boathouse mart graph`

use super::{Selection, open};

/// Shows what reads what.
pub(super) async fn run(selection: &Selection) -> Result<bool, String> {
    let (_, project) = open(selection).await?;
    print!("{}", project.graph(&selection.names).map_err(|error| super::error_text(&error))?);
    Ok(true)
}
