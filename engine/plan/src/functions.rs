//! The functions that jarvis adds to SQL: `now()`, `tumble`, `hop`.

use crate::graph::Expression;
use crate::refusal::refuse;
use arrow::array::{ArrayRef, AsArray, ListBuilder, TimestampMicrosecondArray, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::Literal;
use std::sync::Arc;

/// `timestamp` of the language.
pub const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const DAY: i128 = 86_400_000_000;

/// A constant interval or duration in µs; `None` if the expression is something else or counts months.
pub fn constant_micros(expr: &Expr) -> Option<i64> {
    let value = match expr {
        Expr::Literal(value, _) => value,
        Expr::Cast(c) => return constant_micros(&c.expr),
        Expr::Negative(e) => return constant_micros(e).map(|m| -m),
        Expr::Alias(a) => return constant_micros(&a.expr),
        _ => return None,
    };
    scalar_micros(value)
}

fn scalar_micros(value: &ScalarValue) -> Option<i64> {
    let micros = match value {
        ScalarValue::IntervalMonthDayNano(Some(i)) if i.months == 0 => {
            i.days as i128 * DAY + (i.nanoseconds / 1000) as i128
        }
        ScalarValue::IntervalDayTime(Some(i)) => i.days as i128 * DAY + i.milliseconds as i128 * 1000,
        ScalarValue::DurationSecond(Some(s)) => *s as i128 * 1_000_000,
        ScalarValue::DurationMillisecond(Some(ms)) => *ms as i128 * 1000,
        ScalarValue::DurationMicrosecond(Some(us)) => *us as i128,
        ScalarValue::DurationNanosecond(Some(ns)) => (*ns / 1000) as i128,
        _ => return None,
    };
    i64::try_from(micros).ok()
}

/// The functions, to be registered over DataFusion's own.
pub fn all() -> Vec<ScalarUDF> {
    let two = Signature::one_of(vec![TypeSignature::Any(2)], Volatility::Immutable);
    let three = Signature::one_of(vec![TypeSignature::Any(3)], Volatility::Immutable);
    vec![
        // Volatile, so that no rule of the optimizer takes it for a constant.
        ScalarUDF::from(Now(Signature::nullary(Volatility::Volatile))),
        ScalarUDF::from(Tumble(two)),
        ScalarUDF::from(Hop(three)),
    ]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Now(Signature);

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        "now"
    }
    fn aliases(&self) -> &[String] {
        static ALIASES: std::sync::LazyLock<Vec<String>> =
            std::sync::LazyLock::new(|| vec!["current_timestamp".into()]);
        &ALIASES
    }
    fn signature(&self) -> &Signature {
        &self.0
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(TIMESTAMP)
    }
    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("now() has no value outside of a filter")
    }
}

/// The start of the window of fixed size that a time lies in; windows start at multiples of their size since 1970.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Tumble(Signature);

impl ScalarUDFImpl for Tumble {
    fn name(&self) -> &str {
        "tumble"
    }
    fn signature(&self) -> &Signature {
        &self.0
    }
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        check_time("tumble", &arguments[0])?;
        Ok(TIMESTAMP)
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        check_sizes("tumble", &args)?;
        Ok(Arc::new(Field::new("tumble", self.return_type(&types(&args))?, true)))
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let size = constant("tumble", &args.args[1])?;
        let at = micros(&args.args[0], args.number_rows)?;
        let at = at.as_primitive::<TimestampMicrosecondType>();
        // Checked, because the slots of nulls hold anything and times are computed with.
        let starts: TimestampMicrosecondArray = at.unary_opt(|t| t.checked_sub(t.rem_euclid(size)));
        Ok(ColumnarValue::Array(Arc::new(starts)))
    }
}

/// The starts of all windows of `size`, one every `slide`, that a time lies in.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Hop(Signature);

impl ScalarUDFImpl for Hop {
    fn name(&self) -> &str {
        "hop"
    }
    fn signature(&self) -> &Signature {
        &self.0
    }
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        check_time("hop", &arguments[0])?;
        Ok(DataType::List(Arc::new(Field::new_list_field(TIMESTAMP, true))))
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        check_sizes("hop", &args)?;
        let sizes: Vec<i64> = args.scalar_arguments.iter().skip(1).flatten().filter_map(|s| scalar_micros(s)).collect();
        if let [slide, size] = sizes[..]
            && slide > size
        {
            return refuse(
                "this slide of hop is longer than its windows: rows in between would be in none",
                "the slide comes first: hop(bids, at, INTERVAL '2 seconds', INTERVAL '10 seconds')",
                "hop",
            );
        }
        Ok(Arc::new(Field::new("hop", self.return_type(&types(&args))?, true)))
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (slide, size) = (constant("hop", &args.args[1])?, constant("hop", &args.args[2])?);
        if size / slide > MOST_WINDOWS {
            return exec_err!("hop: a row would lie in {} windows; choose a longer slide", size / slide);
        }
        let at = micros(&args.args[0], args.number_rows)?;
        let at = at.as_primitive::<TimestampMicrosecondType>();
        let mut starts = ListBuilder::new(TimestampMicrosecondBuilder::new());
        for t in at.iter() {
            let Some((t, last)) = t.and_then(|t| Some((t, last_start(t, slide, size)?))) else {
                starts.append(false);
                continue;
            };
            let mut start = (t - size).div_euclid(slide) * slide + slide;
            while start <= last {
                starts.values().append_value(start);
                start += slide;
            }
            starts.append(true);
        }
        Ok(ColumnarValue::Array(Arc::new(starts.finish())))
    }
}

