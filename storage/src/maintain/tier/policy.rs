//! What a table says of its tiers: texts among its properties, checked against its columns.

use std::{collections::BTreeMap, time::Duration};

use arrow::datatypes::{DataType, Schema};

use crate::Snapshot;

/// Rows that are older than this are cold.
const COLD_AFTER: &str = "boathouse.tier.coldAfter";
/// Files whose rows are all older than this have no right to a copy on local disk; younger ones have.
const HOT: &str = "boathouse.tier.hot";
/// The column that tells how old a row is.
const ON: &str = "boathouse.tier.on";
/// The properties by which the table says which columns have statistics, and how many where it says nothing.
const COUNTED_NAMES: &str = "delta.dataSkippingStatsColumns";
const COUNTED_FIRST: &str = "delta.dataSkippingNumIndexedCols";
const COUNTED_FIRST_DEFAULT: i64 = 32;
const UNITS: [(&str, u64); 5] = [("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)];

/// How long the files of a table are hot, and when they become cold: one of both at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierPolicy {
    /// Files with rows that are no older than this have copies on local disk, where there is room. Longer than nothing,
    /// and shorter than the time after which they are cold.
    pub hot: Option<Duration>,
    /// Rows that are older are cold. Longer than nothing.
    pub cold_after: Option<Duration>,
    /// A DATE or TIMESTAMP column: of the partitions, or one of which files have statistics.
    pub on: String,
}

impl TierPolicy {
    /// The properties that keep a policy.
    pub const PROPERTIES: [&'static str; 3] = [COLD_AFTER, ON, HOT];

    /// Whether the table has a policy that pins, if it can be carried out.
    pub(crate) fn may_pin(table: &Snapshot) -> bool {
        table.properties().contains_key(HOT)
    }

    /// The policy of a table, if it has one. An error in words when another writer has made nonsense of it.
    pub fn of(table: &Snapshot) -> Result<Option<Self>, String> {
        Self::parse(table.properties(), &table.schema(), table.partition_columns())
    }

    /// What `properties` say to a table of these columns. An error in words when they cannot be carried out.
    pub fn parse(
        properties: &BTreeMap<String, String>,
        columns: &Schema,
        partition_columns: &[String],
    ) -> Result<Option<Self>, String> {
        let (cold_after, hot) = (properties.get(COLD_AFTER), properties.get(HOT));
        let on = match (cold_after.or(hot), properties.get(ON)) {
            (None, None) => return Ok(None),
            (Some(_), Some(on)) => on,
            (Some(_), None) => {
                let name = if cold_after.is_some() { COLD_AFTER } else { HOT };
                return Err(format!("the property \"{name}\" needs \"{ON}\", a column"));
            }
            (None, Some(_)) => {
                return Err(format!("the property \"{ON}\" needs \"{COLD_AFTER}\" or \"{HOT}\", a length of time"));
            }
        };
        let age = |text: Option<&String>| text.map(|text| Self::parse_age(text)).transpose();
        let (cold_after, hot) = (age(cold_after)?, age(hot)?);
        if let (Some(cold_after), Some(hot)) = (cold_after, hot)
            && hot >= cold_after
        {
            return Err(
                "the tier policy is hot for as long as until it is cold, or longer: \"hot\" must be shorter than \
                        \"cold_after\""
                    .to_owned(),
            );
        }
        let Ok(field) = columns.field_with_name(on) else {
            return Err(format!("the tier policy is about column \"{on}\", which is not there"));
        };
        if !matches!(field.data_type(), DataType::Date32 | DataType::Timestamp(..)) {
            return Err(format!("the tier policy needs a DATE or TIMESTAMP, and column \"{on}\" is neither"));
        }
        if !partition_columns.contains(on) && !has_statistics(properties, columns, partition_columns, on) {
            return Err(format!("the tier policy needs statistics of column \"{on}\", and the table keeps none of it"));
        }
        Ok(Some(Self { hot, cold_after, on: on.clone() }))
    }

    /// A length of time such as `90 days`, also with the word `interval` before it, as in Delta's own properties; in weeks,
    /// days, hours, minutes or seconds. An error in words when it is none, or nothing.
    pub fn parse_age(text: &str) -> Result<Duration, String> {
        let wrong = || format!("\"{text}\" is not a length of time such as '90 days'");
        let lower = text.to_ascii_lowercase();
        let words: Vec<&str> = lower.split_whitespace().filter(|word| *word != "interval").collect();
        let [number, unit] = words.as_slice() else { return Err(wrong()) };
        let unit = unit.strip_suffix('s').unwrap_or(unit);
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*seconds));
        // What a time in milliseconds can go back by.
        let bounded = seconds.filter(|seconds| (1..=u64::from(u32::MAX)).contains(seconds));
        bounded.map(Duration::from_secs).ok_or_else(wrong)
    }
}

