//! Which types fit into which without losing anything, and which a Delta table can hold at all.
//!
//! One pair is kinder: a decimal fits into DOUBLE. Hardly any fraction is a DOUBLE to the last digit, so by the rule no
//! quotient, price or average could go into such a column; who chose the type chose the nearest number that it has. Other
//! databases assign the same. REAL, with its seven digits, would lose what people see, and is not meant.

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};

/// Whether every value of `from` is kept by a cast to `to`, or of a decimal by one to DOUBLE what DOUBLE can keep. Nanoseconds fit into microseconds only as far as a check while
/// rows flow says so (see `check.rs`); here they count as fitting.
pub(super) fn fits(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (from, to) if from == to => true,
        (Null, _) => true,
        (Dictionary(_, values), to) => fits(values, to),
        (RunEndEncoded(_, values), to) => fits(values.data_type(), to),
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => true,
        (Binary | LargeBinary | BinaryView | FixedSizeBinary(_), Binary | LargeBinary | BinaryView) => true,
        (Date64, Date32) => true,
        (Date32 | Date64, Timestamp(_, None)) => true,
        (Timestamp(from, from_zone), Timestamp(to, to_zone)) => {
            from_zone.is_some() == to_zone.is_some() && (digits(from) <= digits(to) || digits(to) >= 6)
        }
        (from, to) if is_number(from) && is_number(to) => number_fits(from, to),
        (Struct(from), Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| from.name() == to.name() && field_fits(from, to))
        }
        (List(from) | LargeList(from) | ListView(from) | LargeListView(from) | FixedSizeList(from, _), List(to)) => {
            field_fits(from, to)
        }
        (Map(from, _), Map(to, _)) => match (from.data_type(), to.data_type()) {
            (Struct(from), Struct(to)) if from.len() == 2 && to.len() == 2 => {
                from.iter().zip(to).all(|(from, to)| field_fits(from, to))
            }
            _ => false,
        },
        _ => false,
    }
}

/// Whether values may lose digits of a second on the way.
pub(super) fn cuts_nanoseconds(from: &DataType, to: &DataType) -> bool {
    matches!(
        (from, to),
        (DataType::Timestamp(TimeUnit::Nanosecond, _), DataType::Timestamp(unit, _)) if *unit != TimeUnit::Nanosecond
    )
}

pub(super) fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// Nested types hold no nanoseconds: a check inside of them is not made, so they do not fit there.
fn field_fits(from: &FieldRef, to: &FieldRef) -> bool {
    fits(from.data_type(), to.data_type()) && !cuts_nanoseconds(from.data_type(), to.data_type())
}

fn number_fits(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    // Decimal digits before and after the point that hold every value of an integer type.
    let integer_digits = |data_type: &DataType| match data_type {
        Int8 | UInt8 => Some(3),
        Int16 | UInt16 => Some(5),
        Int32 | UInt32 => Some(10),
        Int64 => Some(19),
        UInt64 => Some(20),
        _ => None,
    };
    let decimal = |data_type: &DataType| match data_type {
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) => Some((i32::from(*p), i32::from(*s))),
        _ => None,
    };
    // Bits that hold every value: of an integer its range, of a float its mantissa.
    let range = |data_type: &DataType| match data_type {
        Int8 => Some((7, true)),
        Int16 => Some((15, true)),
        Int32 => Some((31, true)),
        Int64 => Some((63, true)),
        UInt8 => Some((8, false)),
        UInt16 => Some((16, false)),
        UInt32 => Some((32, false)),
        UInt64 => Some((64, false)),
        _ => None,
    };
    let mantissa = |data_type: &DataType| match data_type {
        Float16 => Some(11),
        Float32 => Some(24),
        Float64 => Some(53),
        _ => None,
    };
    if let Some((precision, scale)) = decimal(to) {
        return match (decimal(from), integer_digits(from)) {
            (Some((p, s)), _) => s <= scale && p - s <= precision - scale,
            (_, Some(digits)) => digits <= precision - scale && scale >= 0,
            _ => false,
        };
    }
    if let Some((precision, scale)) = decimal(from) {
        if *to == Float64 {
            return true;
        }
        // So many digits are fewer than the integer's largest value has.
        return scale <= 0 && integer_digits(to).is_some_and(|digits| precision - scale < digits);
    }
    match (range(from), range(to), mantissa(from), mantissa(to)) {
        (Some((bits, signed)), Some((to_bits, to_signed)), ..) => bits <= to_bits && (to_signed || !signed),
        (Some((bits, _)), _, _, Some(to_mantissa)) => bits <= to_mantissa,
        (_, _, Some(from), Some(to)) => from <= to,
        _ => false,
    }
}

fn digits(unit: &TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// The type in which a table keeps values of a type, or why it cannot.
pub fn kept_type(data_type: &DataType) -> Result<DataType, &'static str> {
    delta_type(data_type)
}

