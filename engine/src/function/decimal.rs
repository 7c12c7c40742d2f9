//! `+`, `-` and `*` of decimals, quick where the values are small.
//!
//! A decimal is a whole number of 128 bits. Arrow checks each result for an overflow, which takes longer than the
//! multiplication itself. Two numbers of 64 bits cannot overflow 128: so here one pass computes and looks whether all
//! values were that small, and where one was not, Arrow computes the batch again. Types, NULLs and errors are Arrow's.

use std::sync::{Arc, LazyLock};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Datum, Decimal128Array},
        buffer::NullBuffer,
        compute::kernels::numeric,
        datatypes::{DataType, Decimal128Type},
        error::ArrowError,
    },
    common::{Result, ScalarValue, internal_err},
    logical_expr::{
        ColumnarValue, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        type_coercion::binary::BinaryTypeCoercer,
    },
    physical_expr_common::datum::apply,
};

/// The function that computes `operator` for two columns of `DECIMAL`, if there is one. SQL cannot name it.
pub(crate) fn decimal_arithmetic(operator: Operator) -> Option<Arc<ScalarUDF>> {
    static FUNCTIONS: LazyLock<[(Operator, Arc<ScalarUDF>); 3]> = LazyLock::new(|| {
        let function = |operator, name| (operator, Arc::new(DecimalArithmetic::new(operator, name).into()));
        [
            function(Operator::Plus, "decimal_add"),
            function(Operator::Minus, "decimal_subtract"),
            function(Operator::Multiply, "decimal_multiply"),
        ]
    });
    FUNCTIONS.iter().find(|(known, _)| *known == operator).map(|(_, function)| function.clone())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DecimalArithmetic {
    name: &'static str,
    operator: Operator,
    signature: Signature,
}

impl DecimalArithmetic {
    fn new(operator: Operator, name: &'static str) -> Self {
        Self { name, operator, signature: Signature::any(2, Volatility::Immutable) }
    }

    fn checked(&self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
        match self.operator {
            Operator::Plus => numeric::add(left, right),
            Operator::Minus => numeric::sub(left, right),
            _ => numeric::mul(left, right),
        }
    }
}

impl ScalarUDFImpl for DecimalArithmetic {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        let [left, right] = kinds else { return internal_err!("{} has two arguments", self.name) };
        BinaryTypeCoercer::new(left, &self.operator, right).get_result_type()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else { return internal_err!("{} has two arguments", self.name) };
        match quick(self.operator, left, right, args.return_field.data_type()) {
            Some(values) => Ok(ColumnarValue::Array(Arc::new(values))),
            None => apply(left, right, |left, right| self.checked(left, right)),
        }
    }
}

/// One side of the operator.
struct Side<'a> {
    numbers: Numbers<'a>,
    /// What brings its numbers to the scale of the result.
    factor: i64,
    nulls: Option<&'a NullBuffer>,
}

#[derive(Clone, Copy)]
enum Numbers<'a> {
    Column(&'a [i128]),
    Value(i64),
}

impl<'a> Side<'a> {
    /// `scale` is that of the result of an addition; the factors of a product need no common one.
    fn of(value: &'a ColumnarValue, scale: Option<i8>) -> Option<Self> {
        let factor = |from: i8| match scale {
            Some(scale) => 10_i64.checked_pow(scale.checked_sub(from)?.try_into().ok()?),
            None => Some(1),
        };
        match value {
            ColumnarValue::Array(array) => {
                let column = array.as_primitive_opt::<Decimal128Type>()?;
                let numbers = Numbers::Column(column.values());
                Some(Self { numbers, factor: factor(column.scale())?, nulls: column.nulls() })
            }
            ColumnarValue::Scalar(ScalarValue::Decimal128(Some(value), _, from)) => {
                let scaled = i64::try_from(value.checked_mul(factor(*from)?.into())?).ok()?;
                Some(Self { numbers: Numbers::Value(scaled), factor: 1, nulls: None })
            }
            ColumnarValue::Scalar(_) => None,
        }
    }
}

