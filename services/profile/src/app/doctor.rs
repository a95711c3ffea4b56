//! `profiled doctor`: looks at an installation from the place where the service would run, and says what
//! is wrong and how to mend it. Changes nothing.

mod bus;
mod data;
mod here;
pub(super) mod monitor;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::{Config, ConfigError};

/// Where to look.
#[derive(Clone, Debug)]
pub struct Doctor {
    pub config: Option<PathBuf>,
    /// The HTTP monitoring of nats-server, e.g. `http://127.0.0.1:8222`.
    pub nats_monitor: Option<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Could not be looked at.
    Unchecked,
    Warning,
    Error,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at; stays the same between releases.
    pub check: &'static str,
    pub severity: Severity,
    /// What was seen. No secret is in it.
    pub seen: String,
    /// What to do.
    pub mend: String,
}

impl Finding {
    fn error(check: &'static str, seen: impl fmt::Display, mend: impl fmt::Display) -> Finding {
        Finding::new(check, Severity::Error, seen, mend)
    }

    fn warning(check: &'static str, seen: impl fmt::Display, mend: impl fmt::Display) -> Finding {
        Finding::new(check, Severity::Warning, seen, mend)
    }

    fn unchecked(check: &'static str, seen: impl fmt::Display, mend: impl fmt::Display) -> Finding {
        Finding::new(check, Severity::Unchecked, seen, mend)
    }

    fn new(
        check: &'static str,
        severity: Severity,
        seen: impl fmt::Display,
        mend: impl fmt::Display,
    ) -> Finding {
        Finding {
            check,
            severity,
            seen: seen.to_string(),
            mend: mend.to_string(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Unchecked => "not checked",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(
            f,
            "{severity}: {}: {}\n    {}",
            self.check, self.seen, self.mend
        )
    }
}

impl Doctor {
    /// Everything that is found, the worst first.
    ///
    /// # Errors
    /// Only when there is no runtime to look with.
    pub fn look(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Vec<Finding>> {
        let file = self.config.as_deref();
        let config = match Config::load(file, environment) {
            Ok(config) => config,
            Err(error) => return Ok(vec![unusable(file, &error)]),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut findings = here::look(&config, file);
        findings.extend(runtime.block_on(bus::look(&config)));
        findings.extend(runtime.block_on(monitor::look(self.nats_monitor.as_deref())));
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(findings)
    }
}

/// Without a configuration there is nothing else to look at.
fn unusable(file: Option<&Path>, error: &ConfigError) -> Finding {
    let place = file.map_or("the environment".to_owned(), |file| {
        file.display().to_string()
    });
    let mend = match error {
        ConfigError::NoIssuer => {
            "name who may issue tokens in [[auth.issuers]]: your ZITADEL, or a key set by `profilectl token \
             init-keys`"
                .to_owned()
        }
        ConfigError::Unreadable { .. }
        | ConfigError::Syntax { .. }
        | ConfigError::Key { .. }
        | ConfigError::Invalid(_) => {
            format!("mend it in {place}; config/default.toml has every option with its range")
        }
    };
    Finding::error("config", error, mend)
}
