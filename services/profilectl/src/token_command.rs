//! `profilectl token`: key sets and tokens for development and tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::args::{Global, MintArgs, RoleGrant, TokenAction, TokenArgs};
use crate::failure::Failure;
use crate::output;

/// Where the private key comes from.
#[derive(Debug, PartialEq, Eq)]
enum Signer {
    /// The development key of a data directory.
    Dev {
        data_dir: PathBuf,
    },
    File(PathBuf),
}

/// What a token is to say.
#[derive(Debug, PartialEq, Eq)]
struct TokenRequest<'a> {
    signer: Signer,
    sub: &'a str,
    org: &'a str,
    roles: Vec<RoleGrant>,
    ttl: Duration,
    issuer: Option<&'a str>,
    audience: Option<&'a str>,
}

/// # Errors
/// Usage, when something a token needs is missing; a key that cannot be read or written.
pub(crate) fn run(global: &Global, args: &TokenArgs) -> Result<(), Failure> {
    match &args.action {
        Some(TokenAction::InitKeys { out }) => init_keys(out),
        None => output::token(&mint(&request(global, &args.mint)?)?),
    }
}

fn request<'a>(global: &'a Global, args: &'a MintArgs) -> Result<TokenRequest<'a>, Failure> {
    let missing = |option: &str| Failure::usage(format!("a token needs {option}"));
    let signer = match (&args.key, args.dev) {
        (Some(path), _) => Signer::File(path.clone()),
        (None, true) => Signer::Dev {
            data_dir: args.data_dir.clone(),
        },
        (None, false) => return Err(missing("--dev or --key FILE")),
    };
    Ok(TokenRequest {
        signer,
        sub: args.sub.as_deref().ok_or_else(|| missing("--sub"))?,
        org: global.org.as_deref().ok_or_else(|| missing("--org"))?,
        roles: args.role.clone(),
        ttl: args.ttl,
        issuer: args.issuer.as_deref(),
        audience: args.audience.as_deref(),
    })
}

fn init_keys(_out: &Path) -> Result<(), Failure> {
    Err(Failure::other("making key sets is not built in yet"))
}

fn mint(_request: &TokenRequest) -> Result<String, Failure> {
    Err(Failure::other("minting is not built in yet"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Action, Cli};

    fn with_request<T>(line: &str, check: impl Fn(Result<TokenRequest, Failure>) -> T) -> T {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Action::Token(args) = &cli.action else {
            panic!("not a token");
        };
        check(request(&cli.global, &args.mint))
    }

    #[test]
    fn a_token_needs_a_signer_a_subject_and_an_organization() {
        for line in [
            "profilectl token --sub u --org o",
            "profilectl token --dev --org o",
            "profilectl token --dev --sub u",
        ] {
            with_request(line, |request| {
                assert!(matches!(request, Err(Failure::Usage(_))), "{line}");
            });
        }
    }

    #[test]
    fn a_request_says_what_the_options_say() {
        let line = "profilectl token --dev --sub u --org o --role R --role S=p --ttl 15m";
        with_request(line, |request| {
            let role = |role: &str, org: Option<&str>| RoleGrant {
                role: role.to_owned(),
                org: org.map(str::to_owned),
            };
            let golden = TokenRequest {
                signer: Signer::Dev {
                    data_dir: PathBuf::from("data"),
                },
                sub: "u",
                org: "o",
                roles: vec![role("R", None), role("S", Some("p"))],
                ttl: Duration::from_secs(900),
                issuer: None,
                audience: None,
            };
            assert_eq!(request.unwrap(), golden);
        });
    }
}
