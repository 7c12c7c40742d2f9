//! Opening a lake, and what is said when there is none.

use std::{error::Error, process::Command};

use boathouse_storage::{Lake, StorageError, StorageOptions};
use boathouse_tests::TestS3;

use crate::place::{Place, chain, create_as, people, rows};

#[tokio::test]
async fn a_folder_must_be_there_unless_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/lake");
    let options = StorageOptions::default();
    let missing = Lake::open(path.to_str().unwrap(), &options).await.unwrap_err();
    assert!(matches!(missing, StorageError::OpenLake { .. }), "{missing:?}");
    assert!(chain(&missing).contains("new/lake") && chain(&missing).contains("No such file"), "{}", chain(&missing));
    let made = Lake::create(path.to_str().unwrap(), &options).await.unwrap();
    assert!(made.url().as_str().ends_with("/new/lake/"));
    let opened = Lake::open(made.url().as_str(), &options).await.unwrap();
    assert_eq!(opened.url(), made.url());
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let file = Lake::open(folder.path().join("file").to_str().unwrap(), &options).await.unwrap_err();
    assert!(chain(&file).contains("Not a directory"), "{}", chain(&file));
}

#[tokio::test]
async fn other_schemes_are_refused_by_name() {
    for (url, text) in [("ftp://x/y", "unknown scheme \"ftp\""), ("https://x/y", "http is not"), ("", "empty")] {
        let error = Lake::open(url, &StorageOptions::default()).await.unwrap_err();
        assert!(matches!(error, StorageError::InvalidUrl { .. }) && error.to_string().contains(text), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_memory_lake_is_its_own() {
    let options = StorageOptions::default();
    let one = Lake::open("memory://", &options).await.unwrap();
    let two = Lake::open("memory://", &options).await.unwrap();
    create_as(&one, &people("t"), "SELECT 1 AS id").await.unwrap();
    assert_eq!(rows(&one, "t").await, ["1"]);
    assert!(two.tables("main").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_keys_and_missing_buckets_are_told_at_once() {
    let s3 = TestS3::start();
    let mut wrong = s3.options();
    wrong.s3.secret_access_key = Some("not the secret".into());
    let error = Lake::open(&s3.url("x"), &wrong).await.unwrap_err();
    assert!(matches!(&error, StorageError::OpenLake { url, .. } if url == &s3.url("x/")), "{error:?}");
    assert!(chain(&error).contains("403") || chain(&error).contains("SignatureDoesNotMatch"), "{}", chain(&error));
    assert!(!chain(&error).contains("not the secret"));
    let error = Lake::open("s3://no-such-bucket/x", &s3.options()).await.unwrap_err();
    assert!(matches!(&error, StorageError::OpenLake { .. }) && error.source().is_some(), "{error:?}");
    assert!(chain(&error).contains("no-such-bucket"), "{}", chain(&error));
    assert!(Lake::open(&s3.url("x"), &s3.options()).await.is_ok());
}

/// Variables belong to a whole process: another one runs [`the_environment_opens_a_lake`] with these, and with nothing
/// else that concerns S3. Whether it made its lake, and what it printed.
fn with_variables(s3: &TestS3, variables: &[(&str, &str)]) -> Result<(), String> {
    let keys = s3.options().s3;
    let mut child = Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("AWS_") || name.to_lowercase().ends_with("_proxy") {
            child.env_remove(name);
        }
    }
    let output = child
        .args(["--exact", "open::the_environment_opens_a_lake"])
        .env("AWS_ACCESS_KEY_ID", keys.access_key_id.as_deref().unwrap())
        .env("AWS_SECRET_ACCESS_KEY", keys.secret_access_key.as_deref().unwrap())
        .env("TEST_LAKE", s3.url("by/environment"))
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let lake = s3.folder().join(s3.bucket()).join("by/environment");
    assert!(lake.join("main/t/_delta_log").is_dir());
    std::fs::remove_dir_all(lake).unwrap();
    Ok(())
}

#[test]
fn what_is_not_set_comes_from_the_usual_variables() {
    let s3 = TestS3::start();
    let endpoint = s3.endpoint();
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
        with_variables(&s3, &[(name, &endpoint)]).unwrap();
        let wrong = with_variables(&s3, &[(name, &endpoint), ("AWS_SECRET_ACCESS_KEY", "wrong")]);
        assert!(wrong.is_err());
    }
    let endpoint = ("AWS_ENDPOINT_URL", endpoint.as_str());
    with_variables(&s3, &[endpoint, ("AWS_SESSION_TOKEN", "a-token")]).unwrap();
    assert!(s3.has_seen("x-amz-security-token: a-token"));
    with_variables(&s3, &[endpoint, ("AWS_DEFAULT_REGION", "eu-test-1")]).unwrap();
    assert!(s3.has_seen("region: eu-test-1"));
}

#[test]
fn what_is_set_wins_over_the_variables() {
    let s3 = TestS3::start();
    let nowhere = "http://127.0.0.1:1";
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
        with_variables(&s3, &[(name, nowhere), ("TEST_ENDPOINT", &s3.endpoint())]).unwrap();
    }
    let keys = s3.options().s3;
    let variables = [
        ("AWS_ENDPOINT_URL", s3.endpoint()),
        ("AWS_ACCESS_KEY_ID", "somebody else".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "wrong".to_owned()),
        ("AWS_SESSION_TOKEN", "of-somebody-else".to_owned()),
        ("TEST_KEY", keys.access_key_id.unwrap()),
        ("TEST_SECRET", keys.secret_access_key.unwrap()),
    ];
    with_variables(&s3, &variables.each_ref().map(|(name, value)| (*name, value.as_str()))).unwrap();
    assert!(!s3.has_seen("x-amz-security-token: of-somebody-else"));
}

/// The name of the bucket's host is for the endpoint alone to know: it is the proxy as well.
#[test]
fn a_bucket_may_stand_in_the_host() {
    let s3 = TestS3::start();
    let (endpoint, proxy) = (s3.named_endpoint(), s3.endpoint());
    let variables = [("TEST_ENDPOINT", endpoint.as_str()), ("HTTP_PROXY", &proxy), ("TEST_PATH_STYLE", "false")];
    with_variables(&s3, &variables).unwrap();
    assert!(s3.has_seen("host: lake.s3.test") && !s3.has_seen("host: s3.test"));
    let variables =
        [("AWS_ENDPOINT_URL", endpoint.as_str()), ("HTTP_PROXY", &proxy), ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")];
    with_variables(&s3, &variables).unwrap();
    assert!(!s3.has_seen("host: s3.test"));
    with_variables(&s3, &[("AWS_ENDPOINT_URL", &endpoint), ("HTTP_PROXY", &proxy)]).unwrap();
    assert!(s3.has_seen("host: s3.test"));
}

/// Looks at nothing but the variables, and at nothing without them. `TEST_` ones stand for the configuration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_opens_a_lake() {
    let Ok(url) = std::env::var("TEST_LAKE") else { return };
    let given = |name: &str| std::env::var(name).ok();
    let mut options = StorageOptions::default();
    options.s3.endpoint = given("TEST_ENDPOINT");
    options.s3.access_key_id = given("TEST_KEY");
    options.s3.secret_access_key = given("TEST_SECRET");
    options.s3.path_style = given("TEST_PATH_STYLE").map(|style| style == "true");
    let lake = Lake::open(&url, &options).await.unwrap();
    create_as(&lake, &people("t"), "SELECT 1 AS id").await.unwrap();
    assert_eq!(rows(&lake, "t").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_at_the_root_of_a_bucket_works() {
    let s3 = TestS3::start();
    let lake = Lake::open(&format!("s3://{}", s3.bucket()), &s3.options()).await.unwrap();
    create_as(&lake, &people("t"), "SELECT 1 AS id").await.unwrap();
    assert_eq!(rows(&lake, "t").await, ["1"]);
    assert_eq!(lake.schemas().await.unwrap(), ["main"]);
    let place = Place::memory();
    assert!(place.open().await.tables("main").await.unwrap().is_empty());
}
