//! What roles grant, and where.

use std::collections::{BTreeMap, BTreeSet};

use profile_messages::{OrgId, UserId};
use profilectl::token::{SigningKey, TokenClaims, mint, mint_claims};
use serde_json::json;

use super::support::{Directory, ISSUER, NOW_S, Setup, bearer, claims, clock, config, issuer};
use crate::auth::{AuthError, Authenticator, Permission};

/// Roles with their organizations, the organization asked about, the permission, the answer.
type Row = (
    &'static [(&'static str, &'static str)],
    &'static str,
    Permission,
    Result<(), AuthError>,
);

fn org(id: &str) -> OrgId {
    OrgId::parse(id).unwrap()
}

fn roles(held: &[(&str, &str)]) -> BTreeMap<String, BTreeSet<String>> {
    let mut roles = BTreeMap::<_, BTreeSet<String>>::new();
    for (role, org) in held {
        roles
            .entry((*role).to_owned())
            .or_default()
            .insert((*org).to_owned());
    }
    roles
}

#[tokio::test]
async fn a_role_counts_where_it_is_held() {
    use AuthError::{NoMembership, NoPermission};
    use Permission::{EventsRead, UserRead, UserWrite};
    let setup = Setup::with(|config| config.auth.instance_org = Some("instance".into()));
    let rows: [Row; 16] = [
        (&[], "org1", UserRead, Err(NoMembership)),
        (&[("ORG_OWNER", "org1")], "org1", UserWrite, Ok(())),
        (&[("ORG_OWNER", "org1")], "org1", UserRead, Ok(())),
        (
            &[("ORG_OWNER", "org1")],
            "org1",
            EventsRead,
            Err(NoPermission),
        ),
        (
            &[("ORG_OWNER", "org2")],
            "org1",
            UserWrite,
            Err(NoMembership),
        ),
        (
            &[("ORG_OWNER_VIEWER", "org1"), ("ORG_OWNER", "org2")],
            "org1",
            UserWrite,
            Err(NoPermission),
        ),
        (&[("ORG_OWNER_VIEWER", "org1")], "org1", UserRead, Ok(())),
        (
            &[("OUR_OWN_ROLE", "org1")],
            "org1",
            UserRead,
            Err(NoPermission),
        ),
        (&[("IAM_OWNER", "instance")], "org1", UserWrite, Ok(())),
        (
            &[("IAM_OWNER_VIEWER", "instance")],
            "org1",
            EventsRead,
            Ok(()),
        ),
        (
            &[("IAM_OWNER_VIEWER", "instance")],
            "org1",
            UserWrite,
            Err(NoPermission),
        ),
        (
            &[("IAM_OWNER", "org2")],
            "org1",
            UserWrite,
            Err(NoMembership),
        ),
        (&[("IAM_OWNER", "org1")], "org1", UserWrite, Ok(())),
        (
            &[("ORG_OWNER", "instance")],
            "org1",
            UserWrite,
            Err(NoMembership),
        ),
        (
            &[("IAM_ORG_MANAGER", "instance")],
            "org1",
            UserWrite,
            Ok(()),
        ),
        (
            &[("IAM_ORG_MANAGER", "instance")],
            "org1",
            EventsRead,
            Err(NoPermission),
        ),
    ];
    for (held, at, permission, expected) in rows {
        let caller = setup
            .principal(&TokenClaims {
                roles: roles(held),
                ..claims()
            })
            .await;
        assert_eq!(
            setup.auth.authorize(&caller, permission, &org(at)),
            expected,
            "{held:?}"
        );
        let in_command = match expected {
            Err(NoPermission) => Err(AuthError::NoPermissionInCommand),
            Ok(()) | Err(_) => expected,
        };
        let answer = setup
            .auth
            .authorize_in_command(&caller, permission, &org(at));
        assert_eq!(answer, in_command, "{held:?}");
    }
}

#[tokio::test]
async fn an_instance_role_needs_the_instance_organization() {
    let with = Setup::with(|config| config.auth.instance_org = Some("instance".into()));
    let without = Setup::new();
    let held = |at| TokenClaims {
        roles: roles(&[("IAM_OWNER", at)]),
        ..claims()
    };
    let everywhere = async |setup: &Setup, at| {
        let caller = setup.principal(&held(at)).await;
        setup
            .auth
            .authorize_everywhere(&caller, Permission::EventsRead)
    };
    assert_eq!(everywhere(&with, "instance").await, Ok(()));
    assert_eq!(
        everywhere(&with, "org1").await,
        Err(AuthError::NoMembership)
    );
    assert_eq!(
        everywhere(&without, "instance").await,
        Err(AuthError::NoMembership)
    );
    let caller = without.principal(&held("instance")).await;
    let answer = without
        .auth
        .authorize(&caller, Permission::UserRead, &org("org1"));
    assert_eq!(answer, Err(AuthError::NoMembership));
}

