//! The part `[auth]`: how a server knows its clients.

use boathouse_engine::Secret;

use super::{ConfigError, Span, file, parsed};
use crate::{AuthOptions, OidcOptions};

/// Fewer characters can be guessed.
const KEY_CHARACTERS_MIN: usize = 32;

pub(super) fn options(variable: &dyn Fn(&str) -> Option<String>, file: file::Auth) -> Result<AuthOptions, ConfigError> {
    let mut options = AuthOptions::default();
    if let Some(Span(life)) = parsed(variable, "AUTH_SESSION")?.or(file.session) {
        options.session_life = life;
    }
    options.key = variable("BOATHOUSE_AUTH_KEY").map(Secret::new).or(file.key);
    if options.key.as_ref().is_some_and(|key| key.reveal().chars().count() < KEY_CHARACTERS_MIN) {
        return Err(ConfigError(format!(
            "the key of [auth] is too short: it takes {KEY_CHARACTERS_MIN} characters, such as those of `openssl rand -base64 32`"
        )));
    }
    options.oidc = file.oidc.map(oidc).transpose()?;
    Ok(options)
}

fn oidc(file: file::Oidc) -> Result<OidcOptions, ConfigError> {
    let defaults = OidcOptions::new(&file.issuer, &file.audience);
    let options = OidcOptions {
        user_claim: file.user_claim.unwrap_or(defaults.user_claim),
        role_claim: file.role_claim,
        admins: file.admins,
        readers: file.readers,
        leeway: file.leeway.map_or(defaults.leeway, |Span(leeway)| leeway),
        ..defaults
    };
    options.check().map_err(|error| ConfigError(format!("[auth.oidc]: {error}")))?;
    Ok(options)
}
