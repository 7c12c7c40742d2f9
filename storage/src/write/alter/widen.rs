//! Wider types: which ones the protocol allows, and what it wants to be told.
//!
//! Delta protocol, "Type Widening": a field keeps the list of its changes as metadata, so that readers know that older
//! files have a narrower type. What is no field, in an array or a map, is told by the field around it, with the way to it.

use arrow::datatypes::DataType as ArrowType;
use deltalake::kernel::{
    DataType, DecimalType, MetadataValue, PrimitiveType, StructField, engine::arrow_conversion::TryIntoArrow,
};
use serde_json::{Value, json};

use super::columns::change_type;
use crate::write::{features::TYPE_CHANGES, type_name};

/// Gives the field, or what lies `steps` deep in its arrays and maps, a wider type and notes the change. `on`: the table's
/// property allows it.
pub(super) fn widen(field: &mut StructField, steps: &[String], to: &DataType, on: bool) -> Result<(), String> {
    let mut whole = field.data_type.clone();
    let from = std::cell::RefCell::new(None);
    change_type(&mut whole, steps, &|kind| {
        from.replace(Some(std::mem::replace(kind, to.clone())));
        Ok(())
    })?;
    let Some(from) = from.into_inner().filter(|from| from != to) else { return Ok(()) };
    let name = std::iter::once(&field.name).chain(steps).map(String::as_str).collect::<Vec<_>>().join(".");
    let (given, into) = (in_sql(&from), in_sql(to));
    let refused = |why: &str| Err(format!("column \"{name}\" cannot change from {given} to {into}: {why}"));
    let (DataType::Primitive(old), DataType::Primitive(new)) = (&from, to) else {
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
    let mut change = json!({ "fromType": old.to_string(), "toType": new.to_string() });
    if let (false, Some(change)) = (steps.is_empty(), change.as_object_mut()) {
        change.insert("fieldPath".into(), steps.join(".").into());
    }
    changes.push(change);
    field.metadata.insert(TYPE_CHANGES.to_owned(), MetadataValue::Other(Value::Array(changes)));
    field.data_type = whole;
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
    use deltalake::kernel::{ArrayType, MapType};

    use super::*;

    #[test]
    fn a_change_is_noted_behind_those_before_it() {
        let mut field = StructField::new("a", DataType::SHORT, true);
        assert!(widen(&mut field, &[], &DataType::INTEGER, false).is_err());
        widen(&mut field, &[], &DataType::INTEGER, true).unwrap();
        widen(&mut field, &[], &DataType::LONG, true).unwrap();
        let noted = field.metadata.get(TYPE_CHANGES).unwrap().to_string();
        assert_eq!(
            serde_json::from_str::<Value>(&noted).unwrap(),
            json!([{ "fromType": "short", "toType": "integer" }, { "fromType": "integer", "toType": "long" }])
        );
        for narrower in [DataType::INTEGER, DataType::DOUBLE, DataType::STRING, DataType::decimal(19, 0).unwrap()] {
            assert!(widen(&mut field, &[], &narrower, true).is_err(), "{narrower}");
        }
    }

    #[test]
    fn what_is_no_field_is_told_by_the_field_around_it() {
        let inner = DataType::from(ArrayType::new(DataType::INTEGER, true));
        let mut field = StructField::new("m", DataType::from(MapType::new(DataType::SHORT, inner, true)), true);
        let way = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        widen(&mut field, &way("value.element"), &DataType::LONG, true).unwrap();
        widen(&mut field, &way("key"), &DataType::INTEGER, true).unwrap();
        assert!(widen(&mut field, &way("value"), &DataType::LONG, true).is_err());
        let inner = DataType::from(ArrayType::new(DataType::LONG, true));
        assert_eq!(field.data_type, DataType::from(MapType::new(DataType::INTEGER, inner, true)));
        let noted = field.metadata.get(TYPE_CHANGES).unwrap().to_string();
        assert_eq!(
            serde_json::from_str::<Value>(&noted).unwrap(),
            json!([
                { "fromType": "integer", "toType": "long", "fieldPath": "value.element" },
                { "fromType": "short", "toType": "integer", "fieldPath": "key" }
            ])
        );
    }
}