#[tokio::test]
async fn an_organization_is_named_by_token_or_configuration() {
    let setup = Setup::with(|config| config.auth.organizations = vec!["listed".into()]);
    let held = roles(&[("ORG_OWNER", "org2")]);
    let caller = setup
        .principal(&TokenClaims {
            roles: held,
            ..claims()
        })
        .await;
    for named in ["org1", "org2", "listed"] {
        assert!(setup.auth.org_named_by(&caller, &org(named)), "{named}");
    }
    assert!(!setup.auth.org_named_by(&caller, &org("org3")));
}

#[tokio::test]
async fn roles_of_listed_projects_count_and_odd_forms_give_nothing() {
    let setup = Setup::with(|config| config.auth.project_ids = vec!["p1".into()]);
    let token = json!({
        "iss": ISSUER, "aud": "profile", "sub": "user1", "exp": NOW_S + 60,
        "urn:zitadel:iam:user:resourceowner:id": "not.an.id",
        "urn:zitadel:iam:org:project:roles": {
            "ORG_OWNER": { "org1": "d", "not.an.id": "d" }, "A": ["org1"], "B": "org1", "C": {},
        },
        "urn:zitadel:iam:org:project:p1:roles": { "ORG_OWNER": { "org2": "d" } },
        "urn:zitadel:iam:org:project:p2:roles": { "ORG_OWNER": { "org3": "d" } },
    });
    let token = mint_claims(&setup.key, &token).unwrap();
    let caller = bearer(&setup.auth, &token).await.unwrap();
    assert_eq!(
        caller.roles,
        roles(&[("ORG_OWNER", "org1"), ("ORG_OWNER", "org2")])
    );
    assert_eq!(caller.org, None);
}

/// The owner of the ids, and `https://partner`, which speaks for one organization.
struct TwoIssuers {
    auth: Authenticator,
    first: SigningKey,
    second: SigningKey,
    _directory: Directory,
}

fn two_issuers(organization_of_second: &str) -> TwoIssuers {
    let [first, second] = [(); 2].map(|()| SigningKey::generate().unwrap());
    let directory = Directory::new();
    let keys_of_second = directory.write("2", &second.jwks());
    let mut further = issuer("https://partner", Some(&keys_of_second));
    further.organizations = vec![organization_of_second.into()];
    let owner = issuer(ISSUER, Some(&directory.write("1", &first.jwks())));
    let mut config = config(vec![owner, further]);
    config.auth.instance_org = Some("instance".into());
    TwoIssuers {
        auth: Authenticator::new(&config, clock()).unwrap(),
        first,
        second,
        _directory: directory,
    }
}

#[tokio::test]
async fn a_further_issuer_speaks_for_its_organizations_only() {
    let TwoIssuers {
        auth,
        second,
        _directory,
        ..
    } = two_issuers("partner");

    let held = [
        ("ORG_OWNER", "org1"),
        ("ORG_OWNER", "partner"),
        ("IAM_OWNER", "instance"),
    ];
    let mut said = TokenClaims {
        roles: roles(&held),
        ..claims()
    };
    let as_first = mint(&second, &said).unwrap();
    assert_eq!(bearer(&auth, &as_first).await, Err(AuthError::TokenInvalid));

    said.issuer = "https://partner".into();
    let caller = bearer(&auth, &mint(&second, &said).unwrap()).await.unwrap();
    assert_eq!((caller.org.as_ref(), caller.user.as_ref()), (None, None));
    assert_eq!(caller.roles, roles(&[("ORG_OWNER", "partner")]));
    assert!(!auth.org_named_by(&caller, &org("org1")));

    said.org = Some("partner".into());
    let caller = bearer(&auth, &mint(&second, &said).unwrap()).await.unwrap();
    let user = UserId::parse("user1").unwrap();
    assert!(caller.is_user(&user, &org("partner")));
    assert!(
        !caller.is_user(&user, &org("org1")),
        "a user of the first issuer with this id"
    );
}

#[tokio::test]
async fn a_further_issuers_instance_roles_stay_in_its_organizations() {
    // By mistake or not: the instance's own organization is among those it may speak for.
    let TwoIssuers {
        auth,
        first,
        second,
        _directory,
    } = two_issuers("instance");
    let mut said = TokenClaims {
        roles: roles(&[("IAM_OWNER", "instance")]),
        ..claims()
    };
    let caller = bearer(&auth, &mint(&first, &said).unwrap()).await.unwrap();
    assert_eq!(caller.identity()[0], "");
    assert_eq!(
        auth.authorize(&caller, Permission::UserWrite, &org("org1")),
        Ok(())
    );
    said.issuer = "https://partner".into();
    let caller = bearer(&auth, &mint(&second, &said).unwrap()).await.unwrap();
    assert_eq!(caller.identity(), ["https://partner", "user1"]);
    let elsewhere = auth.authorize(&caller, Permission::UserWrite, &org("org1"));
    assert_eq!(elsewhere, Err(AuthError::NoMembership));
    let at_home = auth.authorize(&caller, Permission::UserWrite, &org("instance"));
    assert_eq!(at_home, Ok(()));
    let everywhere = auth.authorize_everywhere(&caller, Permission::EventsRead);
    assert_eq!(everywhere, Err(AuthError::NoMembership));
}
