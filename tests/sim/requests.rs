//! A wish as a request to the whole service, with a token.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use profile::config::Config;
use profile::data_dir::DataDir;
use profile_messages::ProfileFields;
use profile_messages::command::{CommandRequest, CreateBody, EmailBody, PatchBody, UpdateBody};
use profile_messages::envelope::Envelope;
use profile_messages::json::{Message, WireGender};
use profile_messages::record::Hash16;
use profile_tests::temp_dir::TempDir;
use profilectl::token::{TokenClaims, init_keys, mint};

use crate::clock::STARTED_S;
use crate::load::{Change, Patience, Wish};

const OPERATOR: &str = "operator";
const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "profile";
const YEAR_S: u64 = 366 * 24 * 3_600;

/// What lets the simulated clients in: made once, it is the same for all worlds.
pub(crate) struct Access {
    pub(crate) config: Config,
    authorization: String,
    _folder: TempDir,
}

/// An owner of all simulated organizations, for longer than any simulation takes.
pub(crate) fn access() -> &'static Access {
    static ACCESS: OnceLock<Access> = OnceLock::new();
    ACCESS.get_or_init(|| {
        let folder = TempDir::create();
        let keys = folder.join("keys");
        let key = init_keys(&keys).unwrap();
        let organizations = ["zoo", "farm"].map(str::to_owned).into();
        let claims = TokenClaims {
            issuer: ISSUER.to_owned(),
            audience: vec![AUDIENCE.to_owned()],
            subject: OPERATOR.to_owned(),
            org: Some("zoo".to_owned()),
            roles: BTreeMap::from([("ORG_OWNER".to_owned(), organizations)]),
            issued_at_s: STARTED_S.cast_unsigned() - YEAR_S,
            ttl_s: 20 * YEAR_S,
        };
        Access {
            config: config(&folder, &keys.join("jwks.json")),
            authorization: format!("Bearer {}", mint(&key, &claims).unwrap()),
            _folder: folder,
        }
    })
}

fn config(folder: &TempDir, jwks: &Path) -> Config {
    // The key set is never read again: a read of a file is not the simulation's to order.
    let text = format!(
        r#"
[[auth.issuers]]
issuer = "{ISSUER}"
audiences = ["{AUDIENCE}"]
algorithms = ["EdDSA"]
jwks_file = "{}"
refresh_interval_s = 86400
"#,
        jwks.display()
    );
    let file = folder.join("profiled.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(Some(&file), []).unwrap()
}

impl Access {
    /// What the service gets for this wish, under this key; without one it makes its own.
    pub(crate) fn request(&self, wish: &Wish, key: Option<String>) -> (Envelope, CommandRequest) {
        let envelope = Envelope {
            authorization: Some(self.authorization.clone()),
            org: Some(wish.org.to_owned()),
            idempotency_key: key,
            expected_version: wish.expected,
            trace: None,
            deadline_ms: match wish.patience {
                Patience::Endless => None,
                Patience::Short => Some(1),
            },
        };
        (envelope, wish.body())
    }

    pub(crate) fn read(&self, org: &str) -> Envelope {
        Envelope {
            authorization: Some(self.authorization.clone()),
            org: Some(org.to_owned()),
            ..Envelope::default()
        }
    }
}

impl Wish {
    fn body(&self) -> CommandRequest {
        let user_id = self.user.to_string();
        match &self.change {
            Change::Create(fields) => CommandRequest::Create(CreateBody {
                user_id: Some(user_id.clone()),
                user_name: Some(user_id),
                profile: Some(Message(fields_body(fields))),
                email: Some(Message(EmailBody {
                    email: Some("a@b".to_owned()),
                    is_email_verified: None,
                })),
                ..CreateBody::default()
            }),
            Change::Update(fields) => CommandRequest::Update {
                user_id,
                body: fields_body(fields),
            },
            Change::Patch { nick_name } => CommandRequest::Patch {
                user_id,
                body: PatchBody {
                    nick_name: nick_name.clone().map(Some),
                    ..PatchBody::default()
                },
            },
            Change::Remove => CommandRequest::Remove { user_id },
        }
    }

    /// The hash under which the service remembers this wish: caller, operation, target user, key.
    pub(crate) fn key_hash(&self, data_dir: &DataDir, key: &str) -> Hash16 {
        let operation = self.body().operation().name();
        let scope = ["key", "", OPERATOR, operation, self.user.as_str(), key];
        data_dir.keyed_hash(&scope.map(str::as_bytes))
    }
}

fn fields_body(fields: &ProfileFields) -> UpdateBody {
    UpdateBody {
        user_id: None,
        first_name: Some(fields.first_name.clone()),
        last_name: Some(fields.last_name.clone()),
        nick_name: Some(fields.nick_name.clone()),
        display_name: Some(fields.display_name.clone()),
        preferred_language: Some(fields.preferred_language.clone()),
        gender: Some(WireGender(Some(fields.gender.number()))),
    }
}
