//! Every type in every shape that makes a difference to an encoding: what comes out of a copy is what went into the
//! file, bit by bit, and a filter finds the same rows in both.

use std::sync::Arc;

use arrow::{
    array::*,
    compute::{cast, concat_batches},
    datatypes::{DataType, Field, Int64Type, Schema, TimeUnit},
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, col, lit},
    prelude::SessionContext,
};

use super::{add_hot, append, random::Random, run, session};

const ROWS: usize = 3000;

/// How the values of a column follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    Constant,
    Rising,
    Few,
    Runs,
    Wide,
    Sparse,
    AllNull,
}

const SHAPES: [Shape; 7] =
    [Shape::Constant, Shape::Rising, Shape::Few, Shape::Runs, Shape::Wide, Shape::Sparse, Shape::AllNull];

fn kinds() -> Vec<DataType> {
    let utc = || Some("UTC".into());
    vec![
        DataType::Boolean,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(5, 0),
        DataType::Decimal128(12, 2),
        DataType::Decimal128(38, 10),
        DataType::Utf8,
        DataType::Binary,
        DataType::Date32,
        DataType::Timestamp(TimeUnit::Microsecond, utc()),
        DataType::Timestamp(TimeUnit::Microsecond, None),
    ]
}

/// Whole numbers in this shape; `None` is NULL.
fn numbers(random: &mut Random, shape: Shape, nulls: bool) -> Vec<Option<i64>> {
    let mut run = 0;
    let mut last = 0;
    (0..ROWS as i64)
        .map(|row| {
            let null = match shape {
                Shape::AllNull => true,
                Shape::Sparse => random.below(20) > 0,
                _ => nulls && random.below(5) == 0,
            };
            if run == 0 {
                (run, last) = (1 + random.below(40), random.next() as i64 % 50 - 20);
            }
            run -= 1;
            let value = match shape {
                Shape::Constant => 42,
                Shape::Rising => row * 3,
                Shape::Few => random.next() as i64 % 7 - 3,
                Shape::Runs => last,
                _ => (random.next() as i64).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64) >> random.below(60),
            };
            (!null).then_some(value)
        })
        .collect()
}

