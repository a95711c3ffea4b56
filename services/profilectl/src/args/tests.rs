use clap::CommandFactory;
use clap::error::ErrorKind;

use super::fields::GenderArg;
use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

fn refused(line: &str) -> ErrorKind {
    parse(line).unwrap_err().kind()
}

#[test]
fn the_definition_is_consistent_and_the_help_documents_exit_codes() {
    Cli::command().debug_assert();
    let help = Cli::command().render_long_help().to_string();
    assert!(help.contains("12  outcome unknown"), "{help}");
}

#[test]
fn every_command_line_of_the_table_is_accepted() {
    for line in [
        "profilectl create --first-name A --last-name B --email a@b --email-verified",
        "profilectl create --file -",
        "profilectl get u1",
        "profilectl get --me --min-version 3",
        "profilectl update u1 --first-name A --last-name B --gender female",
        "profilectl update --me --file body.json --expected-version 0",
        "profilectl patch u1 --clear nick-name,gender --deadline-ms 60000",
        "profilectl history --me --limit 1000 --all",
        "profilectl list --prefix a --cursor c --org o --json",
        "profilectl remove u1 --yes --idempotency-key k",
        "profilectl watch u1 --org o --count 2",
        "profilectl watch --from-position 7",
        "profilectl watch --all --json",
        "profilectl watch u1 --from-version 3 --type created,changed --field nick-name,gender",
        "profilectl watch --since 15m --type removed",
        "profilectl watch --since 2025-09-05T08:00:00Z",
        "profilectl export users.ndjson --users 1000 --limit 10 --progress",
        "profilectl export - --as-listed",
        "profilectl backup --data data --to backup",
        "profilectl restore --from backup --data data --config c.toml --accept-gap --epoch 3",
        "profilectl restore --from backup --data data --without-stream",
        "profilectl migrate --config c.toml --progress",
        "profilectl get u1 --ca-file ca.pem --cert-file c.pem --key-file k.pem",
        "profilectl replay",
        "profilectl replay --after 7 --limit 1000 --all --json",
        "profilectl token --dev --sub u1 --org o --role ORG_OWNER --role USER=o2 --ttl 15m",
        "profilectl token --key k.pem --sub u1 --org o --issuer i --audience a",
        "profilectl token init-keys --out keys",
        "profilectl token init-keys --out keys --public-out public",
        "profilectl --server nats://h:1,nats://h:2 --user n --password p --timeout 500ms get u1",
        "profilectl get u1 --creds f --inbox-prefix _INBOX.x --token-file t",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
}

#[test]
fn every_wrong_command_line_of_the_table_is_refused() {
    for (line, kind) in [
        ("profilectl get u1 --me", ErrorKind::ArgumentConflict),
        ("profilectl remove u1", ErrorKind::MissingRequiredArgument),
        (
            "profilectl remove --yes",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "profilectl patch u1 --clear first-name",
            ErrorKind::InvalidValue,
        ),
        ("profilectl update u1 --gender x", ErrorKind::InvalidValue),
        (
            "profilectl update u1 --deadline-ms 0",
            ErrorKind::ValueValidation,
        ),
        (
            "profilectl update u1 --deadline-ms 60001",
            ErrorKind::ValueValidation,
        ),
        ("profilectl list --limit 0", ErrorKind::ValueValidation),
        ("profilectl list --limit 1001", ErrorKind::ValueValidation),
        (
            "profilectl watch --all --from-position 1",
            ErrorKind::ArgumentConflict,
        ),
        ("profilectl watch --count 0", ErrorKind::ValueValidation),
        (
            "profilectl watch --from-version 2",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "profilectl watch u1 --from-version 2 --since 1h",
            ErrorKind::ArgumentConflict,
        ),
        (
            "profilectl watch u1 --from-version 0",
            ErrorKind::ValueValidation,
        ),
        (
            "profilectl watch --since yesterday",
            ErrorKind::ValueValidation,
        ),
        ("profilectl watch --type moved", ErrorKind::InvalidValue),
        ("profilectl watch --field email", ErrorKind::InvalidValue),
        (
            "profilectl restore --from b --data d",
            ErrorKind::MissingRequiredArgument,
        ),
        ("profilectl migrate", ErrorKind::MissingRequiredArgument),
        (
            "profilectl get u1 --cert-file c.pem",
            ErrorKind::MissingRequiredArgument,
        ),
        ("profilectl replay --limit 0", ErrorKind::ValueValidation),
        ("profilectl replay --limit 1001", ErrorKind::ValueValidation),
        ("profilectl replay u1", ErrorKind::UnknownArgument),
        (
            "profilectl token --dev --key f",
            ErrorKind::ArgumentConflict,
        ),
        ("profilectl token --role =o", ErrorKind::ValueValidation),
        ("profilectl get u1 --timeout 5", ErrorKind::ValueValidation),
        ("profilectl get u1 --timeout 0s", ErrorKind::ValueValidation),
        (
            "profilectl get u1 --creds a --nkey b",
            ErrorKind::ArgumentConflict,
        ),
        (
            "profilectl create --email-verified",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "profilectl get u1 --clear gender",
            ErrorKind::UnknownArgument,
        ),
    ] {
        assert_eq!(refused(line), kind, "{line}");
    }
}

#[test]
fn the_parsed_values_are_what_was_given() {
    let cli = parse("profilectl patch u1 --nick-name N --clear gender,preferred-language").unwrap();
    let Action::Patch(patch) = cli.action else {
        panic!("not a patch");
    };
    assert_eq!(patch.target.user_id.as_deref(), Some("u1"));
    assert_eq!(patch.fields.nick_name.as_deref(), Some("N"));
    let cleared = [ClearableField::Gender, ClearableField::PreferredLanguage];
    assert_eq!(patch.clear, cleared);

    let cli = parse("profilectl update --me --gender diverse --timeout 2m --json").unwrap();
    assert_eq!(cli.global.format(), Format::Json);
    assert_eq!(cli.global.timeout, Duration::from_secs(120));
    let Action::Update(update) = cli.action else {
        panic!("not an update");
    };
    assert!(update.target.me);
    assert_eq!(update.fields.gender, Some(GenderArg::Diverse));
}

#[test]
fn durations_have_a_unit_and_are_not_zero_or_too_long() {
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
    for bad in [
        "",
        "5",
        "s",
        "-1s",
        "1.5s",
        "5 s",
        "1d",
        "0ms",
        "99999999999999999999s",
        "5é",
    ] {
        assert!(duration(bad).is_err(), "{bad}");
    }
    assert!(duration("18446744073709551615h").is_err());
}

#[test]
fn secrets_do_not_print() {
    let line = "profilectl get u1 --token tok3n --password passw0rd";
    let debug = format!("{:?}", parse(line).unwrap());
    assert!(
        !debug.contains("tok3n") && !debug.contains("passw0rd"),
        "{debug}"
    );
}