/// The start of the latest window that a time lies in; `None` for times so far away that one cannot compute with them.
fn last_start(t: i64, slide: i64, size: i64) -> Option<i64> {
    const FAR: i64 = i64::MAX / 2;
    (size < FAR && (-FAR..FAR).contains(&t)).then(|| t.div_euclid(slide) * slide)
}

/// More windows than that for one row are a mistake.
const MOST_WINDOWS: i64 = 10_000;

/// `hop` whose windows are made of whole slides.
pub(crate) struct Hopping {
    /// µs
    pub slide: u64,
    /// How many windows each time lies in.
    pub windows: usize,
    /// The start of the latest of them; null where `hop` is.
    pub latest: Expression,
}

impl Hopping {
    /// `None`: the expression is something else, or its windows are not made of whole slides.
    pub fn of(expression: &Expression) -> Option<Hopping> {
        let call = ScalarFunctionExpr::try_downcast_func::<Hop>(expression.as_ref())?;
        let constant = |i: usize| scalar_micros(call.args().get(i)?.downcast_ref::<Literal>()?.value());
        let (slide, size) = (constant(1).filter(|s| *s > 0)?, constant(2)?);
        if size < slide || size % slide != 0 || size / slide > MOST_WINDOWS {
            return None;
        }
        let field = Arc::new(Field::new("__start", TIMESTAMP, true));
        let latest = ScalarUDF::from(LatestHop(Signature::any(3, Volatility::Immutable)));
        let options = Arc::new(call.config_options().clone());
        let latest = ScalarFunctionExpr::new("latest_hop", Arc::new(latest), call.args().to_vec(), field, options);
        Some(Hopping { slide: slide as u64, windows: (size / slide) as usize, latest: Arc::new(latest) })
    }
}

/// The last of what `hop` gives. Not a function of the language: [`Hopping`] puts it in.
#[derive(Debug, PartialEq, Eq, Hash)]
struct LatestHop(Signature);

impl ScalarUDFImpl for LatestHop {
    fn name(&self) -> &str {
        "latest_hop"
    }
    fn signature(&self) -> &Signature {
        &self.0
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(TIMESTAMP)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (slide, size) = (constant("hop", &args.args[1])?, constant("hop", &args.args[2])?);
        let at = micros(&args.args[0], args.number_rows)?;
        let starts: TimestampMicrosecondArray =
            at.as_primitive::<TimestampMicrosecondType>().unary_opt(|t| last_start(t, slide, size));
        Ok(ColumnarValue::Array(Arc::new(starts)))
    }
}

fn check_time(function: &str, given: &DataType) -> Result<()> {
    match given {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Null => Ok(()),
        other => refuse(
            format!("{function} wants a timestamp as its first argument, not {other}"),
            "name the stream's column of time, or cast to timestamp",
            function,
        ),
    }
}

fn types(args: &ReturnFieldArgs) -> Vec<DataType> {
    args.arg_fields.iter().map(|f| f.data_type().clone()).collect()
}

/// Sizes that are known when the query is planned must be fit for windows then, not at the first row.
fn check_sizes(function: &str, args: &ReturnFieldArgs) -> Result<()> {
    match args.scalar_arguments.iter().skip(1).flatten().find(|s| scalar_micros(s).is_none_or(|m| m <= 0)) {
        None => Ok(()),
        Some(_) => refuse(
            format!("{function} wants a positive interval without months"),
            format!("write a constant: {function}(.., INTERVAL '10 seconds')"),
            function,
        ),
    }
}

fn constant(function: &str, value: &ColumnarValue) -> Result<i64> {
    let micros = match value {
        ColumnarValue::Scalar(s) => scalar_micros(s),
        ColumnarValue::Array(_) => None,
    };
    match micros {
        Some(m) if m > 0 => Ok(m),
        _ => exec_err!("{function} wants a positive constant interval without months, as INTERVAL '10 seconds'"),
    }
}

fn micros(value: &ColumnarValue, rows: usize) -> Result<ArrayRef> {
    Ok(arrow::compute::cast(&value.to_array(rows)?, &TIMESTAMP)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_in_size_over_slide_windows() {
        let hop = ScalarUDF::from(Hop(Signature::any(3, Volatility::Immutable)));
        let interval = |s: i64| ColumnarValue::Scalar(ScalarValue::DurationSecond(Some(s)));
        for t in [-7i64, 0, 1, 1_999_999, 2_000_000, 123_456_789] {
            let args = ScalarFunctionArgs {
                args: vec![
                    ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(Some(t), None)),
                    interval(2),
                    interval(10),
                ],
                arg_fields: vec![],
                number_rows: 1,
                return_field: Arc::new(Field::new(
                    "r",
                    DataType::List(Arc::new(Field::new_list_field(TIMESTAMP, true))),
                    true,
                )),
                config_options: Default::default(),
            };
            let starts = hop.invoke_with_args(args).unwrap().to_array(1).unwrap();
            let starts = starts.as_list::<i32>().value(0);
            let starts = starts.as_primitive::<TimestampMicrosecondType>();
            assert_eq!(starts.len(), 5);
            assert!(starts.values().iter().all(|s| *s <= t && t < *s + 10_000_000 && s.rem_euclid(2_000_000) == 0));
        }
    }
}
