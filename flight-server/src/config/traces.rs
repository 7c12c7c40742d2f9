//! `[traces]`: where traces go. The variables are those that OpenTelemetry gives every program.

use std::time::Duration;

use boathouse_engine::Secret;
use percent_encoding::percent_decode_str;
use url::Url;

use super::{ConfigError, file};
use crate::TraceOptions;

const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
const NAME: &str = "OTEL_SERVICE_NAME";
const SAMPLE: &str = "OTEL_TRACES_SAMPLER_ARG";

/// `None` when nothing asks for traces.
pub(super) fn options(
    variable: &dyn Fn(&str) -> Option<String>,
    file: file::Traces,
) -> Result<Option<TraceOptions>, ConfigError> {
    let said = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, variable(name)?)));
    let sample = match (variable(SAMPLE), file.sample) {
        (Some(text), _) => text.trim().parse().map_err(|_| share(SAMPLE, &text))?,
        (None, sample) => sample.unwrap_or(1.0),
    };
    if !(0.0..=1.0).contains(&sample) {
        return Err(share("the share of traces", &sample.to_string()));
    }
    let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let Some((name, endpoint)) = said(ENDPOINTS).or(file.endpoint.map(|endpoint| ("traces.endpoint", endpoint))) else {
        return Ok(None);
    };
    if disabled {
        return Ok(None);
    }
    if let Some((name, protocol)) = said(PROTOCOLS).filter(|(_, protocol)| protocol != "grpc") {
        return Err(ConfigError(format!(
            "{name} is \"{protocol}\": traces go out over gRPC only\nHINT: Set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc and \
             OTEL_EXPORTER_OTLP_TRACES_ENDPOINT to the collector's port for gRPC, or OTEL_SDK_DISABLED=true."
        )));
    }
    let url = Url::parse(&endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if url.is_none() {
        return Err(ConfigError(format!("{name} is \"{endpoint}\": write http://host:4317 or https://host:4317")));
    }
    let mut options = TraceOptions { endpoint, sample, ..TraceOptions::to("") };
    for (name, value) in said(HEADERS).map(|(name, text)| pairs(name, &text)).transpose()?.unwrap_or_default() {
        options.headers.push((name.to_lowercase(), Secret::new(value)));
    }
    if let Some((name, text)) = said(TIMEOUTS) {
        let millis = text.trim().parse().ok().filter(|millis| *millis > 0);
        let wrong = || ConfigError(format!("{name} is \"{text}\": write a number of milliseconds"));
        options.timeout = Duration::from_millis(millis.ok_or_else(wrong)?);
    }
    let named = variable(ATTRIBUTES).map(|text| pairs(ATTRIBUTES, &text)).transpose()?.unwrap_or_default();
    let name = variable(NAME).map(|name| ("service.name".to_owned(), name));
    // The last one of a name is the one that counts.
    for (key, value) in named.into_iter().chain(name) {
        options.resource.retain(|(known, _)| *known != key);
        options.resource.push((key, value));
    }
    Ok(Some(options))
}

/// `a=1,b=2`, with values as in a URL.
fn pairs(name: &str, text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').filter(|(key, _)| !key.trim().is_empty())?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        Some((key.trim().to_owned(), value.into_owned()))
    };
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    // Not the text: headers hold secrets.
    parts.map(|part| pair(part).ok_or_else(|| ConfigError(format!("{name} is not a list such as a=1,b=2")))).collect()
}

fn share(what: &str, text: &str) -> ConfigError {
    ConfigError(format!("{what} is \"{text}\": write a number from 0, for none, to 1, for all"))
}
