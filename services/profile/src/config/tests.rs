use profile_messages::event::EventPayload;

use super::*;

const ISSUERS: &str = r#"[{issuer="https://id.example.com", audiences=["profile"], algorithms=["RS256"], jwks_file="keys.json"}]"#;

fn env(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    variables.iter().map(own).collect()
}

/// Loads with one issuer and these variables.
fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut all = vec![("PROFILE__AUTH__ISSUERS", ISSUERS)];
    all.extend(variables);
    Config::load(None, env(&all))
}

fn load_file(text: &str) -> Result<Config, ConfigError> {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let name = format!("profile-config-{}-{count}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, text).unwrap();
    let loaded = Config::load(Some(&path), env(&[("PROFILE__AUTH__ISSUERS", ISSUERS)]));
    std::fs::remove_file(&path).unwrap();
    loaded
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let mut config = Config::defaults().unwrap();
    assert_eq!(config.data_dir, Path::new("data"));
    assert_eq!(config.nats.reply_prefixes_allowed, ["_INBOX.", "_R_."]);
    assert_eq!(config.nats.srv_prefix, "$SRV");
    assert_eq!(config.nats.ingress.credentials(), NatsCredentials::None);
    assert_eq!(config.events.payload, EventPayload::Changed);
    assert_eq!(
        config.auth.claims.own_org,
        "urn:zitadel:iam:user:resourceowner:id"
    );
    assert!(!config.dev && !config.dev_insecure);
    // An issuer is the only thing that is missing, and its left-out options are the documented ones.
    config.auth.issuers = load(&[]).unwrap().auth.issuers;
    assert_eq!(load(&[]).unwrap(), config);
    let issuer = &config.auth.issuers[0];
    for documented in [
        format!("leeway_s           = {}", issuer.leeway_s),
        format!("refetch_interval_s = {}", issuer.refetch_interval_s),
        format!("refresh_interval_s = {}", issuer.refresh_interval_s),
        format!("cache_s            = {}", asking("").unwrap().cache_s),
    ] {
        assert!(DEFAULT_TOML.contains(&documented), "{documented}");
    }
}

#[test]
fn roles_have_zitadels_permissions() {
    use super::Permission::{EventsRead, UserWrite};
    let roles = Config::defaults().unwrap().auth.roles;
    let with = |permission| -> Vec<&str> {
        let holders = roles.iter().filter(|(_, held)| held.contains(&permission));
        holders.map(|(role, _)| role.as_str()).collect()
    };
    let writers = [
        "IAM_LOGIN_CLIENT",
        "IAM_ORG_MANAGER",
        "IAM_OWNER",
        "IAM_USER_MANAGER",
        "ORG_OWNER",
        "ORG_USER_MANAGER",
    ];
    assert_eq!(with(UserWrite), writers);
    assert_eq!(with(EventsRead), ["IAM_OWNER", "IAM_OWNER_VIEWER"]);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let config = load_file("[reads]\npage_rows_max = 7\nconcurrent_pages_max = 8\n").unwrap();
    assert_eq!(
        (
            config.reads.page_rows_max,
            config.reads.concurrent_pages_max
        ),
        (7, 8)
    );
    assert_eq!(config.reads.min_version_wait_ms_max, 5000);
    let config = load(&[
        ("PROFILE__READS__PAGE_ROWS_MAX", "9"),
        ("PROFILE__AUTH__ROLES__ORG_OWNER", "[]"),
        ("PROFILE__AUTH__ROLES__Our_Role", r#"["user.read"]"#),
        ("PROFILE_PORT", "tcp://10.0.0.1:80"),
        ("PATH", "/bin"),
    ])
    .unwrap();
    assert_eq!(config.reads.page_rows_max, 9);
    assert!(config.auth.roles["ORG_OWNER"].is_empty());
    assert!(config.auth.roles.contains_key("Our_Role"));
    assert!(config.auth.roles.contains_key("IAM_OWNER"));
}

#[test]
fn a_service_without_issuer_does_not_start() {
    let refused = Config::load(None, []).unwrap_err().to_string();
    assert!(
        refused.contains("auth.issuers") && refused.contains("--dev"),
        "{refused}"
    );
    let dev = Config::load_dev(None, []).unwrap();
    assert!(dev.dev);
    assert_eq!(dev.auth.issuers, [IssuerConfig::dev(Path::new("data"))]);
}

#[test]
fn the_event_stream_of_dev_is_small_unless_its_size_is_set() {
    let gibibytes = |config: &Config| config.relay.max_bytes >> 30;
    assert_eq!(gibibytes(&Config::defaults().unwrap()), 10);
    assert_eq!(gibibytes(&Config::load_dev(None, []).unwrap()), 1);
    let set = (
        "PROFILE__RELAY__MAX_BYTES".to_owned(),
        (3_u64 << 30).to_string(),
    );
    assert_eq!(gibibytes(&Config::load_dev(None, [set]).unwrap()), 3);
}

#[test]
fn an_unknown_key_is_refused_by_name_and_source() {
    let refused = load_file("[nats]\nping_intervall_ms = 4711\n")
        .unwrap_err()
        .to_string();
    assert!(refused.contains("nats.ping_intervall_ms in "), "{refused}");
    assert!(
        refused.contains("profile-config-") && !refused.contains("4711"),
        "{refused}"
    );
    let refused = load(&[("PROFILE__NATS__INGRES__PASSWORD", "hunter2")]).unwrap_err();
    let text = "nats.ingres in environment variable PROFILE__NATS__INGRES__PASSWORD";
    assert!(refused.to_string().starts_with(text), "{refused}");
    assert!(
        load(&[("PROFILE__DEV", "true")]).is_err(),
        "--dev is no option"
    );
    assert!(matches!(
        load(&[("PROFILE__", "x")]),
        Err(ConfigError::Key { .. })
    ));
    assert!(load(&[("PROFILE__LOG", "x")]).is_err());
}

#[test]
fn a_number_out_of_range_is_refused_by_key_and_limit() {
    let rows = [
        ("LOG__SEGMENT_BYTES", 1_048_576, 4_294_967_296),
        ("LOG__APPEND_QUEUE_COMMITS_MAX", 1, 1_000_000),
        ("LOG__GROUP_COMMITS_MAX", 1, 65_535),
        ("LOG__GROUP_BYTES_MAX", 65_536, 67_108_864),
        ("VIEW__OVERLAY_BYTES_MAX", 1_048_576, 17_179_869_184),
        ("VIEW__CACHE_BYTES", 1_048_576, 1_099_511_627_776),
        ("VIEW__WRITE_BEHIND_INTERVAL_MS", 1, 60_000),
        ("ACTORS__SHARDS", 0, 256),
        ("ACTORS__LIVE_ACTORS_MAX", 1, 10_000_000),
        ("ACTORS__MAILBOX_COMMANDS_MAX", 1, 10_000),
        ("ACTORS__IDLE_PASSIVATION_MS", 100, 86_400_000),
        ("RUNTIME__IO_THREADS", 0, 256),
        ("NATS__IN_FLIGHT_REQUESTS_MAX", 1, 1_000_000),
        ("NATS__INGRESS_CAPACITY_MESSAGES", 16, 1_000_000),
        ("NATS__PING_INTERVAL_MS", 100, 120_000),
        ("RELAY__REPLICAS", 1, 5),
        ("RELAY__MAX_AGE_S", 0, 3_153_600_000),
        ("RELAY__MAX_BYTES", 0, 1 << 60),
        ("RELAY__WINDOW_MESSAGES_MAX", 1, 10_000),
        ("RELAY__LAG_BYTES_MAX", 1_048_576, 1_099_511_627_776),
        ("RELAY__DUPLICATE_WINDOW_S", 1, 86_400),
        ("RELAY__ERASE_SETTLE_S", 0, 86_400),
        ("READS__MIN_VERSION_WAIT_MS_MAX", 0, 60_000),
        ("READS__PAGE_ROWS_MAX", 1, 1000),
        ("READS__CONCURRENT_PAGES_MAX", 1, 1024),
        ("AUTH__TOKEN_CACHE_ENTRIES_MAX", 0, 1_000_000),
    ];
    for (name, min, max) in rows {
        let name = format!("PROFILE__{name}");
        let key = name["PROFILE__".len()..].to_lowercase().replace("__", ".");
        let try_with = |value: u64| {
            // A group may not be larger than a segment.
            let room = ("PROFILE__LOG__SEGMENT_BYTES", "67108864");
            let small = ("PROFILE__LOG__GROUP_BYTES_MAX", "65536");
            load(&[room, small, (name.as_str(), value.to_string().as_str())])
        };
        assert!(try_with(min).is_ok(), "{key}");
        assert!(try_with(max).is_ok(), "{key}");
        let mut outside = vec![max + 1];
        outside.extend(min.checked_sub(1));
        for value in outside {
            let refused = try_with(value).unwrap_err().to_string();
            assert!(refused.contains(&format!("{key}: must be")), "{refused}");
            assert!(refused.contains(&max.to_string()), "{refused}");
            assert!(!refused.contains(&format!(" {value}")), "{refused}");
        }
        assert!(load(&[(&name, "-1")]).is_err(), "{key}");
        assert!(load(&[(&name, "many")]).is_err(), "{key}");
    }
}

#[test]
fn a_partition_is_for_several_nodes_only() {
    let partition = ("PROFILE__NATS__PARTITION", "2");
    let alone = load(&[partition]).unwrap_err().to_string();
    assert!(alone.contains("needs commit_log.engine"), "{alone}");
    let several = load(&[
        partition,
        ("PROFILE__COMMIT_LOG__ENGINE", "jetstream"),
        ("PROFILE__COMMIT_LOG__SYNC_ALWAYS_CONFIRMED", "true"),
    ]);
    assert_eq!(several.unwrap().nats.partition, Some(2));
    let large = load(&[("PROFILE__NATS__PARTITION", "1024")]);
    let large = large.unwrap_err().to_string();
    assert!(
        large.contains("nats.partition: must be at most 1023"),
        "{large}"
    );
}

#[test]
fn every_broken_rule_is_named_at_once() {
    let refused = load(&[
        ("PROFILE__LOG__SEGMENT_BYTES", "1048576"),
        (
            "PROFILE__NATS__URLS",
            r#"["nats://user:hunter2@127.0.0.1"]"#,
        ),
        ("PROFILE__NATS__REPLY_PREFIXES_ALLOWED", r#"["profile."]"#),
        ("PROFILE__NATS__INGRESS__USER", "profile"),
        ("PROFILE__NATS__TLS__CERT_FILE", "cert.pem"),
        ("PROFILE__NATS__EGRESS__INBOX_PREFIX", "a.>"),
        ("PROFILE__AUTH__CLAIMS__PROJECT_ROLES", "roles"),
        ("PROFILE__AUTH__ORGANIZATIONS", r#"["a.b"]"#),
        ("PROFILE__TELEMETRY__FILTER", ""),
    ]);
    let Err(ConfigError::Invalid(problems)) = refused else {
        panic!("{refused:?}");
    };
    let keys: Vec<_> = problems
        .iter()
        .map(|text| text.split(": ").next().unwrap())
        .collect();
    let expected = [
        "auth.claims.project_roles",
        "auth.organizations",
        "log",
        "nats.egress.inbox_prefix",
        "nats.ingress",
        "nats.reply_prefixes_allowed",
        "nats.tls",
        "nats.urls",
        "telemetry.filter",
    ];
    assert_eq!(keys, expected);
    assert!(!problems.concat().contains("hunter2"));
}

/// An issuer that is asked about tokens, with more in that table.
fn asking(rest: &str) -> Result<IntrospectionConfig, ConfigError> {
    let table = format!(r#"{{client_id="api", client_secret="0123"{rest}}}"#);
    let text = format!(
        r#"[{{issuer="https://id", audiences=["p"], algorithms=["RS256"], introspection={table}}}]"#
    );
    let config = Config::load(None, env(&[("PROFILE__AUTH__ISSUERS", &text)]))?;
    Ok(config.auth.issuers[0].introspection.clone().unwrap())
}

#[test]
fn an_issuer_may_be_discovered_and_asked() {
    let introspection = asking("").unwrap();
    assert_eq!(introspection.client_secret.unwrap().expose(), "0123");
    assert_eq!(introspection.url, None);
    assert_eq!(asking(", cache_s=3600").unwrap().cache_s, 3600);
    assert!(asking(r#", url="http://127.0.0.1:8080/introspect""#).is_ok());
    for (rest, expected) in [
        (r#", client_secret_file="f""#, "exactly one of"),
        (", cache_s=0", "introspection.cache_s: must be 1 to 3600"),
        (", cache_s=3601", "introspection.cache_s: must be 1 to 3600"),
        (
            r#", url="http://id.example.com/introspect""#,
            "introspection.url: must be an https:// URL",
        ),
        (
            r#", url="https://u:hunter2@id.example.com""#,
            "introspection.url: must be an https:// URL",
        ),
        (r#", jwt=true"#, "no such key"),
    ] {
        let refused = asking(rest).unwrap_err().to_string();
        assert!(refused.contains(expected), "{rest}: {refused}");
        assert!(!refused.contains("hunter2") && !refused.contains("0123"));
    }
}

#[test]
fn an_issuer_that_cannot_be_trusted_is_refused() {
    let issuer = |rest: &str| format!(r#"{{issuer="https://id", audiences=["p"], {rest}}}"#);
    let named = |name: &str, rest: &str| {
        format!(r#"{{issuer="{name}", audiences=["p"], algorithms=["RS256"]{rest}}}"#)
    };
    let asked = r#", introspection={client_id="c", client_secret="hunter2"}"#;
    let five: Vec<String> = (0..5)
        .map(|n| named(&format!("https://id{n}"), asked))
        .collect();
    let good = issuer(r#"algorithms=["RS256"], jwks_file="f""#);
    let rows = [
        (named("profile", ""), "discovery is used"),
        (named("http://id.example.com", ""), "discovery is used"),
        (named("https://id?tenant=1", ""), "discovery is used"),
        (named("https://id#1", ""), "discovery is used"),
        (named("https://u:hunter2@id", ""), "discovery is used"),
        (
            named("profile", &format!(r#", jwks_file="f"{asked}"#)),
            "discovery is used",
        ),
        (
            named("https://id", r#", introspection={client_id="c"}"#),
            "exactly one of client_secret and client_secret_file",
        ),
        (five.join(", "), "at most 4 with introspection"),
        (
            issuer(r#"algorithms=["RS256"], jwks_file="f", jwks_url="https://u""#),
            "at most one of",
        ),
        (
            issuer(r#"algorithms=["RS256"], jwks_url="http://id.example.com/keys""#),
            "https://",
        ),
        (
            issuer(r#"algorithms=["RS256"], jwks_url="https://u:hunter2@h/""#),
            "without credentials",
        ),
        (
            issuer(r#"algorithms=[], jwks_file="f""#),
            "algorithms must name at least one",
        ),
        (
            issuer(r#"algorithms=["HS256"], jwks_file="f""#),
            "must be one of RS256",
        ),
        (
            issuer(r#"algorithms=["none"], jwks_file="f""#),
            "must be one of RS256",
        ),
        (
            issuer(r#"algorithms=["RS256"], jwks_file="f", leeway_s=301"#),
            "leeway_s: must be at most 300",
        ),
        (
            issuer(r#"algorithms=["RS256"], jwks_file="f", secret="hunter2""#),
            "no such key",
        ),
        (
            format!("{good}, {good}"),
            "each issuer may stand there once",
        ),
        (
            format!("{good}, {}", good.replace("https://id", "https://other")),
            "must list its organizations",
        ),
    ];
    for (text, expected) in rows {
        let text = format!("[{text}]");
        let refused = Config::load(None, env(&[("PROFILE__AUTH__ISSUERS", &text)]));
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(expected), "{text}: {refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}

#[test]
fn a_secret_is_shown_nowhere() {
    let numeric = ("PROFILE__NATS__INGRESS__PASSWORD", "0123456");
    let config = load(&[("PROFILE__NATS__INGRESS__USER", "in"), numeric]).unwrap();
    let NatsCredentials::Password { user, password } = config.nats.ingress.credentials() else {
        panic!("no password");
    };
    assert_eq!((user, password.expose()), ("in", "0123456"));
    assert!(!format!("{config:?} {config:#?}").contains("0123456"));

    for text in [
        "[nats.ingress]\nuser = 'in'\npassword = 4711471\n",
        "[nats.ingress]\nuser = 'in'\npassword = '4711471\n",
        "[nats.ingress]\nuser = 'in'\npassword = ['4711471']\n",
        "[nats.ingress]\nuser = 'in'\npassword = 4711471 4711471\n",
        "[nats.ingress]\npassword = '4711471'\n",
        "[nats.ingress]\npasword = '4711471'\n",
        "[nats]\ningress = '4711471'\n",
        "[nats.ingress]\npassword = 4711471x\n",
    ] {
        let refused = load_file(text).unwrap_err();
        assert!(
            !format!("{refused} {refused:?}").contains("4711471"),
            "{refused}"
        );
    }
}

#[test]
fn a_trace_collector_is_an_http_address_without_credentials() {
    let load = |endpoint| load(&[("PROFILE__TRACES__OTLP_ENDPOINT", endpoint)]);
    for good in ["http://127.0.0.1:4318", "https://otlp.example.com/tenant/"] {
        let config = load(good).unwrap();
        assert_eq!(config.traces.otlp_endpoint.as_deref(), Some(good));
    }
    for bad in [
        "127.0.0.1:4318",
        "grpc://127.0.0.1:4317",
        "http://u:hunter2@127.0.0.1:4318",
        "http://127.0.0.1:4318?key=hunter2",
        "http://",
    ] {
        let error = load(bad).unwrap_err().to_string();
        assert!(error.contains("traces.otlp_endpoint"), "{error}");
        assert!(error.contains("without credentials"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_file_that_is_not_there_or_not_toml_is_refused() {
    let missing = Config::load(Some(Path::new("no-such-file.toml")), []).unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("no-such-file.toml cannot be read")
    );
    let broken = load_file("[reads]\npage_rows_max = 7\nconcurrent = = 8\n").unwrap_err();
    assert!(broken.to_string().contains("line 3"), "{broken}");
}
