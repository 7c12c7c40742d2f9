//! What a client says of the trace that it is in: `traceparent` and `tracestate` of W3C Trace Context.

use tonic::metadata::MetadataMap;

/// Every span of a trace carries its state. W3C: at least so much should be passed on.
const STATE_BYTES_MAX: usize = 512;

/// The span that a call belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    pub trace: u128,
    pub span: u64,
    /// Whether its trace is kept.
    pub is_sampled: bool,
    pub state: String,
}

impl Parent {
    /// `None` when a client names none, or not as it should.
    pub fn of(metadata: &MetadataMap) -> Option<Self> {
        let parent = metadata.get("traceparent")?.to_str().ok()?;
        let state = metadata.get("tracestate").and_then(|state| state.to_str().ok());
        let state = state.filter(|state| state.len() <= STATE_BYTES_MAX).unwrap_or_default();
        Self::parse(parent.trim(), state)
    }

    fn parse(text: &str, state: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let lower = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
            part.bytes().all(lower).then(|| u128::from_str_radix(part, 16).ok())?
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        // Later versions may have more parts behind; ff is none.
        if version == 0xff || (version == 0 && parts.next().is_some()) || trace == 0 || span == 0 {
            return None;
        }
        let span = u64::try_from(span).ok()?;
        Some(Self { trace, span, is_sampled: flags & 1 == 1, state: state.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_parent_is_read_as_w3c_writes_it() {
        let parent = Parent::parse(GOOD, "a=1,b=2").unwrap();
        assert_eq!(parent.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((parent.span, parent.is_sampled, &*parent.state), (0xb7ad_6b71_6920_3331, true, "a=1,b=2"));
        assert!(!Parent::parse(&GOOD.replace("-01", "-00"), "").unwrap().is_sampled);
        assert!(Parent::parse(&GOOD.replace("-01", "-fe"), "").is_some_and(|parent| !parent.is_sampled));
        // One of a version to come.
        assert!(Parent::parse(&format!("cc{}-more", &GOOD[2..]), "").is_some());
    }

    #[test]
    fn what_is_no_parent_is_none() {
        let upper = GOOD.replace("0af7", "0AF7");
        let more = format!("{GOOD}-more");
        let (zero, none) =
            (GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)), format!("ff{}", &GOOD[2..]));
        for text in ["", "x", "00-0-0-01", &GOOD[..GOOD.len() - 1], &upper, &more, &zero, &none, "00-+1-+1-+1"] {
            assert_eq!(Parent::parse(text, ""), None, "{text}");
        }
    }

    #[test]
    fn a_long_state_is_not_passed_on() {
        let mut metadata = MetadataMap::new();
        assert_eq!(Parent::of(&metadata), None);
        metadata.insert("traceparent", GOOD.parse().unwrap());
        metadata.insert("tracestate", format!("a={}", "x".repeat(600)).parse().unwrap());
        assert_eq!(Parent::of(&metadata).unwrap().state, "");
    }
}
