//! What makes two statements, and two answers, the same.
//!
//! Keys hold the things themselves, not hashes of them: two keys are equal only when all that planning and running look at
//! is equal. Planning is a function of the text, the settings, the names and the fixed set of functions of a process;
//! running is one of the plan, the snapshots and the parameters.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{arrow::datatypes::DataType, common::ScalarValue};

use crate::{catalog::Dependency, identity::Role};

/// Longer texts are not kept.
pub(crate) const TEXT_BYTES_MAX: usize = 256 << 10;

/// What a text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// The query itself.
    Query,
    /// A PREPARE statement, for the query in it.
    Prepare,
}

/// What a caller may see; as part of every key it keeps rows from those who may see less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rights {
    All,
    /// Tables and views.
    Tables,
}

impl Rights {
    pub fn of(role: Role) -> Self {
        match role {
            Role::Admin => Self::All,
            Role::Reader => Self::Tables,
        }
    }
}

/// All that the plan of a query is made from, but for the names.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct PlanKey {
    pub form: Form,
    pub text: Arc<str>,
    /// The session's settings that are not the engine's defaults.
    pub settings: Arc<BTreeMap<&'static str, String>>,
    pub rights: Rights,
}

/// All that the rows of a query are made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ResultKey {
    plan: Arc<PlanKey>,
    names: Arc<[Dependency]>,
    /// With their types: values of two zones may compare equal.
    parameters: Vec<(DataType, ScalarValue)>,
}

impl PlanKey {
    /// A text as it is known: without space around it and without the semicolon at its end. `None` when it is too long.
    pub fn text(sql: &str) -> Option<Arc<str>> {
        let text = sql.trim_ascii();
        let text = text.strip_suffix(';').unwrap_or(text).trim_ascii_end();
        (text.len() <= TEXT_BYTES_MAX).then(|| Arc::from(text))
    }
}

impl ResultKey {
    pub fn new(plan: &Arc<PlanKey>, names: &Arc<[Dependency]>, parameters: &[ScalarValue]) -> Self {
        let parameters = parameters.iter().map(|value| (value.data_type(), value.clone())).collect();
        Self { plan: plan.clone(), names: names.clone(), parameters }
    }

    /// About what the key takes that it does not share.
    pub fn size(&self) -> usize {
        let parameters: usize = self.parameters.iter().map(|(_, value)| 64 + value.size()).sum();
        size_of::<Self>() + self.plan.text.len() + 128 * self.names.len() + parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(parameters: &[ScalarValue]) -> ResultKey {
        let plan = PlanKey { form: Form::Query, text: "x".into(), settings: Arc::default(), rights: Rights::All };
        ResultKey::new(&Arc::new(plan), &Vec::new().into(), parameters)
    }

    #[test]
    fn texts_that_mean_the_same_are_one_and_others_are_not() {
        assert_eq!(PlanKey::text("  SELECT 1 ;\n"), PlanKey::text("SELECT 1"));
        assert_ne!(PlanKey::text("SELECT 'a '"), PlanKey::text("SELECT 'a'"));
        assert_ne!(PlanKey::text("SELECT \"A\""), PlanKey::text("SELECT \"a\""));
        assert_eq!(PlanKey::text(&"x".repeat(TEXT_BYTES_MAX + 1)), None);
    }

    #[test]
    fn parameters_that_differ_in_type_zone_or_sign_differ() {
        let zoned = |zone: Option<&str>| ScalarValue::TimestampMicrosecond(Some(0), zone.map(Into::into));
        let pairs = [
            (zoned(Some("UTC")), zoned(Some("+02:00"))),
            (zoned(None), zoned(Some("UTC"))),
            (ScalarValue::Float64(Some(0.0)), ScalarValue::Float64(Some(-0.0))),
            (ScalarValue::Int32(Some(1)), ScalarValue::Int64(Some(1))),
            (ScalarValue::Utf8(None), ScalarValue::Null),
            (ScalarValue::Decimal128(Some(1), 10, 2), ScalarValue::Decimal128(Some(1), 10, 3)),
        ];
        for (left, right) in pairs {
            assert_ne!(key(std::slice::from_ref(&left)), key(std::slice::from_ref(&right)), "{left:?} {right:?}");
            assert_eq!(key(std::slice::from_ref(&left)), key(&[left]));
        }
    }
}
