//! The options: `config/default.toml`, then a file, then the environment; refused as a whole or taken whole.

mod auth;
mod http;
mod layer;
mod nats;
mod problem;
mod secret;
mod sections;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use figment::Figment;
use serde::{Deserialize, Deserializer};
use validator::{Validate, ValidationError};

pub use auth::{
    AuthConfig, ClaimsConfig, DEV_ISSUER, IntrospectionConfig, IssuerConfig, Permission,
    TokenAlgorithm,
};
pub use http::{HttpConfig, HttpTlsConfig};
pub use layer::ENV_PREFIX;
pub(crate) use nats::is_loopback_url;
pub use nats::{NatsConfig, NatsConnectionConfig, NatsCredentials, NatsTlsConfig};
pub use problem::ConfigError;
pub use secret::Secret;
pub use sections::{
    ActorsConfig, CommitLogConfig, CompactionConfig, EventsConfig, LogConfig, LogEngine, LogFormat,
    LogReads, MonitoringConfig, ReadsConfig, RelayConfig, RuntimeConfig, TelemetryConfig,
    TracesConfig, ViewConfig,
};

use layer::Layer;

/// The documentation of every option, and its default.
pub const DEFAULT_TOML: &str = include_str!("../../../config/default.toml");
/// What `--dev` has instead: a nats-server reserves `max_bytes` on its disk, or refuses the stream.
const DEV_TOML: &str = "[relay]\nmax_bytes = 1_073_741_824\n";

/// All options, one section per module.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "partition_of_one_of_several_nodes"))]
pub struct Config {
    pub data_dir: PathBuf,
    #[serde(deserialize_with = "flag")]
    pub dev_insecure: bool,
    #[validate(nested)]
    pub commit_log: CommitLogConfig,
    #[validate(nested)]
    pub log: LogConfig,
    #[validate(nested)]
    pub compaction: CompactionConfig,
    #[validate(nested)]
    pub view: ViewConfig,
    #[validate(nested)]
    pub actors: ActorsConfig,
    #[validate(nested)]
    pub runtime: RuntimeConfig,
    #[validate(nested)]
    pub nats: NatsConfig,
    #[validate(nested)]
    pub http: HttpConfig,
    #[validate(nested)]
    pub relay: RelayConfig,
    #[validate(nested)]
    pub events: EventsConfig,
    #[validate(nested)]
    pub reads: ReadsConfig,
    #[validate(nested)]
    pub auth: AuthConfig,
    #[validate(nested)]
    pub monitoring: MonitoringConfig,
    #[validate(nested)]
    pub telemetry: TelemetryConfig,
    #[validate(nested)]
    pub traces: TracesConfig,
    /// Whether development keys are accepted; set by [`Config::load_dev`] alone, no option.
    #[serde(skip)]
    pub dev: bool,
}

impl Config {
    /// The options for a service that is meant to be used. `env` is the environment as name and value;
    /// variables without [`ENV_PREFIX`] are passed over.
    ///
    /// # Errors
    /// [`ConfigError`]: unreadable, an unknown key or a wrong value, all broken rules, or no issuer.
    pub fn load(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let config = read(defaults()?, file, env)?;
        if config.auth.issuers.is_empty() {
            return Err(ConfigError::NoIssuer);
        }
        config.checked()
    }

    /// The options behind `--dev`: without an issuer of its own the development key is the only one, and the
    /// event stream is small. Call [`crate::auth::dev::check_dev_allowed`] before anything listens.
    ///
    /// # Errors
    /// [`ConfigError`], as [`Config::load`], but a missing issuer is none.
    pub fn load_dev(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let base = defaults()?.merge(Layer::from_toml("the defaults of --dev", DEV_TOML)?);
        let mut config = read(base, file, env)?;
        config.dev = true;
        if config.auth.issuers.is_empty() {
            config
                .auth
                .issuers
                .push(IssuerConfig::dev(&config.data_dir));
        }
        config.checked()
    }

    /// `config/default.toml` alone: no issuer, so nothing to start a service with.
    ///
    /// # Errors
    /// None, unless the compiled-in file is broken, which a test excludes.
    pub fn defaults() -> Result<Config, ConfigError> {
        read(defaults()?, None, [])?.checked()
    }

    fn checked(self) -> Result<Config, ConfigError> {
        match self.validate() {
            Ok(()) => Ok(self),
            Err(errors) => Err(problem::of_validator(&errors)),
        }
    }
}

/// One node alone with a partition would leave the others' requests without an answer.
fn partition_of_one_of_several_nodes(config: &Config) -> Result<(), ValidationError> {
    match (config.commit_log.engine, config.nats.partition) {
        (LogEngine::File, Some(_)) => Err(problem::rule(
            "nats.partition is for several nodes: it needs commit_log.engine = \"jetstream\"",
        )),
        (LogEngine::File | LogEngine::JetStream, _) => Ok(()),
    }
}

fn defaults() -> Result<Figment, ConfigError> {
    Ok(Figment::from(Layer::from_toml(
        "config/default.toml",
        DEFAULT_TOML,
    )?))
}

fn read(
    base: Figment,
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut figment = base;
    if let Some(path) = file {
        figment = figment.merge(Layer::from_file(path)?);
    }
    let ours = env
        .into_iter()
        .filter_map(|(name, text)| Layer::from_variable(&name, &text));
    for layer in ours {
        figment = figment.merge(layer);
    }
    figment
        .extract()
        .map_err(|error| problem::of_figment(&error))
}

/// `true`, `false`, 1 or 0: `PROFILE__DEV_INSECURE=1` is what people write.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Bool(bool),
        Number(u8),
    }
    match Flag::deserialize(deserializer) {
        Ok(Flag::Bool(on)) => Ok(on),
        Ok(Flag::Number(0)) => Ok(false),
        Ok(Flag::Number(1)) => Ok(true),
        Ok(Flag::Number(_)) | Err(_) => Err(serde::de::Error::custom("must be true or false")),
    }
}
