//! `current_user`, `session_user` and `user`: the name that the session's user logged in with.

use std::{any::Any, sync::Arc};

use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef},
    common::{
        Result, ScalarValue,
        config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions},
        exec_err,
    },
    logical_expr::{
        ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility,
    },
};

use crate::identity::LOCAL_USER;

/// The functions. Their value stands in the session's options, so a plan that calls one is everyone's.
pub(crate) fn users() -> impl Iterator<Item = ScalarUDF> {
    ["current_user", "session_user", "user"].into_iter().map(|name| CurrentUser::new(name).into())
}

/// The user's name among the options of a session.
#[derive(Debug, Clone)]
pub(crate) struct SessionUser(pub Arc<str>);

impl ConfigExtension for SessionUser {
    const PREFIX: &'static str = "boathouse";
}

impl ExtensionOptions for SessionUser {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, _: &str, _: &str) -> Result<()> {
        exec_err!("the user of a session cannot be set")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CurrentUser {
    name: &'static str,
    signature: Signature,
}

impl CurrentUser {
    fn new(name: &'static str) -> Self {
        // Stable: rows that depend on who asks are not kept for others.
        Self { name, signature: Signature::nullary(Volatility::Stable) }
    }
}

fn name_in(options: &ConfigOptions) -> ScalarValue {
    let name = options.extensions.get::<SessionUser>().map_or(LOCAL_USER, |user| &user.0);
    ScalarValue::from(name)
}

impl ScalarUDFImpl for CurrentUser {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name, DataType::Utf8, false)))
    }

    /// The column is called as in Postgres.
    fn schema_name(&self, _: &[Expr]) -> Result<String> {
        Ok(self.name.to_owned())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(name_in(&args.config_options)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        None
    }
}
