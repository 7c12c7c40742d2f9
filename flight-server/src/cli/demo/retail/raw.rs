//! What a shop's systems send in a month, made up: the same lines each time.
//!
//! Orders come in a file a day. Some come days late, some again with another status, and some are broken.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray},
    error::ArrowError,
};
use chrono::{NaiveDate, TimeDelta};

const SEED: u64 = 20_260_101;
const DAYS: u64 = 30;
const ORDERS_A_DAY: u64 = 100;
const CUSTOMERS: u64 = 200;
const COUNTRIES: [&str; 5] = ["AT", "DE", "FR", "JP", "US"];
const FIRST_NAMES: [&str; 8] = ["Ada", "Ben", "Chiyo", "Dora", "Emil", "Fumi", "Grete", "Hugo"];
const LAST_NAMES: [&str; 7] = ["Abe", "Berger", "Dubois", "Keller", "Mori", "Smith", "Weber"];
/// With the least price in cents, and how much more it may be.
const CATEGORIES: [(&str, u64, u64); 5] = [
    ("books", 800, 3_000),
    ("clothes", 1_500, 12_000),
    ("food", 200, 2_000),
    ("garden", 1_000, 25_000),
    ("toys", 500, 6_000),
];

/// Of so many orders, one: comes late, is sent again, is broken.
const LATE_ONE_IN: u64 = 40;
const AGAIN_ONE_IN: u64 = 30;
const BROKEN_ONE_IN: u64 = 75;

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let at = self.below(all.len().max(1) as u64);
        all.get(usize::try_from(at).unwrap_or_default()).copied()
    }
}

/// One line of a file of orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Line {
    order_id: u64,
    ordered_at: String,
    customer_id: String,
    category: &'static str,
    quantity: String,
    unit_price: String,
    status: &'static str,
    /// The day of its file, from 0.
    day: u64,
}

/// The customers.
pub(super) fn customers() -> Result<RecordBatch, ArrowError> {
    let mut random = Random(SEED);
    let (mut ids, mut names, mut countries) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=CUSTOMERS {
        ids.push(customer(number));
        let (first, last) = (random.one_of(&FIRST_NAMES), random.one_of(&LAST_NAMES));
        names.push(format!("{} {}", first.unwrap_or_default(), last.unwrap_or_default()));
        countries.push(random.one_of(&COUNTRIES));
    }
    let columns: [ArrayRef; 3] =
        [Arc::new(StringArray::from(ids)), Arc::new(StringArray::from(names)), Arc::new(StringArray::from(countries))];
    RecordBatch::try_from_iter(["customer_id", "name", "country"].into_iter().zip(columns))
}

/// The lines of all files, one file behind the other, loaded at this time.
pub(super) fn orders(loaded_us: i64) -> Result<RecordBatch, ArrowError> {
    let lines = lines();
    let texts =
        |of: &dyn Fn(&Line) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(lines.iter().map(of))) };
    let loaded = TimestampMicrosecondArray::from(vec![loaded_us; lines.len()]);
    RecordBatch::try_from_iter([
        ("order_id", texts(&|line| line.order_id.to_string())),
        ("ordered_at", texts(&|line| line.ordered_at.clone())),
        ("customer_id", texts(&|line| line.customer_id.clone())),
        ("category", texts(&|line| line.category.to_owned())),
        ("quantity", texts(&|line| line.quantity.clone())),
        ("unit_price", texts(&|line| line.unit_price.clone())),
        ("status", texts(&|line| line.status.to_owned())),
        ("file", texts(&|line| format!("orders-{}.csv", date(line.day)))),
        ("loaded_at", Arc::new(loaded)),
    ])
}

fn lines() -> Vec<Line> {
    let mut random = Random(SEED + 1);
    let (mut lines, mut broken) = (Vec::new(), 0_u64);
    for day in 0..DAYS {
        for of_day in 0..ORDERS_A_DAY {
            let mut line = line(&mut random, day, 100_000 + day * ORDERS_A_DAY + of_day);
            if random.below(BROKEN_ONE_IN) == 0 {
                breaks(&mut line, broken);
                broken += 1;
            }
            // No file is later than the last one.
            if random.below(LATE_ONE_IN) == 0 && day + 3 < DAYS {
                line.day += 1 + random.below(3);
            } else if random.below(AGAIN_ONE_IN) == 0 && day + 1 < DAYS {
                let status = if random.below(3) == 0 { "returned" } else { "shipped" };
                lines.push(Line { status, day: day + 1, ..line.clone() });
            }
            lines.push(line);
        }
    }
    lines.sort_by_key(|line| (line.day, line.order_id));
    lines
}

fn line(random: &mut Random, day: u64, order_id: u64) -> Line {
    let (category, least, more) = random.one_of(&CATEGORIES).unwrap_or_default();
    let cents = least + random.below(more);
    let (hour, minute) = (8 + random.below(12), random.below(60));
    Line {
        order_id,
        ordered_at: format!("{} {hour:02}:{minute:02}:00", date(day)),
        customer_id: customer(1 + random.below(CUSTOMERS)),
        category,
        quantity: (1 + random.below(4)).to_string(),
        unit_price: format!("{}.{:02}", cents / 100, cents % 100),
        status: "placed",
        day,
    }
}

/// In one of four ways, by turns.
fn breaks(line: &mut Line, number: u64) {
    match number % 4 {
        0 => line.quantity = "-1".to_owned(),
        1 => line.unit_price = "n/a".to_owned(),
        2 => line.customer_id = customer(CUSTOMERS + 1 + number),
        _ => line.ordered_at = "2026-02-30 10:00:00".to_owned(),
    }
}

fn customer(number: u64) -> String {
    format!("C{number:04}")
}

fn date(day: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default() + TimeDelta::days(day.cast_signed())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_month_of_orders_is_the_same_each_time_and_has_every_kind_of_trouble() {
        let lines = lines();
        assert_eq!(lines, super::lines());
        let orders: BTreeSet<u64> = lines.iter().map(|line| line.order_id).collect();
        assert_eq!(orders.len() as u64, DAYS * ORDERS_A_DAY);
        assert!(lines.len() > orders.len(), "no order was sent again");
        // Which line of an order is the newest one is told by the file alone.
        let places: BTreeSet<(u64, u64)> = lines.iter().map(|line| (line.order_id, line.day)).collect();
        assert_eq!(places.len(), lines.len());
        assert!(lines.iter().all(|line| line.day < DAYS));
        let count = |is: &dyn Fn(&Line) -> bool| lines.iter().filter(|line| is(line)).count();
        assert!(
            count(&|line| line.status == "placed" && !line.ordered_at.starts_with(&date(line.day).to_string())) > 0
        );
        for (what, broken) in [
            ("quantity", count(&|line| line.quantity == "-1")),
            ("price", count(&|line| line.unit_price == "n/a")),
            ("customer", count(&|line| line.customer_id > customer(CUSTOMERS))),
            ("date", count(&|line| line.ordered_at.starts_with("2026-02-30"))),
        ] {
            assert!(broken > 0, "no {what} is broken");
        }
        assert_eq!(super::orders(0).unwrap(), super::orders(0).unwrap());
        assert_eq!(customers().unwrap().num_rows() as u64, CUSTOMERS);
    }
}