/// The type in which a Delta table keeps values of `data_type`, or why it cannot.
///
/// Unsigned integers become the next wider signed one (64 bits: `DECIMAL(20, 0)`), half floats become `FLOAT`, views, large
/// and dictionary forms become the plain type, timestamps have microseconds and are either UTC or without a zone.
pub(super) fn delta_type(data_type: &DataType) -> Result<DataType, &'static str> {
    use DataType::*;
    Ok(match data_type {
        Boolean | Int8 | Int16 | Int32 | Int64 | Float32 | Float64 | Utf8 | Binary | Date32 => data_type.clone(),
        UInt8 => Int16,
        UInt16 => Int32,
        UInt32 => Int64,
        UInt64 => Decimal128(20, 0),
        Float16 => Float32,
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) if *p <= 38 && *s >= 0 => {
            Decimal128(*p, *s)
        }
        Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => {
            return Err("a decimal has at most 38 digits and no negative scale");
        }
        LargeUtf8 | Utf8View => Utf8,
        LargeBinary | BinaryView | FixedSizeBinary(_) => Binary,
        Date64 => Date32,
        Timestamp(_, None) => Timestamp(TimeUnit::Microsecond, None),
        Timestamp(_, Some(_)) => Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Dictionary(_, values) => delta_type(values)?,
        RunEndEncoded(_, values) => delta_type(values.data_type())?,
        List(item) | LargeList(item) | ListView(item) | LargeListView(item) | FixedSizeList(item, _) => {
            List(Field::new("element", delta_type(item.data_type())?, item.is_nullable()).into())
        }
        Struct(fields) => Struct(delta_fields(fields)?),
        Map(entries, _) => match entries.data_type() {
            Struct(pair) if pair.len() == 2 => {
                let key = Field::new("key", delta_type(pair[0].data_type())?, false);
                let value = Field::new("value", delta_type(pair[1].data_type())?, pair[1].is_nullable());
                Map(Field::new("key_value", Struct(vec![key, value].into()), false).into(), false)
            }
            _ => return Err("a map has keys and values"),
        },
        Null => return Err("the type is not known; cast the value to one"),
        Time32(_) | Time64(_) => return Err("Delta tables have no time of day; keep it as text or as a number"),
        Interval(_) | Duration(_) => return Err("Delta tables have no intervals; keep it as a number"),
        Union(..) => return Err("Delta tables have no unions"),
    })
}

fn delta_fields(fields: &Fields) -> Result<Fields, &'static str> {
    let fields = fields.iter().map(|field| Ok(field.as_ref().clone().with_data_type(delta_type(field.data_type())?)));
    fields.collect::<Result<Vec<_>, _>>().map(Fields::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_casts_that_keep_every_value_fit() {
        use DataType::*;
        let micros = |zone: Option<&str>| Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        let keep = [
            (Int32, Int64),
            (UInt32, Int64),
            (Float32, Float64),
            (Int32, Float64),
            (Int16, Float32),
            (Int32, Decimal128(10, 0)),
            (Int64, Decimal128(21, 2)),
            (Decimal128(10, 2), Decimal128(12, 4)),
            (Decimal128(18, 0), Int64),
            (Decimal128(10, 2), Float64),
            (Decimal256(50, 10), Float64),
            (Utf8View, Utf8),
            (Dictionary(Int32.into(), Utf8.into()), Utf8),
            (Date32, micros(None)),
            (Timestamp(TimeUnit::Second, None), micros(None)),
            (Timestamp(TimeUnit::Millisecond, Some("+00:00".into())), micros(Some("UTC"))),
            (Null, Int32),
        ];
        for (from, to) in keep {
            assert!(fits(&from, &to), "{from} -> {to}");
        }
        let lose = [
            (Int64, Int32),
            (Int64, Float64),
            (Int32, Float32),
            (UInt64, Int64),
            (Int32, UInt64),
            (Float64, Float32),
            (Float64, Decimal128(38, 10)),
            (Int32, Decimal128(10, 2)),
            (Decimal128(10, 2), Decimal128(10, 1)),
            (Decimal128(10, 2), Decimal128(10, 4)),
            (Decimal128(19, 0), Int64),
            (Decimal128(10, 2), Float32),
            (Utf8, Int32),
            (Int32, Utf8),
            (Boolean, Int32),
            (Int32, Date32),
            (micros(None), micros(Some("UTC"))),
            (micros(Some("UTC")), micros(None)),
            (Date32, micros(Some("UTC"))),
            (micros(None), Timestamp(TimeUnit::Second, None)),
            (micros(None), Date32),
        ];
        for (from, to) in lose {
            assert!(!fits(&from, &to), "{from} -> {to}");
        }
    }

    #[test]
    fn every_type_fits_into_the_one_that_delta_keeps_it_in() {
        use DataType::*;
        let types = [UInt8, UInt16, UInt32, UInt64, Float16, LargeUtf8, Utf8View, Date64, FixedSizeBinary(4)];
        for data_type in types {
            let kept = delta_type(&data_type).unwrap();
            assert!(fits(&data_type, &kept), "{data_type} -> {kept}");
            assert_eq!(delta_type(&kept), Ok(kept));
        }
        assert!(delta_type(&Time64(TimeUnit::Microsecond)).is_err());
        assert!(delta_type(&Decimal256(50, 2)).is_err());
    }
}
