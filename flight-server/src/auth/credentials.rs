//! The header `authorization` as clients send it.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use boathouse_engine::Secret;
use tonic::{Status, metadata::MetadataMap};

/// Some clients pad, some do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a client showed.
#[derive(Debug)]
pub enum Credentials {
    Basic { user: String, password: Secret },
    Bearer(Secret),
}

impl Credentials {
    /// Those of a call; `None` when it has none.
    pub fn of(metadata: &MetadataMap) -> Result<Option<Self>, Status> {
        let Some(header) = metadata.get("authorization") else { return Ok(None) };
        let wrong = || Status::unauthenticated("the authorization header is neither Basic nor Bearer");
        let text = header.to_str().map_err(|_| wrong())?.trim();
        // Drivers without credentials send an empty one.
        if text.is_empty() {
            return Ok(None);
        }
        let (scheme, value) = text.split_once(' ').unwrap_or((text, ""));
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok((!value.is_empty()).then(|| Self::Bearer(Secret::new(value))));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(wrong());
        }
        let malformed = || Status::unauthenticated("the Basic credentials are not user:password in base64");
        let text = String::from_utf8(BASE64.decode(value).map_err(|_| malformed())?).map_err(|_| malformed())?;
        let (user, password) = text.split_once(':').ok_or_else(malformed)?;
        if user.is_empty() && password.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self::Basic { user: user.to_owned(), password: Secret::new(password) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &str) -> Result<Option<Credentials>, Status> {
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", header.parse().unwrap());
        Credentials::of(&metadata)
    }

    #[test]
    fn basic_credentials_are_read_with_and_without_padding() {
        for header in ["Basic YW5uOmE6Yg==", "basic YW5uOmE6Yg", "Basic  YW5uOmE6Yg= "] {
            let Ok(Some(Credentials::Basic { user, password })) = of(header) else { panic!("{header}") };
            assert_eq!((user.as_str(), password.reveal()), ("ann", "a:b"), "{header}");
        }
    }

    #[test]
    fn what_is_no_credential_is_told_from_a_broken_one() {
        assert!(Credentials::of(&MetadataMap::new()).unwrap().is_none());
        assert!(of("").unwrap().is_none() && of("Bearer ").unwrap().is_none() && of("Basic Og==").unwrap().is_none());
        assert!(matches!(of("Bearer x.y"), Ok(Some(Credentials::Bearer(token))) if token.reveal() == "x.y"));
        for header in ["Digest x", "Basic %%%", "Basic YW5u"] {
            assert_eq!(of(header).unwrap_err().code(), tonic::Code::Unauthenticated, "{header}");
        }
    }
}
