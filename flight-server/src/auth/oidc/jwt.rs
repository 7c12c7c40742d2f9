//! One signed token in its compact form (RFC 7515): `base64url(header).base64url(claims).base64url(signature)`.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::OidcOptions;

/// Longer ones do not fit into the headers that clients send.
const BYTES_MAX: usize = 64 << 10;

/// A token that nobody has vouched for yet.
pub(super) struct Unverified<'a> {
    pub header: Header,
    signed: &'a str,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

/// What a token says of its signature.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    alg: String,
    pub kid: Option<String>,
    /// Extensions that must be understood; none is.
    crit: Option<Value>,
}

/// A public key of the issuer (RFC 7517).
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Key {
    pub kid: Option<String>,
    kty: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Why a token is refused; for the client's eyes.
pub(super) type Fault = &'static str;

const MALFORMED: Fault = "the bearer token is not one that this server knows";
const WRONG_SIGNATURE: Fault = "the signature of the token is wrong";

impl<'a> Unverified<'a> {
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        if text.len() > BYTES_MAX {
            return Err(MALFORMED);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(MALFORMED)?;
        let (header, claims) = signed.split_once('.').ok_or(MALFORMED)?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| MALFORMED);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| MALFORMED)?;
        if !matches!(header.alg.as_str(), "RS256" | "ES256") {
            return Err("the token is signed in a way that is not taken: RS256 and ES256 are");
        }
        if header.crit.is_some() {
            return Err("the token has extensions that this server does not know");
        }
        Ok(Self { header, signed, claims: decode(claims)?, signature: decode(signature)? })
    }

    /// The claims, when `key` signed them and they hold at `now_s`.
    pub fn verify(&self, key: &Key, options: &OidcOptions, now_s: u64) -> Result<Map<String, Value>, Fault> {
        key.verify(&self.header.alg, self.signed.as_bytes(), &self.signature)?;
        let claims: Map<String, Value> = serde_json::from_slice(&self.claims).map_err(|_| MALFORMED)?;
        check(&claims, options, now_s)?;
        Ok(claims)
    }
}

impl Key {
    /// Whether it is one for signatures of this kind.
    pub fn is_for(&self, header: &Header) -> bool {
        let kind = if header.alg == "RS256" { "RSA" } else { "EC" };
        self.kty == kind
            && self.alg.as_ref().is_none_or(|alg| *alg == header.alg)
            && self.purpose.as_ref().is_none_or(|purpose| purpose == "sig")
    }

    fn verify(&self, alg: &str, message: &[u8], signature: &[u8]) -> Result<(), Fault> {
        let number = |text: &Option<String>| {
            let bytes = URL_SAFE_NO_PAD.decode(text.as_deref().unwrap_or_default());
            bytes.ok().filter(|bytes| !bytes.is_empty()).ok_or("the issuer's key cannot be used")
        };
        let verified = match alg {
            "RS256" => {
                let key = RsaPublicKeyComponents { n: number(&self.n)?, e: number(&self.e)? };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            "ES256" if self.crv.as_deref() == Some("P-256") => {
                // A point that is not compressed.
                let point = [vec![4], number(&self.x)?, number(&self.y)?].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            _ => return Err("the issuer's key is not for this kind of signature"),
        };
        verified.map_err(|_| WRONG_SIGNATURE)
    }
}

/// `iss`, `aud` and `exp` must be there; `nbf` may.
fn check(claims: &Map<String, Value>, options: &OidcOptions, now_s: u64) -> Result<(), Fault> {
    if claims.get("iss").and_then(Value::as_str) != Some(options.issuer.as_str()) {
        return Err("the token is of another issuer");
    }
    let has = |audience: &Value| audience.as_str() == Some(options.audience.as_str());
    let is_for_us = match claims.get("aud") {
        Some(Value::Array(audiences)) => audiences.iter().any(has),
        Some(audience) => has(audience),
        None => false,
    };
    if !is_for_us {
        return Err("the token is for another audience");
    }
    let time = |name: &str| -> Result<Option<f64>, Fault> {
        match claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or("a time in the token is not a number"),
        }
    };
    #[allow(clippy::cast_precision_loss)]
    let (now, leeway) = (now_s as f64, options.leeway.as_secs_f64());
    let expires = time("exp")?.ok_or("the token has no end")?;
    if expires + leeway <= now {
        return Err("the token has expired");
    }
    if time("nbf")?.is_some_and(|from| from - leeway > now) {
        return Err("the token is not valid yet");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(claims: Value) -> Result<(), Fault> {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        check(&claims, &OidcOptions::new("https://login.example", "boathouse"), 1000)
    }

    #[test]
    fn claims_hold_for_us_and_now() {
        let (iss, aud) = ("https://login.example", "boathouse");
        assert_eq!(checked(json!({"iss": iss, "aud": aud, "exp": 1001})), Ok(()));
        assert_eq!(checked(json!({"iss": iss, "aud": ["x", aud], "exp": 941, "nbf": 1060})), Ok(()));
        for (claims, fault) in [
            (json!({"iss": "https://evil.example", "aud": aud, "exp": 1001}), "the token is of another issuer"),
            (json!({"aud": aud, "exp": 1001}), "the token is of another issuer"),
            (json!({"iss": iss, "aud": "other", "exp": 1001}), "the token is for another audience"),
            (json!({"iss": iss, "aud": ["other"], "exp": 1001}), "the token is for another audience"),
            (json!({"iss": iss, "exp": 1001}), "the token is for another audience"),
            (json!({"iss": iss, "aud": aud, "exp": 940}), "the token has expired"),
            (json!({"iss": iss, "aud": aud}), "the token has no end"),
            (json!({"iss": iss, "aud": aud, "exp": "1001"}), "a time in the token is not a number"),
            (json!({"iss": iss, "aud": aud, "exp": 2000, "nbf": 1061}), "the token is not valid yet"),
        ] {
            assert_eq!(checked(claims.clone()), Err(fault), "{claims}");
        }
    }

    #[test]
    fn tokens_without_a_signature_of_a_key_are_refused() {
        let token = |header: Value| {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            format!("{}.{}.{}", part(&header), part(&json!({})), URL_SAFE_NO_PAD.encode("s"))
        };
        let fault = |text: &str| Unverified::parse(text).err();
        assert_eq!(fault(&token(json!({"alg": "RS256", "kid": "1"}))), None);
        for alg in ["none", "None", "HS256", "HS512", "PS256", ""] {
            let fault = fault(&token(json!({ "alg": alg }))).unwrap();
            assert!(fault.contains("RS256 and ES256"), "{alg}: {fault}");
        }
        assert!(fault(&token(json!({"alg": "RS256", "crit": ["exp"]}))).unwrap().contains("extensions"));
        for text in ["", ".", "..", "a.b.c", "x", &"a".repeat(70_000)] {
            assert_eq!(fault(text), Some(MALFORMED), "{text:.20}");
        }
    }
}
