//! S3 and what speaks like it. Options first, then the usual `AWS_*` variables.

use std::{sync::Arc, time::Duration};

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
    match options.path_style {
        Some(path_style) => builder = builder.with_virtual_hosted_style_request(!path_style),
        // Servers of one's own know no host name per bucket.
        None if endpoint.is_some() && !hosted => {
            builder = builder.with_virtual_hosted_style_request(false);
        }
        None => {}
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

#[cfg(test)]
mod tests {
    use super::*;

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
