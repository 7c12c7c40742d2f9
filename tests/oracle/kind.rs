//! The types of random columns: their random values, and how SQL writes them.

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::ScalarValue;

use crate::chance::Chance;

/// The types that a predicate can compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Real,
    Double,
    Text,
    Binary,
    Date,
    /// In UTC.
    Instant,
    /// Without a zone.
    Local,
    Price,
    /// More digits than a 64-bit integer has.
    Huge,
}

pub const KINDS: [Kind; 14] = [
    Kind::Boolean,
    Kind::TinyInt,
    Kind::SmallInt,
    Kind::Int,
    Kind::BigInt,
    Kind::Real,
    Kind::Double,
    Kind::Text,
    Kind::Binary,
    Kind::Date,
    Kind::Instant,
    Kind::Local,
    Kind::Price,
    Kind::Huge,
];

/// Texts that begin alike: statistics keep 32 characters.
const LONG: &str = "a beginning that is longer than what statistics keep: ";
/// What sorts oddly, must be escaped in a path, or takes several bytes.
const ODD: [&str; 10] =
    ["", " ", "a b/c=d%20", "ü", "\u{10ffff}", "\u{7f}", "it's", "A", "__HIVE_DEFAULT_PARTITION__", "null"];

impl Kind {
    pub fn arrow(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::TinyInt => DataType::Int8,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Real => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Text => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Local => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Price => DataType::Decimal128(10, 2),
            Self::Huge => DataType::Decimal128(38, 6),
        }
    }

    pub fn field(self, name: &str) -> Field {
        Field::new(name, self.arrow(), true)
    }

    pub fn is_float(self) -> bool {
        matches!(self, Self::Real | Self::Double)
    }

    pub fn is_integer(self) -> bool {
        matches!(self, Self::TinyInt | Self::SmallInt | Self::Int | Self::BigInt)
    }

    /// A value near `base`, so that files differ; sometimes one at the end of the type.
    pub fn value(self, chance: &mut Chance, base: i64) -> ScalarValue {
        let n = base * 3 + chance.within(-2..=2);
        let extreme = chance.once_in(15);
        match self {
            Self::Boolean => ScalarValue::Boolean(Some(n % 2 == 0)),
            Self::TinyInt => ScalarValue::Int8(Some(if extreme { *chance.pick(&[i8::MIN, i8::MAX]) } else { n as i8 })),
            Self::SmallInt => {
                ScalarValue::Int16(Some(if extreme { *chance.pick(&[i16::MIN, i16::MAX]) } else { n as i16 * 100 }))
            }
            Self::Int => ScalarValue::Int32(Some(if extreme { *chance.pick(&[i32::MIN, i32::MAX]) } else { n as i32 })),
            Self::BigInt => ScalarValue::Int64(Some(match extreme {
                true => *chance.pick(&[i64::MIN, i64::MAX, 1 << 53, (1 << 53) + 1]),
                false => n,
            })),
            Self::Real => ScalarValue::Float32(Some(float(chance, n) as f32)),
            Self::Double => ScalarValue::Float64(Some(float(chance, n))),
            Self::Text => ScalarValue::Utf8(Some(text(chance, n))),
            Self::Binary => ScalarValue::Binary(Some(match extreme {
                true => vec![0xff; 40],
                false => [b"\x00bytes ".as_slice(), n.to_string().as_bytes()].concat(),
            })),
            Self::Date => ScalarValue::Date32(Some(if extreme { -800_000 } else { n as i32 * 31 })),
            Self::Instant => ScalarValue::TimestampMicrosecond(Some(micros(chance, n)), Some("UTC".into())),
            Self::Local => ScalarValue::TimestampMicrosecond(Some(micros(chance, n)), None),
            Self::Price => ScalarValue::Decimal128(Some(i128::from(n) * 100 + 25), 10, 2),
            Self::Huge => {
                let step = 10_i128.pow(if extreme { 36 } else { 20 });
                ScalarValue::Decimal128(Some(i128::from(n) * step + i128::from(chance.within(0..=1))), 38, 6)
            }
        }
    }

    /// NULL one time in six.
    pub fn value_or_null(self, chance: &mut Chance, base: i64) -> ScalarValue {
        match chance.once_in(6) {
            true => ScalarValue::try_from(&self.arrow()).unwrap(),
            false => self.value(chance, base),
        }
    }

    /// A value as SQL, with its type.
    pub fn literal(self, value: &ScalarValue) -> String {
        let name = match self {
            Self::Boolean => "BOOLEAN",
            Self::TinyInt => "TINYINT",
            Self::SmallInt => "SMALLINT",
            Self::Int => "INT",
            Self::BigInt => "BIGINT",
            Self::Real => "REAL",
            Self::Double => "DOUBLE",
            Self::Text => "VARCHAR",
            Self::Binary => return blob(value),
            Self::Date => "DATE",
            Self::Instant => "TIMESTAMP WITH TIME ZONE",
            Self::Local => "TIMESTAMP",
            Self::Price => "DECIMAL(10, 2)",
            Self::Huge => "DECIMAL(38, 6)",
        };
        match value.is_null() {
            true => format!("CAST(NULL AS {name})"),
            false => format!("CAST('{}' AS {name})", plain(value).replace('\'', "''")),
        }
    }
}

fn plain(value: &ScalarValue) -> String {
    match value {
        // The shortest text that is read back as the same number, infinities and NaN too.
        ScalarValue::Float32(Some(number)) => format!("{number:?}"),
        ScalarValue::Float64(Some(number)) => format!("{number:?}"),
        ScalarValue::Utf8(Some(text)) => text.clone(),
        value => {
            let array = value.to_array().unwrap();
            arrow::util::display::array_value_to_string(&array, 0).unwrap()
        }
    }
}

fn blob(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Binary(Some(bytes)) => {
            format!("X'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
        _ => "CAST(NULL AS BYTEA)".to_owned(),
    }
}

fn float(chance: &mut Chance, n: i64) -> f64 {
    match chance.below(16) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        3 => -0.0,
        4 => 0.0,
        _ => n as f64 + 0.5,
    }
}

fn text(chance: &mut Chance, n: i64) -> String {
    match chance.below(4) {
        0 => format!("{LONG}{n}"),
        1 => (*chance.pick(&ODD)).to_owned(),
        _ => format!("k{n:+03}"),
    }
}

fn micros(chance: &mut Chance, n: i64) -> i64 {
    // Statistics keep milliseconds: a microsecond makes the difference.
    let part = *chance.pick(&[0, 1, 999, 1000, 123_456]);
    n * 86_400_000_000 * 200 + part
}
