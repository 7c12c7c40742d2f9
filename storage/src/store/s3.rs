//! S3 and what speaks like it. Options first, then the usual `AWS_*` variables.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig, StaticCredentialProvider,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential},
};

use crate::{S3Options, StorageError};

/// A request that gives no byte for this long is dead.
const REQUEST_SECONDS_MAX: u64 = 120;
const CONNECT_SECONDS_MAX: u64 = 10;
const RETRIES_MAX: usize = 6;
/// How long one request is retried in all.
const RETRY_SECONDS_MAX: u64 = 60;
/// How a variable says yes.
const TRUE: [&str; 5] = ["1", "true", "on", "yes", "y"];

/// The store of a bucket. Sends nothing: whether the bucket is there shows at the first request.
pub(super) fn open(bucket: &str, options: &S3Options) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let invalid =
        |e: object_store::Error| StorageError::InvalidUrl { url: format!("s3://{bucket}/"), reason: e.to_string() };
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    if let Some(endpoint) = &options.endpoint {
        // Also under the key that would win over it: the environment may hold one.
        let endpoint = endpoint.trim_end_matches('/');
        builder = builder.with_endpoint(endpoint).with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let (Some(key), Some(secret)) = (&options.access_key_id, &options.secret_access_key) {
        // Keys that were given do not mix with a token from the environment, and an empty token is not none.
        let given =
            AwsCredential { key_id: key.clone(), secret_key: secret.clone(), token: options.session_token.clone() };
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(given)));
    } else {
        if let Some(key) = &options.access_key_id {
            builder = builder.with_access_key_id(key);
        }
        if let Some(secret) = &options.secret_access_key {
            builder = builder.with_secret_access_key(secret);
        }
        if let Some(token) = &options.session_token {
            builder = builder.with_token(token);
        }
    }
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
        .iter()
        .find_map(|key| builder.get_config_value(key));
    let style = builder.get_config_value(&AmazonS3ConfigKey::VirtualHostedStyleRequest);
    let hosted = style.is_some_and(|style| TRUE.contains(&style.to_ascii_lowercase().as_str()));
    // Servers of one's own know no host name per bucket.
    let path_style = options.path_style.or((endpoint.is_some() && !hosted).then_some(true));
    if let Some(path_style) = path_style {
        builder = builder.with_virtual_hosted_style_request(!path_style);
    }
    if let Some(endpoint) = endpoint.as_deref().filter(|_| path_style.map_or(hosted, |path_style| !path_style)) {
        let endpoint = bucket_endpoint(endpoint, bucket)
            .map_err(|reason| StorageError::InvalidUrl { url: format!("s3://{bucket}/"), reason })?;
        builder = builder.with_endpoint(&endpoint).with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    let plain_http = endpoint.is_some_and(|e| e.starts_with("http://"));
    let client = ClientOptions::new()
        .with_allow_http(plain_http)
        .with_timeout(Duration::from_secs(REQUEST_SECONDS_MAX))
        .with_connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX));
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: RETRIES_MAX,
        retry_timeout: Duration::from_secs(RETRY_SECONDS_MAX),
    };
    let store = builder.with_client_options(client).with_retry(retry).build().map_err(invalid)?;
    Ok(Arc::new(store))
}

/// The endpoint with the bucket before its host, which the store itself does not add; as SDKs build it. An endpoint that
/// begins with the bucket already stays as it is.
fn bucket_endpoint(endpoint: &str, bucket: &str) -> Result<String, String> {
    let Some((scheme, host)) = endpoint.split_once("://") else {
        return Err(format!("the endpoint \"{endpoint}\" begins with neither http:// nor https://"));
    };
    let name = host.split(['/', ':']).next().unwrap_or(host);
    if host.starts_with('[') || name.parse::<Ipv4Addr>().is_ok() {
        let cure = "Write a host name, or set path_style = true.";
        return Err(format!("the endpoint \"{endpoint}\" is an address, which a bucket cannot stand before. {cure}"));
    }
    if name.strip_prefix(bucket).is_some_and(|rest| rest.starts_with('.')) {
        return Ok(endpoint.to_owned());
    }
    Ok(format!("{scheme}://{bucket}.{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_hosts_put_the_bucket_before_the_host() {
        let told = |endpoint: &str| {
            let endpoint = Some(endpoint.to_owned());
            let options = S3Options { endpoint, path_style: Some(false), ..S3Options::default() };
            open("b", &options).map(|store| format!("{store:?}"))
        };
        let expected = r#"bucket_endpoint: "http://b.store.test:9000""#;
        for endpoint in ["http://store.test:9000/", "http://b.store.test:9000"] {
            assert!(told(endpoint).unwrap().contains(expected), "{endpoint}");
        }
        for endpoint in ["http://127.0.0.1:9000", "http://[::1]:9000/"] {
            assert!(told(endpoint).unwrap_err().to_string().contains("path_style = true"), "{endpoint}");
        }
        assert!(told("store.test").unwrap_err().to_string().contains("neither http://"));
    }

    #[test]
    fn region_endpoint_and_style_reach_the_store() {
        let options = S3Options {
            endpoint: Some("http://127.0.0.1:9/".into()),
            region: Some("eu-test-1".into()),
            path_style: Some(true),
            ..S3Options::default()
        };
        let told = format!("{:?}", open("b", &options).unwrap());
        assert!(told.contains("region: \"eu-test-1\""), "{told}");
        assert!(told.contains("bucket_endpoint: \"http://127.0.0.1:9/b\""), "{told}");
    }
}
