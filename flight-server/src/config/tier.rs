//! Where cold files go, and what storage costs.

use boathouse_engine::{EngineConfig, tier::Prices};

use super::{ConfigError, file, parsed};

/// Classes whose objects must be brought back before they can be read.
const ARCHIVES: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

pub(super) fn set(
    engine: &mut EngineConfig,
    variable: &dyn Fn(&str) -> Option<String>,
    file: file::Tier,
) -> Result<(), ConfigError> {
    if let Some(class) = parsed(variable, "COLD_STORAGE_CLASS")?.or(file.cold_storage_class) {
        engine.storage.cold_storage_class = checked(class).map_err(ConfigError)?;
    }
    let wrong = |part: &'static str| move |reason: String| ConfigError(format!("tier.{part}: {reason}"));
    let prices = Prices::default().with(file.prices).map_err(wrong("prices"))?;
    let prices = prices.with_requests(file.requests).map_err(wrong("requests"))?;
    engine.prices = prices.with_days_min(file.days_min).map_err(wrong("days_min"))?;
    Ok(())
}

fn checked(class: String) -> Result<String, String> {
    if ARCHIVES.contains(&class.as_str()) {
        return Err(format!(
            "cold_storage_class is \"{class}\": its objects cannot be read before they are restored, and cold tables are \
             read; GLACIER_IR is the cheapest class that can be"
        ));
    }
    match !class.is_empty() && class.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') {
        true => Ok(class),
        false => Err(format!("cold_storage_class is \"{class}\": write a class as S3 spells it, such as STANDARD_IA")),
    }
}
