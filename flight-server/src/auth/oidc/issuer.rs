//! From a token of the issuer to a name and a role.

use boathouse_engine::{Identity, LOCAL_USER, Role};
use serde_json::{Map, Value};
use tonic::Status;

use super::{
    OidcOptions,
    jwt::Unverified,
    keys::{KeyFault, Keys},
};
use crate::clock::Clock;

const NAME_CHARACTERS_MAX: usize = 128;

/// An issuer whose tokens are taken.
pub struct Issuer {
    options: OidcOptions,
    keys: Keys,
}

impl Issuer {
    /// The options must be good ([`OidcOptions::check`]). Nothing is fetched yet; keys grow old by `clock`.
    pub fn new(options: OidcOptions, clock: Clock) -> Result<Self, Status> {
        options.check().map_err(|error| Status::internal(error.to_string()))?;
        let keys = Keys::new(&options, clock).map_err(|error| crate::status::internal(&error))?;
        Ok(Self { options, keys })
    }

    /// Who holds a token, at `now_s` seconds since 1970.
    pub async fn identify(&self, token: &str, now_s: u64) -> Result<Identity, Status> {
        let unverified = Unverified::parse(token).map_err(Status::unauthenticated)?;
        let key = self.keys.find(&unverified.header).await.map_err(|fault| match fault {
            KeyFault::Unknown => Status::unauthenticated("the token is signed with a key that its issuer does not have"),
            KeyFault::Unavailable => Status::unavailable(
                "the keys of the issuer of tokens could not be fetched\nHINT: Try again in a moment; the server's log tells why.",
            ),
        })?;
        let claims = unverified.verify(&key, &self.options, now_s).map_err(Status::unauthenticated)?;
        let name = name(&claims, &self.options).ok_or_else(|| {
            Status::unauthenticated(format!("the token names no user in its claim \"{}\"", self.options.user_claim))
        })?;
        let role = role(&claims, &self.options).ok_or_else(|| {
            Status::permission_denied(format!("user \"{name}\" is in none of the groups that may use this server"))
        })?;
        Ok(Identity::new(name, role))
    }
}

fn name<'a>(claims: &'a Map<String, Value>, options: &OidcOptions) -> Option<&'a str> {
    let name = claims.get(&options.user_claim)?.as_str()?;
    let fits = !name.is_empty() && name.chars().count() <= NAME_CHARACTERS_MAX && !name.chars().any(char::is_control);
    (fits && name != LOCAL_USER).then_some(name)
}

fn role(claims: &Map<String, Value>, options: &OidcOptions) -> Option<Role> {
    let held: Vec<&str> = match options.role_claim.as_ref().and_then(|claim| claims.get(claim)) {
        Some(Value::String(value)) => vec![value],
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let holds = |wanted: &[String]| wanted.iter().any(|value| held.contains(&value.as_str()));
    if holds(&options.admins) {
        return Some(Role::Admin);
    }
    (options.readers.is_empty() || holds(&options.readers)).then_some(Role::Reader)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_make_admins_and_readers() {
        let mut options = OidcOptions::new("https://login.example", "boathouse");
        let of = |options: &OidcOptions, groups: Value| {
            let Value::Object(claims) = json!({"sub": "ann", "groups": groups}) else { panic!("an object") };
            role(&claims, options)
        };
        assert_eq!(of(&options, json!(["ops"])), Some(Role::Reader));
        options.role_claim = Some("groups".to_owned());
        options.admins = vec!["ops".to_owned()];
        assert_eq!(of(&options, json!(["x", "ops"])), Some(Role::Admin));
        assert_eq!(of(&options, json!("ops")), Some(Role::Admin));
        assert_eq!(of(&options, json!([])), Some(Role::Reader));
        options.readers = vec!["staff".to_owned()];
        assert_eq!(of(&options, json!(["staff"])), Some(Role::Reader));
        assert_eq!(of(&options, json!(["guests"])), None);
    }

    #[test]
    fn a_name_is_one_that_a_user_could_have() {
        let options = OidcOptions::new("https://login.example", "boathouse");
        let of = |sub: Value| {
            let Value::Object(claims) = json!({ "sub": sub }) else { panic!("an object") };
            name(&claims, &options).map(str::to_owned)
        };
        assert_eq!(of(json!("ann@example.org")), Some("ann@example.org".to_owned()));
        for sub in [json!("local"), json!(""), json!("a\nb"), json!(7), json!("x".repeat(129))] {
            assert_eq!(of(sub.clone()), None, "{sub}");
        }
    }
}