/// Whether files that are written from now on have statistics of a column that is not a partition column.
fn has_statistics(
    properties: &BTreeMap<String, String>,
    columns: &Schema,
    partition_columns: &[String],
    on: &str,
) -> bool {
    if let Some(names) = properties.get(COUNTED_NAMES) {
        return names.split(',').any(|name| name.trim().trim_matches('`') == on);
    }
    let first = properties.get(COUNTED_FIRST).and_then(|first| first.trim().parse().ok());
    let first: i64 = first.unwrap_or(COUNTED_FIRST_DEFAULT);
    let in_files = columns.fields().iter().filter(|field| !partition_columns.contains(field.name()));
    // Writers count leaves: those of the columns before it.
    let before: usize = in_files.take_while(|field| field.name() != on).map(|field| leaves(field.data_type())).sum();
    first < 0 || usize::try_from(first).is_ok_and(|first| before < first)
}

fn leaves(kind: &DataType) -> usize {
    match kind {
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        DataType::List(item) | DataType::Map(item, _) => leaves(item.data_type()),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, TimeUnit};

    use super::*;

    #[test]
    fn a_length_of_time_is_a_number_and_a_unit() {
        let seconds = |text: &str| TierPolicy::parse_age(text).map(|age| age.as_secs()).ok();
        assert_eq!(seconds("90 days"), Some(90 * 86_400));
        assert_eq!(seconds("INTERVAL 1 Week"), Some(604_800));
        assert_eq!(seconds("5 seconds"), Some(5));
        for wrong in ["", "90", "days", "0 days", "-1 day", "1 month", "1 day 2 hours", "99999999999999999999 weeks"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_policy_needs_both_properties_and_a_time_of_which_files_tell() {
        let columns = Schema::new(vec![
            Field::new("p", DataType::Utf8, true),
            Field::new("nested", DataType::Struct(vec![Field::new("a", DataType::Int64, true); 2].into()), true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("day", DataType::Date32, true),
        ]);
        let parse = |pairs: &[(&str, &str)], partitions: &[&str]| {
            let properties = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let partitions: Vec<String> = partitions.iter().map(|name| (*name).to_owned()).collect();
            TierPolicy::parse(&properties, &columns, &partitions)
        };
        let day = Duration::from_secs(86_400);
        let after = (COLD_AFTER, "1 day");
        assert_eq!(parse(&[], &[]), Ok(None));
        let at = TierPolicy { hot: None, cold_after: Some(day), on: "at".into() };
        assert_eq!(parse(&[after, (ON, "at")], &[]), Ok(Some(at.clone())));
        for (pairs, words) in [
            (vec![after], "needs \"boathouse.tier.on\""),
            (vec![(ON, "at")], "needs \"boathouse.tier.coldAfter\" or \"boathouse.tier.hot\""),
            (vec![(HOT, "1 day")], "\"boathouse.tier.hot\" needs \"boathouse.tier.on\""),
            (vec![after, (HOT, "24 hours"), (ON, "at")], "\"hot\" must be shorter than \"cold_after\""),
            (vec![after, (HOT, "soon"), (ON, "at")], "not a length of time"),
            (vec![after, (ON, "gone")], "is not there"),
            (vec![after, (ON, "p")], "is neither"),
            (vec![(COLD_AFTER, "soon"), (ON, "at")], "not a length of time"),
            (vec![after, (ON, "at"), (COUNTED_NAMES, "p, day")], "keeps none"),
            (vec![after, (ON, "at"), (COUNTED_FIRST, "3")], "keeps none"),
        ] {
            let error = parse(&pairs, &[]).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        // Two leaves and the column before it, of which one is not in the files.
        assert_eq!(parse(&[after, (ON, "at"), (COUNTED_FIRST, "3")], &["p"]), Ok(Some(at)));
        let both = TierPolicy { hot: Some(day / 24), cold_after: Some(day), on: "day".into() };
        let hot = (HOT, "1 hour");
        assert_eq!(parse(&[after, hot, (ON, "day"), (COUNTED_FIRST, "0")], &["day"]), Ok(Some(both.clone())));
        assert_eq!(parse(&[hot, (ON, "day")], &["day"]), Ok(Some(TierPolicy { cold_after: None, ..both })));
    }
}
