//! Fields of structs in rules, taken where the rule is looked at.
//!
//! The optimizer takes `s.a` out of an expression and computes it as far down as it can. A write has projections upon each
//! other that give columns the names that they have already, and between those it loses its way: a column stands there
//! twice. Whoever writes a struct reads all of it, so nothing is won by that move, and rules do not take part in it.

use std::sync::Arc;

use arrow::{
    array::Array,
    compute::{is_null, nullif},
    datatypes::{DataType, FieldRef},
};
use datafusion::{
    common::tree_node::{Transformed, TransformedResult, TreeNode},
    config::ConfigOptions,
    error::{DataFusionError, Result},
    functions::core::get_field,
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        expr::ScalarFunction,
    },
    scalar::ScalarValue,
};

/// The same expression; nothing of it is computed elsewhere.
pub(super) fn in_place(expr: Expr) -> Result<Expr> {
    let library = get_field();
    let changed = expr.transform_up(|part| match part {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == library.name() => {
            let field = Field { inner: func, signature: Signature::variadic_any(Volatility::Immutable) };
            Ok(Transformed::yes(ScalarUDF::new_from_impl(field).call(args)))
        }
        other => Ok(Transformed::no(other)),
    });
    changed.data()
}

/// The library's function under another name: its optimizer goes by the function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Field {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl Field {
    /// One step down. A struct that is NULL has no fields, whatever lies in their place.
    fn step(&self, base: &ColumnarValue, key: &ColumnarValue, args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (base_field, key_field) = match args.arg_fields.as_slice() {
            [_, key, ..] => (Arc::new(arrow::datatypes::Field::new("base", base.data_type(), true)), key.clone()),
            _ => return Err(no_field()),
        };
        let arg_fields = vec![base_field, key_field];
        let name = match key {
            ColumnarValue::Scalar(name) => Some(name),
            ColumnarValue::Array(_) => None,
        };
        let asked = ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &[None, name] };
        let return_field = self.inner.return_field_from_args(asked)?;
        let value = self.inner.invoke_with_args(ScalarFunctionArgs {
            args: vec![base.clone(), key.clone()],
            arg_fields,
            number_rows: args.number_rows,
            return_field,
            config_options: Arc::<ConfigOptions>::clone(&args.config_options),
        })?;
        let (ColumnarValue::Array(parent), ColumnarValue::Array(child)) = (base, &value) else { return Ok(value) };
        if !matches!(parent.data_type(), DataType::Struct(_)) || parent.null_count() == 0 {
            return Ok(value);
        }
        Ok(ColumnarValue::Array(nullif(child, &is_null(parent)?)?))
    }
}

impl ScalarUDFImpl for Field {
    fn name(&self) -> &str {
        "field_in_place"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Err(no_field())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((base, keys)) = args.args.split_first() else { return Err(no_field()) };
        let (mut value, is_constant) = match base {
            ColumnarValue::Array(_) => (base.clone(), false),
            ColumnarValue::Scalar(one) => (ColumnarValue::Array(one.to_array()?), true),
        };
        for key in keys {
            value = self.step(&value, key, &args)?;
        }
        match value {
            ColumnarValue::Array(one) if is_constant => ScalarValue::try_from_array(&one, 0).map(ColumnarValue::Scalar),
            value => Ok(value),
        }
    }
}

fn no_field() -> DataFusionError {
    DataFusionError::Internal("a field of a struct takes the struct and a name".into())
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, AsArray, Int32Array, StructArray},
        buffer::NullBuffer,
        datatypes::{Field, Fields, Int32Type},
        record_batch::RecordBatch,
    };
    use datafusion::{
        common::DFSchema,
        functions::core::expr_fn::get_field,
        logical_expr::{
            ExpressionPlacement, col, execution_props::ExecutionProps, lit,
            physical_planning_context::PhysicalPlanningContext,
        },
        physical_expr::create_physical_expr,
    };

    use super::*;

    #[test]
    fn a_field_stays_where_it_is_and_a_null_struct_has_none() {
        let inner = Fields::from(vec![Field::new("b", DataType::Int32, true)]);
        let outer = Fields::from(vec![Field::new("a", DataType::Struct(inner.clone()), true)]);
        let values: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
        let inner = StructArray::new(inner, vec![values], Some(NullBuffer::from(vec![true, true, false])));
        let outer = StructArray::new(outer, vec![Arc::new(inner)], Some(NullBuffer::from(vec![true, false, true])));
        let batch = RecordBatch::try_from_iter_with_nullable([("s", Arc::new(outer) as ArrayRef, true)]).unwrap();
        let schema = DFSchema::try_from(batch.schema()).unwrap();

        let chain = in_place(get_field(get_field(col("s"), "a"), "b")).unwrap();
        assert_eq!(chain.placement(), ExpressionPlacement::KeepInPlace);
        let Expr::ScalarFunction(function) = &chain else { panic!("{chain}") };
        let path = function.func.call(vec![col("s"), lit("a"), lit("b")]);
        for expr in [chain.clone(), path] {
            let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
            let physical = create_physical_expr(&expr, &schema, &props, &context).unwrap();
            let found = physical.evaluate(&batch).unwrap().into_array(3).unwrap();
            let found: Vec<Option<i32>> = found.as_primitive::<Int32Type>().iter().collect();
            assert_eq!(found, [Some(1), None, None], "{expr}");
        }
    }
}
