//! Wider types: which ones the protocol allows, and what it wants to be told.
//!
//! Delta protocol, "Type Widening": a field keeps the list of its changes as metadata, so that readers know that older
//! files have a narrower type.

use arrow::datatypes::DataType as ArrowType;
use deltalake::kernel::{
    DataType, DecimalType, MetadataValue, PrimitiveType, StructField, engine::arrow_conversion::TryIntoArrow,
};
use serde_json::{Value, json};

use crate::write::{features::TYPE_CHANGES, type_name};

/// Gives the field a wider type and notes the change. `on`: the table's property allows it.
pub(super) fn widen(field: &mut StructField, to: &DataType, on: bool) -> Result<(), String> {
    if field.data_type == *to {
        return Ok(());
    }
    let (from, into) = (in_sql(&field.data_type), in_sql(to));
    let refused = |why: &str| Err(format!("column \"{}\" cannot change from {from} to {into}: {why}", field.name));
    let (DataType::Primitive(old), DataType::Primitive(new)) = (&field.data_type, to) else {
        return refused("only plain types become wider");
    };
    if !is_wider(old, new) {
        return refused("not every value would fit; make a new column and fill it with CAST");
    }
    if !on {
        return refused("set the property \"delta.enableTypeWidening\" to \"true\" first");
    }
    let mut changes = match field.metadata.get(TYPE_CHANGES) {
        Some(MetadataValue::Other(Value::Array(changes))) => changes.clone(),
        _ => Vec::new(),
    };
    changes.push(json!({ "fromType": old.to_string(), "toType": new.to_string() }));
    field.metadata.insert(TYPE_CHANGES.to_owned(), MetadataValue::Other(Value::Array(changes)));
    field.data_type = to.clone();
    Ok(())
}

fn in_sql(kind: &DataType) -> String {
    let arrow: Result<ArrowType, _> = kind.try_into_arrow();
    arrow.map_or_else(|_| kind.to_string(), |arrow| type_name(&arrow))
}

/// The list of the protocol.
fn is_wider(old: &PrimitiveType, new: &PrimitiveType) -> bool {
    use PrimitiveType::*;
    match (old, new) {
        (Byte, Short | Integer | Long | Double) => true,
        (Short, Integer | Long | Double) => true,
        (Integer, Long | Double) => true,
        (Float, Double) => true,
        (Date, TimestampNtz) => true,
        (Byte | Short | Integer, Decimal(to)) => whole_digits(to) >= 10,
        (Long, Decimal(to)) => whole_digits(to) >= 20,
        (Decimal(from), Decimal(to)) => to.scale() >= from.scale() && whole_digits(to) >= whole_digits(from),
        _ => false,
    }
}

fn whole_digits(decimal: &DecimalType) -> u8 {
    decimal.precision().saturating_sub(decimal.scale())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_noted_behind_those_before_it() {
        let mut field = StructField::new("a", DataType::SHORT, true);
        assert!(widen(&mut field, &DataType::INTEGER, false).is_err());
        widen(&mut field, &DataType::INTEGER, true).unwrap();
        widen(&mut field, &DataType::LONG, true).unwrap();
        let noted = field.metadata.get(TYPE_CHANGES).unwrap().to_string();
        assert_eq!(
            serde_json::from_str::<Value>(&noted).unwrap(),
            json!([{ "fromType": "short", "toType": "integer" }, { "fromType": "integer", "toType": "long" }])
        );
        for narrower in [DataType::INTEGER, DataType::DOUBLE, DataType::STRING, DataType::decimal(19, 0).unwrap()] {
            assert!(widen(&mut field, &narrower, true).is_err(), "{narrower}");
        }
    }
}