/// The result where at least one side is a column and all numbers fit into 64 bits.
fn quick(operator: Operator, left: &ColumnarValue, right: &ColumnarValue, kind: &DataType) -> Option<Decimal128Array> {
    let DataType::Decimal128(precision, scale) = kind else { return None };
    let common = (operator != Operator::Multiply).then_some(*scale);
    let (left, right) = (Side::of(left, common)?, Side::of(right, common)?);
    let (a, b) = (i128::from(left.factor), i128::from(right.factor));
    let (x, y) = (left.numbers, right.numbers);
    let numbers = match operator {
        Operator::Multiply => each(x, y, |x, y| i128::from(x) * i128::from(y)),
        Operator::Plus if (a, b) == (1, 1) => each(x, y, |x, y| i128::from(x) + i128::from(y)),
        Operator::Minus if (a, b) == (1, 1) => each(x, y, |x, y| i128::from(x) - i128::from(y)),
        // A factor is a power of ten below 2^60: each product stays below 2^123.
        Operator::Plus => each(x, y, |x, y| i128::from(x) * a + i128::from(y) * b),
        Operator::Minus => each(x, y, |x, y| i128::from(x) * a - i128::from(y) * b),
        _ => None,
    }?;
    let nulls = NullBuffer::union(left.nulls, right.nulls);
    let result = Decimal128Array::try_new(numbers.into(), nulls).ok()?;
    result.with_precision_and_scale(*precision, *scale).ok()
}

/// `f` of each pair; `None` when a number needs more than 64 bits, or neither side is a column. What stands in the place
/// of a NULL counts as well: at worst, Arrow computes.
fn each(left: Numbers<'_>, right: Numbers<'_>, f: impl Fn(i64, i64) -> i128) -> Option<Vec<i128>> {
    // The upper half of a small number repeats its sign.
    let beyond = |number: i128| ((number >> 64) as i64) ^ ((number as i64) >> 63);
    let mut wide = 0;
    let numbers: Vec<i128> = match (left, right) {
        (Numbers::Column(left), Numbers::Column(right)) if left.len() == right.len() => left
            .iter()
            .zip(right)
            .map(|(left, right)| {
                wide |= beyond(*left) | beyond(*right);
                f(*left as i64, *right as i64)
            })
            .collect(),
        (Numbers::Column(left), Numbers::Value(right)) => left
            .iter()
            .map(|left| {
                wide |= beyond(*left);
                f(*left as i64, right)
            })
            .collect(),
        (Numbers::Value(left), Numbers::Column(right)) => right
            .iter()
            .map(|right| {
                wide |= beyond(*right);
                f(left, *right as i64)
            })
            .collect(),
        _ => return None,
    };
    (wide == 0).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: [i128; 9] = [
        0,
        7,
        -7,
        i64::MAX as i128,
        i64::MIN as i128,
        i64::MAX as i128 + 1,
        i64::MIN as i128 - 1,
        // Their product is beyond 128 bits.
        1 << 100,
        -(1 << 100),
    ];

    fn column(numbers: Vec<Option<i128>>, scale: i8) -> ColumnarValue {
        let column = Decimal128Array::from(numbers).with_precision_and_scale(20, scale).unwrap();
        ColumnarValue::Array(Arc::new(column))
    }

    fn invoke(function: &DecimalArithmetic, left: &ColumnarValue, right: &ColumnarValue) -> Result<ColumnarValue> {
        let kind = function.return_type(&[left.data_type(), right.data_type()]).unwrap();
        match quick(function.operator, left, right, &kind) {
            Some(values) => Ok(ColumnarValue::Array(Arc::new(values))),
            None => apply(left, right, |left, right| function.checked(left, right)),
        }
    }

    #[test]
    fn results_and_errors_are_those_of_arrow() {
        let functions = [Operator::Plus, Operator::Minus, Operator::Multiply];
        let functions = functions.map(|operator| DecimalArithmetic::new(operator, "f"));
        let mut sides = vec![];
        for (number, scale) in NUMBERS.into_iter().flat_map(|number| [(number, 0), (number, 2), (number, 18)]) {
            sides.push(column(vec![Some(number), None, Some(3)], scale));
            sides.push(ColumnarValue::Scalar(ScalarValue::Decimal128(Some(number), 20, scale)));
        }
        sides.push(ColumnarValue::Scalar(ScalarValue::Decimal128(None, 20, 2)));
        let (mut small, mut failed) = (0, 0);
        for function in &functions {
            for (left, right) in sides.iter().flat_map(|left| sides.iter().map(move |right| (left, right))) {
                let ours = invoke(function, left, right).map(|value| value.into_array(3).unwrap());
                let theirs = apply(left, right, |left, right| function.checked(left, right));
                let theirs = theirs.map(|value| value.into_array(3).unwrap());
                match (ours, theirs) {
                    (Ok(ours), Ok(theirs)) => assert_eq!(&ours, &theirs, "{left} {} {right}", function.operator),
                    (Err(_), Err(_)) => failed += 1,
                    (ours, theirs) => panic!("{left} {} {right}: {ours:?}, {theirs:?}", function.operator),
                }
                let kind = function.return_type(&[left.data_type(), right.data_type()]).unwrap();
                small += usize::from(quick(function.operator, left, right, &kind).is_some());
            }
        }
        assert!(small > 1_000 && failed > 100, "{small} were quick, {failed} failed");
    }
}
