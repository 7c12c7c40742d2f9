//! Minima and maxima as writers store them, made into bounds that hold.
//!
//! The log keeps statistics as JSON: text may be cut after 32 characters, timestamps after the millisecond, decimals
//! may have passed through a float, and NaN is not counted at all although SQL compares it. Here a bound is moved
//! outwards by what may be missing, or dropped.

use std::{borrow::Cow, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, PrimitiveArray, StringArray},
    datatypes::{DataType, Decimal128Type, TimeUnit, TimestampMicrosecondType},
};

/// Text this long may be the beginning of something longer.
const CUT_TEXT_CHARS: usize = 32;
/// Larger numbers do not survive a float.
const FLOAT_SAFE: u128 = 1_000_000_000_000_000;
const MICROS_PER_MILLI: i64 = 1000;

/// Are these values that occur in the files, for every file?
pub(super) fn are_exact(min: Option<&ArrayRef>, max: Option<&ArrayRef>) -> bool {
    [min, max].into_iter().flatten().all(|values| match values.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32 => true,
        DataType::Decimal128(_, _) => {
            values.as_primitive::<Decimal128Type>().iter().flatten().all(|v| v.unsigned_abs() < FLOAT_SAFE)
        }
        _ => false,
    })
}

/// Values not above any value of the column; `None` when nothing can be said.
pub(super) fn lower(min: &ArrayRef) -> Option<ArrayRef> {
    match min.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            // Rounding towards zero moves times before 1970 up.
            let moved = min
                .as_primitive::<TimestampMicrosecondType>()
                .unary(|v| if v < 0 && v % MICROS_PER_MILLI == 0 { v.saturating_sub(MICROS_PER_MILLI - 1) } else { v });
            Some(with_zone(moved, zone.as_ref()))
        }
        DataType::Decimal128(_, _) => Some(decimal(min, |v, slack| v.saturating_sub(slack))),
        kind if is_plain(kind) || kind == &DataType::Utf8 => Some(min.clone()),
        _ => None,
    }
}

/// Values not below any value of the column; `None` when nothing can be said.
pub(super) fn upper(max: &ArrayRef) -> Option<ArrayRef> {
    match max.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let moved = max
                .as_primitive::<TimestampMicrosecondType>()
                .unary(|v| if v % MICROS_PER_MILLI == 0 { v.saturating_add(MICROS_PER_MILLI - 1) } else { v });
            Some(with_zone(moved, zone.as_ref()))
        }
        DataType::Decimal128(_, _) => Some(decimal(max, |v, slack| v.saturating_add(slack))),
        DataType::Utf8 => {
            let texts = max.as_string::<i32>();
            match texts.offsets().lengths().all(|bytes| bytes < CUT_TEXT_CHARS) {
                true => Some(max.clone()),
                false => Some(Arc::new(texts.iter().map(|text| text.map(past_text)).collect::<StringArray>())),
            }
        }
        kind if is_plain(kind) => Some(max.clone()),
        _ => None,
    }
}

/// Types whose statistics are the values themselves. Floats are not among them: statistics leave NaN out, but a
/// comparison with NaN may be true, at either end, because NaN has a sign.
fn is_plain(kind: &DataType) -> bool {
    kind.is_signed_integer() || kind == &DataType::Date32
}

fn with_zone(values: PrimitiveArray<TimestampMicrosecondType>, zone: Option<&Arc<str>>) -> ArrayRef {
    Arc::new(values.with_timezone_opt(zone.cloned()))
}

fn decimal(values: &ArrayRef, widen: impl Fn(i128, i128) -> i128) -> ArrayRef {
    let moved: PrimitiveArray<Decimal128Type> = values
        .as_primitive::<Decimal128Type>()
        .unary(|v| if v.unsigned_abs() < FLOAT_SAFE { v } else { widen(v, (v.abs() >> 50) + 1) });
    Arc::new(moved.with_data_type(values.data_type().clone()))
}

/// Text that sorts after everything that begins with `text`, when `text` may have been cut.
fn past_text(text: &str) -> Cow<'_, str> {
    if text.len() >= CUT_TEXT_CHARS && (text.len() >= 2 * CUT_TEXT_CHARS || text.chars().count() >= CUT_TEXT_CHARS) {
        let mut longer = text.to_owned();
        longer.push(char::MAX);
        return Cow::Owned(longer);
    }
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Float64Array, Int64Array, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn text_that_may_be_cut_sorts_after_its_continuations() {
        let (whole, cut) = ("short".to_owned(), "x".repeat(32));
        let max: ArrayRef = Arc::new(StringArray::from(vec![Some(whole.as_str()), Some(cut.as_str()), None]));
        let widened = upper(&max).unwrap();
        let widened = widened.as_string::<i32>();
        assert_eq!(widened.value(0), whole);
        assert!(widened.value(1) > format!("{cut}zzz").as_str() && widened.is_null(2));
        assert!(!are_exact(None, Some(&max)));
    }

    #[test]
    fn timestamps_cover_their_millisecond() {
        let values: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![5_000, 5_001, -5_000]).with_timezone("UTC"));
        let (low, high) = (lower(&values).unwrap(), upper(&values).unwrap());
        assert_eq!(low.as_primitive::<TimestampMicrosecondType>().values(), &[5_000, 5_001, -5_999]);
        assert_eq!(high.as_primitive::<TimestampMicrosecondType>().values(), &[5_999, 5_001, -4_001]);
        assert_eq!((low.data_type(), high.data_type()), (values.data_type(), values.data_type()));
    }

    #[test]
    fn decimals_beyond_a_float_are_widened() {
        let wide = 12_345_678_901_234_567_890_i128;
        let values = Decimal128Array::from(vec![150, wide]).with_precision_and_scale(38, 2).unwrap();
        let values: ArrayRef = Arc::new(values);
        let high = upper(&values).unwrap();
        let rounded = wide as f64 as i128;
        assert_eq!(high.as_primitive::<Decimal128Type>().value(0), 150);
        assert!(high.as_primitive::<Decimal128Type>().value(1) > wide + (wide - rounded).abs());
        assert!(!are_exact(Some(&values), None));
    }

    #[test]
    fn floats_have_no_bounds_and_integers_exact_ones() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(lower(&floats).is_none() && upper(&floats).is_none() && !are_exact(Some(&floats), None));
        assert!(are_exact(Some(&whole), Some(&whole)) && upper(&whole).is_some());
    }
}