fn array(random: &mut Random, kind: &DataType, shape: Shape) -> ArrayRef {
    let nulls = random.below(3) > 0;
    let numbers = numbers(random, shape, nulls);
    let floats = [f64::NAN, -f64::NAN, -0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE];
    let mut float = |n: i64| if n % 5 == 0 { *random.pick(&floats) } else { n as f64 / 4.0 };
    let text = |n: i64| match n.rem_euclid(9) {
        0 => String::new(),
        1 => "ü".repeat(n.rem_euclid(40) as usize),
        2 => format!("special {n} requests"),
        3 => "long ".repeat(30 + n.rem_euclid(50) as usize),
        _ => format!("Customer#{:09}", n.rem_euclid(100_000)),
    };
    match kind {
        DataType::Boolean => Arc::new(numbers.iter().map(|n| n.map(|n| n % 3 == 0)).collect::<BooleanArray>()),
        DataType::Int8 => Arc::new(numbers.iter().map(|n| n.map(|n| n as i8)).collect::<Int8Array>()),
        DataType::Int16 => Arc::new(numbers.iter().map(|n| n.map(|n| n as i16)).collect::<Int16Array>()),
        DataType::Int32 => Arc::new(numbers.iter().map(|n| n.map(|n| n as i32)).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(Int64Array::from(numbers)),
        DataType::Float32 => Arc::new(numbers.iter().map(|n| n.map(|n| float(n) as f32)).collect::<Float32Array>()),
        DataType::Float64 => Arc::new(numbers.iter().map(|n| n.map(&mut float)).collect::<Float64Array>()),
        DataType::Decimal128(precision, scale) => {
            let bound = 10_i128.pow(u32::from(*precision));
            let wide = |n: i64| (i128::from(n) * i128::from(n).pow(if *precision > 30 { 1 } else { 0 })) % bound;
            let values: Decimal128Array = numbers.iter().map(|n| n.map(wide)).collect();
            Arc::new(values.with_precision_and_scale(*precision, *scale).unwrap())
        }
        DataType::Utf8 => Arc::new(numbers.iter().map(|n| n.map(text)).collect::<StringArray>()),
        DataType::Binary => Arc::new(numbers.iter().map(|n| n.map(|n| n.to_le_bytes())).collect::<BinaryArray>()),
        DataType::Date32 => Arc::new(numbers.iter().map(|n| n.map(|n| (n % 100_000) as i32)).collect::<Date32Array>()),
        kind => {
            let values: Int64Array = numbers.iter().map(|n| n.map(|n| n >> 8)).collect();
            cast(&cast(&values, &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap(), kind).unwrap()
        }
    }
}

/// A row number, every kind in every shape, and some of them nested.
fn batch(random: &mut Random, first: usize) -> RecordBatch {
    let ids = Int64Array::from_iter_values((first..first + ROWS).map(|id| id as i64));
    let mut fields = vec![Field::new("id", DataType::Int64, true)];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(ids)];
    for (k, kind) in kinds().iter().enumerate() {
        for (s, shape) in SHAPES.iter().enumerate() {
            fields.push(Field::new(format!("c{k}_{s}"), kind.clone(), true));
            columns.push(array(random, kind, *shape));
        }
    }
    for (name, column) in nested(random) {
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn nested(random: &mut Random) -> Vec<(&'static str, ArrayRef)> {
    let mut nulls = |of: usize| (0..ROWS).map(|_| random.below(of) > 0).collect::<Vec<_>>();
    let (outer, inner) = (nulls(4), nulls(6));
    let text = array(random, &DataType::Utf8, Shape::Few);
    let float = array(random, &DataType::Float64, Shape::Wide);
    let point = StructArray::new(
        vec![Field::new("text", DataType::Utf8, true), Field::new("float", DataType::Float64, true)].into(),
        vec![text.clone(), float],
        Some(inner.into()),
    );
    let around = StructArray::new(
        vec![Field::new("point", point.data_type().clone(), true)].into(),
        vec![Arc::new(point.clone())],
        Some(outer.clone().into()),
    );
    let mut lists = ListBuilder::new(Int32Builder::new());
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for (row, shown) in outer.iter().copied().enumerate() {
        for item in 0..random.below(4) {
            lists.values().append_option((random.below(5) > 0).then_some((row * item) as i32));
            maps.keys().append_value(format!("k{item}"));
            maps.values().append_option((random.below(5) > 0).then_some(row as i64));
        }
        lists.append(shown);
        maps.append(shown).unwrap();
    }
    vec![("around", Arc::new(around)), ("list", Arc::new(lists.finish())), ("map", Arc::new(maps.finish()))]
}

/// The bits of all values, so that NaN equals itself and -0.0 does not equal 0.0.
fn bits(batches: &[RecordBatch]) -> Vec<arrow::array::ArrayData> {
    let all = concat_batches(&batches[0].schema(), batches).unwrap();
    all.columns().iter().map(|column| column.to_data()).collect()
}

async fn tables(seed: u64) -> (SessionContext, RecordBatch, [tempfile::TempDir; 2]) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let batches = [batch(&mut random, 0), batch(&mut random, ROWS)];
    for batch in &batches {
        append(folder.path(), vec![batch.clone()], &[]).await;
    }
    let context = session(folder.path()).await;
    add_hot(&context, folder.path(), copies.path()).await;
    (context, concat_batches(&batches[0].schema(), &batches).unwrap(), [folder, copies])
}

#[tokio::test]
async fn every_value_of_every_type_comes_back() {
    let (context, _, _folders) = tables(1).await;
    let (plain, _) = run(&context, "SELECT * FROM t ORDER BY id").await;
    let (hot, reports) = run(&context, "SELECT * FROM hot ORDER BY id").await;
    assert_eq!(reports[0].files_hot, 2);
    let names = plain[0].schema();
    for (column, (plain, hot)) in bits(&plain).into_iter().zip(bits(&hot)).enumerate() {
        assert!(plain == hot, "column {} differs", names.field(column));
    }
}

/// One comparison of a column with a value that occurs in it.
fn filter(random: &mut Random, rows: &RecordBatch) -> Option<Expr> {
    let at = 1 + random.below(kinds().len() * SHAPES.len());
    let column = rows.column(at);
    let value = |random: &mut Random| {
        let value = ScalarValue::try_from_array(column, random.below(column.len())).unwrap();
        (!value.is_null()).then(|| lit(value))
    };
    let name = col(rows.schema().field(at).name());
    let value_of = value(random)?;
    Some(match random.below(12) {
        0 | 1 => name.eq(value_of),
        2 => name.not_eq(value_of),
        3 => name.lt(value_of),
        4 => name.lt_eq(value_of),
        5 => name.gt(value_of),
        6 => name.gt_eq(value_of),
        7 => name.between(value_of, value(random)?),
        8 => name.in_list(vec![value_of, value(random)?, value(random)?, value(random)?, value(random)?], false),
        9 => name.in_list(vec![value_of, value(random)?], true),
        10 if random.below(2) == 0 => name.is_null(),
        10 => name.is_not_null(),
        _ if column.data_type() == &DataType::Utf8 => {
            let pattern =
                random.pick(&["%requests", "special%", "%ü%", "Customer#0000_____", "", "%", "long %", "%3_"]);
            if random.below(3) == 0 { name.not_like(lit(*pattern)) } else { name.like(lit(*pattern)) }
        }
        _ => name.eq(value_of),
    })
}

#[tokio::test]
async fn filters_find_the_same_rows_in_copies() {
    for seed in 2..4 {
        let (context, all, _folders) = tables(seed).await;
        let mut random = Random(seed);
        let mut faults = vec![];
        for _ in 0..400 {
            let Some(mut predicate) = filter(&mut random, &all) else { continue };
            for _ in 0..random.below(3) {
                let Some(other) = filter(&mut random, &all) else { continue };
                predicate = if random.below(2) == 0 { predicate.and(other) } else { predicate.or(other) };
            }
            let mut found = vec![];
            for table in ["t", "hot"] {
                let rows = context.table(table).await.unwrap().filter(predicate.clone()).unwrap();
                let rows = rows.select_columns(&["id"]).unwrap().sort_by(vec![col("id")]).unwrap().collect().await;
                found.push(rows.map(|batches| {
                    batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
                }));
            }
            let [Ok(plain), Ok(hot)]: &[Result<Vec<i64>, _>; 2] = found.as_slice().try_into().unwrap() else {
                faults.push(format!("{predicate}: {:.300}", found[1].as_ref().unwrap_err().to_string()));
                continue;
            };
            if plain != hot {
                faults.push(format!("{predicate}: {} rows, {} in the copies", plain.len(), hot.len()));
            }
        }
        assert!(faults.is_empty(), "seed {seed}: {} faults\n{}", faults.len(), faults.join("\n"));
    }
}
