//! `boathouse mart test`

use boathouse_engine::mart::MartTestState;

use super::{Selection, error_text, open_to_look, text};

/// Carries out the tests over what is published. False when one of them fails that is not only a warning.
pub(super) async fn run(selection: &Selection) -> Result<bool, String> {
    let (_, project) = open_to_look(&selection.place).await?;
    let reports = project.test(&selection.names).await.map_err(|error| error_text(&error))?;
    let width = reports.iter().map(|report| report.mart.chars().count()).max().unwrap_or_default();
    let mut good = true;
    for report in &reports {
        match &report.tests {
            Ok(tests) => {
                let found = tests.iter().filter(|test| test.violations > 0).count();
                good &= !tests.iter().any(|test| test.violations > 0 && test.state != MartTestState::Warned);
                let (passed, all) = (tests.len() - found, tests.len());
                println!("{:width$}  {passed} of {all} {} passed", report.mart, text::plural(all as u64, "test"));
                print!("{}", text::violations(tests));
            }
            Err(error) => {
                good = false;
                println!("{:width$}  not tested", report.mart);
                print!("{}", text::indented(error));
            }
        }
    }
    Ok(good)
}
