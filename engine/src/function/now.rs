//! `now()` with microseconds, like every other time here.
//!
//! DataFusion's has nanoseconds; a comparison with it would cast the other side to nanoseconds, which end in 2262.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef, TimeUnit},
    common::{Result, ScalarValue, config::ConfigOptions, internal_err},
    logical_expr::{
        ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility,
        simplify::{ExprSimplifyResult, SimplifyContext},
    },
};

/// `now` and `current_timestamp`: the time at which the statement began, the same all through it.
pub(crate) fn now() -> ScalarUDF {
    Now::new(&ConfigOptions::default()).into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Now {
    signature: Signature,
    aliases: Vec<String>,
    zone: Option<Arc<str>>,
}

impl Now {
    fn new(options: &ConfigOptions) -> Self {
        Self {
            signature: Signature::nullary(Volatility::Stable),
            aliases: vec!["current_timestamp".to_owned()],
            zone: options.execution.time_zone.as_deref().map(Arc::from),
        }
    }
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        "now"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn with_updated_config(&self, options: &ConfigOptions) -> Option<ScalarUDF> {
        Some(Self::new(options).into())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, self.zone.clone()))
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new("now", self.return_type(&[])?, false)))
    }

    /// Planning has put the time in its place.
    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("now() is a constant once a statement is planned")
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match context.query_execution_start_time() {
            Some(now) => {
                let value = ScalarValue::TimestampMicrosecond(Some(now.timestamp_micros()), self.zone.clone());
                ExprSimplifyResult::Simplified(Expr::Literal(value, None))
            }
            None => ExprSimplifyResult::Original(args),
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        None
    }
}
