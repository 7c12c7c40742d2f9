use super::*;

fn check(text: &str, variables: &[(&str, &str)], flags: Flags) -> Result<Config, ConfigError> {
    let variable =
        |name: &str| variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned());
    Config::check("boathouse.toml", text, &variable, flags)
}

#[test]
fn nothing_said_gives_the_defaults() {
    let config = check("", &[], Flags::default()).unwrap();
    assert_eq!((config.listen.as_str(), config.insecure), ("127.0.0.1:32010", false));
    assert_eq!(config.engine.file_access, FileAccess::Anywhere);
    assert_eq!(config.server_engine().file_access, FileAccess::Under(Vec::new()));
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file() {
    let file = "[server]\nlisten = 'file:1'\n[query]\nmemory = '1GiB'\nstatement_timeout = '1s'";
    let variables = [("BOATHOUSE_LISTEN", "variable:1"), ("BOATHOUSE_MEMORY", "2GiB")];
    let flags = Flags { listen: Some("flag:1".to_owned()), ..Flags::default() };
    let config = check(file, &variables, flags).unwrap();
    assert_eq!(config.listen, "flag:1");
    assert_eq!(config.engine.memory_bytes_max, 2 << 30);
    assert_eq!(config.engine.statement_timeout, Some(Duration::from_secs(1)));
    let flags = Flags {
        listen: None,
        insecure: true,
        memory: Some(Memory::Bytes(3 << 30)),
        statement_timeout: Some(Span(Duration::from_secs(9))),
        ..Flags::default()
    };
    let config = check(file, &variables, flags).unwrap();
    assert!(config.insecure);
    assert_eq!(config.engine.memory_bytes_max, 3 << 30);
    assert_eq!(config.engine.statement_timeout, Some(Duration::from_secs(9)));
}

#[test]
fn every_key_of_the_file_arrives() {
    let file = r#"
        marts = "sql/marts"
        [server]
        listen = "127.0.0.1:0"
        insecure = true
        drain = "5m"
        file_roots = ["s3://bucket/in"]
        [http]
        listen = "0.0.0.0:9090"
        [query]
        memory = 1048576
        spill_folder = "spill"
        spill = "1 GB"
        statement_timeout = 0
        statements_running_max = 3
        threads = 4
        [tier]
        cold_storage_class = "ONEZONE_IA"
        [tier.prices]
        ONEZONE_IA = 0.5
        MINE = 2
        [cache]
        result_cache_bytes = "1MiB"
        plan_cache_bytes = 0
        footer_cache_bytes = 4096
        [upkeep]
        interval = "1min"
        vacuum = true
        [auth]
        session = "1h"
        key = "0123456789abcdef0123456789abcdef"
        [auth.oidc]
        issuer = "https://login.example"
        audience = "boathouse"
        user_claim = "email"
        role_claim = "groups"
        admins = ["ops"]
        readers = ["staff"]
        leeway = "5s"
        [hot]
        bytes = "2GiB"
        folder = "copies"
        [warm]
        bytes = "1GiB"
        memory = "8MiB"
        folder = "blocks"
        [s3]
        endpoint = "http://127.0.0.1:9000"
        region = "r"
        access_key_id = "a"
        secret_access_key = "s"
        session_token = "t"
        path_style = false
    "#;
    let config = check(file, &[], Flags::default()).unwrap();
    assert!(config.insecure);
    assert_eq!(config.drain, Duration::from_secs(300));
    assert_eq!(config.http.as_deref(), Some("0.0.0.0:9090"));
    assert_eq!(config.file_roots, [Url::parse("s3://bucket/in/").unwrap()]);
    let hot = HotOptions { folder: "copies".into(), bytes_max: 2 << 30 };
    assert_eq!((config.hot("./lake"), check("", &[], Flags::default()).unwrap().hot("./lake")), (Some(hot), None));
    let warm = WarmOptions { folder: "blocks".into(), bytes_max: 1 << 30, memory_bytes_max: 8 << 20 };
    assert_eq!((config.warm("s3://b/lake"), config.warm("./lake"), config.warm("memory://")), (Some(warm), None, None));
    assert_eq!(config.auth.session_life, Duration::from_secs(3600));
    assert_eq!(config.auth.key.as_ref().map(|key| key.reveal().len()), Some(32));
    let oidc = config.auth.oidc.clone().unwrap();
    assert_eq!((oidc.issuer.as_str(), oidc.audience.as_str()), ("https://login.example", "boathouse"));
    assert_eq!((oidc.user_claim.as_str(), oidc.role_claim.as_deref()), ("email", Some("groups")));
    assert_eq!((oidc.admins, oidc.readers), (vec!["ops".to_owned()], vec!["staff".to_owned()]));
    assert_eq!(oidc.leeway, Duration::from_secs(5));
    let engine = config.engine;
    assert_eq!((engine.memory_bytes_max, engine.spill_bytes_max), (1 << 20, 1_000_000_000));
    assert_eq!(engine.spill_folder, Some(PathBuf::from("spill")));
    assert_eq!((engine.statement_timeout, engine.statements_running_max, engine.threads), (None, 3, 4));
    assert_eq!((engine.result_cache_bytes_max, engine.plan_cache_bytes_max), (1 << 20, 0));
    assert_eq!((engine.upkeep_interval, engine.upkeep_vacuum), (Some(Duration::from_secs(60)), true));
    assert_eq!(engine.storage.footer_bytes_max, 4096);
    assert_eq!(engine.storage.cold_storage_class, "ONEZONE_IA");
    assert_eq!(
        (engine.prices.month("ONEZONE_IA", 1, 1 << 30), engine.prices.month("MINE", 1, 1 << 30)),
        (Some(0.5), Some(2.0))
    );
    assert_eq!(engine.storage.s3.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
    let s3 = &engine.storage.s3;
    let given = (s3.region.as_deref(), s3.access_key_id.as_deref(), s3.secret_access_key.as_deref());
    assert_eq!(given, (Some("r"), Some("a"), Some("s")));
    assert_eq!((engine.storage.s3.session_token.as_deref(), engine.storage.s3.path_style), (Some("t"), Some(false)));
}

#[test]
fn what_cannot_be_used_is_named() {
    for (file, expected) in [
        ("[server]\nlisen = 'x'", "lisen"),
        ("[sever]", "sever"),
        ("[query]\nmemory = 'much'", "\"much\" is not a size"),
        ("[query]\nmemory = '0'", "queries need memory"),
        ("[query]\nstatement_timeout = '5 years'", "\"5 years\" is not a length of time"),
        ("[query]\nthreads = 0", "threads is 0"),
        ("[server]\nfile_roots = ['/does/not/exist']", "/does/not/exist"),
        ("[auth]\nkey = 'short'", "the key of [auth] is too short"),
        ("[auth.oidc]\nissuer = 'http://login.example'\naudience = 'b'", "[auth.oidc]: the issuer is not"),
        ("[auth.oidc]\nissuer = 'https://login.example'", "audience"),
        ("memory", "boathouse.toml"),
    ] {
        let error = check(file, &[], Flags::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = check("", &[("BOATHOUSE_MEMORY", "150%")], Flags::default()).unwrap_err().to_string();
    assert!(error.contains("BOATHOUSE_MEMORY") && error.contains("150%"), "{error}");
}

#[test]
fn a_share_is_of_the_memory_at_hand() {
    let whole = value::share_of_machine(100).unwrap();
    let half = check("[query]\nmemory = '50%'", &[], Flags::default()).unwrap().engine.memory_bytes_max;
    assert!(half <= whole / 2 && half > whole / 3);
}

#[test]
fn tls_is_a_certificate_and_its_key() {
    assert_eq!(check("", &[], Flags::default()).unwrap().tls, None);
    let file = "[tls]\ncertificate = 'a'\nkey = 'b'\nclient_ca = 'c'\n[tls.users]\n'CN=x,O=y' = 'ada'";
    let tls = check(file, &[("BOATHOUSE_TLS_KEY", "k")], Flags::default()).unwrap().tls.unwrap();
    assert_eq!((tls.files.certificate, tls.files.key), (PathBuf::from("a"), PathBuf::from("k")));
    assert_eq!((tls.files.client_ca, tls.files.client_required), (Some(PathBuf::from("c")), true));
    assert_eq!(tls.users["CN=x,O=y"], "ada");
    for (file, expected) in [
        ("[tls]\ncertificate = 'a'", "set tls.key"),
        ("[tls]\nkey = 'a'", "set tls.certificate"),
        ("[tls]\nclient_ca = 'a'", "set tls.certificate and tls.key"),
        ("[tls]\ncertificate = 'a'\nkey = 'b'\nclient_required = false", "client_ca"),
        ("[tls.users]\n'CN=x' = 'ada'", "client_ca"),
    ] {
        let error = check(file, &[], Flags::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_http_port_is_encrypted_only_with_a_certificate() {
    let error = check("[http]\ntls = true", &[], Flags::default()).unwrap_err().to_string();
    assert!(error.contains("http.tls is set, but the server has no certificate"), "{error}");
    let file = "[http]\ntls = false\n[tls]\ncertificate = 'c.pem'\nkey = 'k.pem'";
    assert!(!check(file, &[], Flags::default()).unwrap().http_tls);
    assert!(check(file, &[("BOATHOUSE_HTTP_TLS", "true")], Flags::default()).unwrap().http_tls);
}

#[test]
fn traces_go_where_the_variables_of_opentelemetry_say() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20eA==,x-tenant=a"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=test"),
        ("OTEL_SERVICE_NAME", "lake"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
    ];
    let file = "[traces]\nendpoint = 'http://file:4317'\nsample = 0.5";
    let traces = check(file, &variables, Flags::default()).unwrap().traces.unwrap().unwrap();
    assert_eq!((traces.endpoint.as_str(), traces.sample), ("http://collector:4317", 0.25));
    assert_eq!(traces.timeout, Duration::from_millis(2500));
    let headers: Vec<_> = traces.headers.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
    assert_eq!(headers, [("authorization", "Basic eA=="), ("x-tenant", "a")]);
    assert!(!format!("{traces:?}").contains("eA=="));
    let resource: Vec<_> = traces.resource.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(resource, [("deployment.environment.name", "test"), ("service.name", "lake")]);

    let traces = check(file, &[], Flags::default()).unwrap().traces.unwrap().unwrap();
    let expected = crate::TraceOptions { sample: 0.5, ..crate::TraceOptions::to("http://file:4317") };
    assert_eq!(traces, expected);
    assert_eq!(check("", &[], Flags::default()).unwrap().traces, Ok(None));
    let off = [("OTEL_SDK_DISABLED", "true")];
    assert_eq!(check(file, &off, Flags::default()).unwrap().traces, Ok(None));
}

#[test]
fn traces_that_could_not_be_sent_are_refused_by_those_who_would_send_them() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    for (variables, part) in [
        (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")], "write http://host:4317"),
        (vec![endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")], "over gRPC only"),
        (vec![endpoint, ("OTEL_TRACES_SAMPLER_ARG", "2")], "from 0, for none, to 1"),
        (vec![endpoint, ("OTEL_TRACES_SAMPLER_ARG", "half")], "OTEL_TRACES_SAMPLER_ARG is \"half\""),
        (vec![endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", "secret")], "is not a list such as"),
        (vec![endpoint, ("OTEL_EXPORTER_OTLP_TIMEOUT", "1s")], "number of milliseconds"),
    ] {
        // Whoever serves nothing does not mind.
        let error = check("", &variables, Flags::default()).unwrap().traces.unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains("secret"), "{error}");
    }
}

#[test]
fn cold_files_go_where_they_can_be_read_and_prices_are_prices() {
    let config = check("[tier]\nprices = { STANDARD = 1.5 }", &[], Flags::default()).unwrap();
    assert_eq!(config.engine.storage.cold_storage_class, "STANDARD_IA");
    assert_eq!(config.engine.prices.month("STANDARD", 1, 2 << 30), Some(3.0));
    let text = "[tier.requests]\nSTANDARD_IA = 4\n[tier.days_min]\nSTANDARD_IA = 60";
    let prices = check(text, &[], Flags::default()).unwrap().engine.prices;
    assert_eq!((prices.requests("STANDARD_IA", 250), prices.least("STANDARD_IA", 1.0)), (Some(1.0), 2.0));
    let variable = [("BOATHOUSE_COLD_STORAGE_CLASS", "GLACIER_IR")];
    assert_eq!(check("", &variable, Flags::default()).unwrap().engine.storage.cold_storage_class, "GLACIER_IR");
    for (text, words) in [
        ("[tier]\ncold_storage_class = 'DEEP_ARCHIVE'", "cannot be read before they are restored"),
        ("[tier]\ncold_storage_class = 'cheap'", "as S3 spells it"),
        ("[tier.prices]\nSTANDARD = -1.0", "a number from 0 is needed"),
        ("[tier.requests]\nSTANDARD = -1.0", "tier.requests: the price of \"STANDARD\" is -1"),
        ("[tier.days_min]\nSTANDARD = -1.0", "tier.days_min: the least time of \"STANDARD\" is -1"),
    ] {
        let error = check(text, &[], Flags::default()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
