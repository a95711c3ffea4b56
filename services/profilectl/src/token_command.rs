//! `profilectl token`: key sets, and tokens signed with them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use profilectl::token::{self, DEV_ISSUER, SigningKey, TokenClaims, TokenError};

use crate::args::{Global, MintArgs, TokenAction, TokenArgs};
use crate::failure::Failure;
use crate::{clock, output};

/// The development key inside a data directory, as `profiled --dev` makes it.
const DEV_KEY_FILE: &str = "dev-key/signing-key.pem";

/// # Errors
/// Usage, when something a token needs is missing; a key that cannot be read or written.
pub(crate) fn run(global: &Global, args: &TokenArgs) -> Result<(), Failure> {
    let failed = |error: TokenError| Failure::other(error.to_string());
    match &args.action {
        Some(TokenAction::InitKeys { out, public_out }) => {
            init_keys(out).map_err(failed)?;
            let public_out = public_out.as_deref();
            public_out.map_or(Ok(()), |public| {
                token::publish_keys(out, public).map_err(failed)
            })
        }
        None => {
            let claims = claims(global, &args.mint, clock::now_s())?;
            let key = SigningKey::load(&key_file(&args.mint)?).map_err(failed)?;
            output::token(&token::mint(&key, &claims).map_err(failed)?)
        }
    }
}

/// Keeps a key set that is there, so that a step that prepares a machine may run at every start.
fn init_keys(out: &Path) -> Result<(), TokenError> {
    if token::has_key_set(out) {
        output::note(&format!("kept the key set in {}", out.display()));
        return Ok(());
    }
    token::init_keys(out)?;
    output::note(&format!("made a key set in {}", out.display()));
    Ok(())
}

fn missing(option: &str) -> Failure {
    Failure::usage(format!("a token needs {option}"))
}

fn key_file(args: &MintArgs) -> Result<PathBuf, Failure> {
    match (&args.key, args.dev) {
        (Some(file), _) => Ok(file.clone()),
        (None, true) => Ok(args.data_dir.join(DEV_KEY_FILE)),
        (None, false) => Err(missing("--dev or --key FILE")),
    }
}

/// What the token says, from `issued_at_s` on (seconds since 1970).
fn claims(global: &Global, args: &MintArgs, issued_at_s: u64) -> Result<TokenClaims, Failure> {
    let of_dev = args.dev.then_some(DEV_ISSUER);
    let issuer = args.issuer.as_deref().or(of_dev);
    let audience = args.audience.as_deref().or(of_dev);
    let org = global.org.as_ref().ok_or_else(|| missing("--org"))?;
    let mut roles: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for grant in &args.role {
        let orgs = roles.entry(grant.role.clone()).or_default();
        orgs.insert(grant.org.as_ref().unwrap_or(org).clone());
    }
    if args.ttl.as_secs() == 0 {
        return Err(Failure::usage("a token is valid for at least 1s"));
    }
    Ok(TokenClaims {
        issuer: issuer.ok_or_else(|| missing("--issuer"))?.to_owned(),
        audience: vec![audience.ok_or_else(|| missing("--audience"))?.to_owned()],
        subject: args.sub.clone().ok_or_else(|| missing("--sub"))?,
        org: Some(org.clone()),
        roles,
        issued_at_s,
        ttl_s: args.ttl.as_secs(),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Action, Cli};

    fn parsed(line: &str) -> Result<(PathBuf, TokenClaims), Failure> {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Action::Token(args) = &cli.action else {
            panic!("not a token");
        };
        Ok((
            key_file(&args.mint)?,
            claims(&cli.global, &args.mint, 1_000)?,
        ))
    }

    #[test]
    fn a_token_needs_a_key_a_subject_an_organization_and_whom_it_is_for() {
        for line in [
            "profilectl token --sub u --org o",
            "profilectl token --dev --org o",
            "profilectl token --dev --sub u",
            "profilectl token --dev --sub u --org o --ttl 5ms",
            "profilectl token --key f --sub u --org o --issuer i",
            "profilectl token --key f --sub u --org o --audience a",
        ] {
            assert!(matches!(parsed(line), Err(Failure::Usage(_))), "{line}");
        }
    }

    #[test]
    fn a_role_without_an_organization_holds_in_the_callers_own() {
        let line =
            "profilectl token --dev --sub u --org o --role R --role R=p --role S=p --ttl 15m";
        let orgs = |orgs: &[&str]| orgs.iter().map(|org| (*org).to_owned()).collect();
        let golden = TokenClaims {
            org: Some("o".to_owned()),
            roles: [
                ("R".to_owned(), orgs(&["o", "p"])),
                ("S".to_owned(), orgs(&["p"])),
            ]
            .into(),
            ttl_s: 900,
            ..TokenClaims::dev("u", 1_000)
        };
        let key = PathBuf::from("data/dev-key/signing-key.pem");
        assert_eq!(parsed(line).unwrap(), (key, golden));
    }

    #[test]
    fn a_key_file_names_its_own_issuer_and_audience() {
        let line = "profilectl token --key f --sub u --org o --issuer i --audience a";
        let (key, claims) = parsed(line).unwrap();
        assert_eq!(key, PathBuf::from("f"));
        assert_eq!(
            (claims.issuer.as_str(), claims.audience),
            ("i", vec!["a".to_owned()])
        );
    }
}
