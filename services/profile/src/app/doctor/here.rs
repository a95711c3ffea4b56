//! What can be seen on this machine: the configuration and its files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use super::{Finding, data};
use crate::app::options;
use crate::auth::Authenticator;
use crate::clock::SystemClock;
use crate::config::Config;

/// Whose files hold secrets, only they may read them; a group may.
const WORLD: u32 = 0o007;

pub(super) fn look(config: &Config, file: Option<&Path>) -> Vec<Finding> {
    let mut findings = exposure(config);
    findings.extend(file.and_then(readable_by_the_world));
    if let Err(error) = Authenticator::new(config, Arc::new(SystemClock::default())) {
        findings.push(Finding::error(
            "token-keys",
            error,
            "put the key set where the configuration names it, or name where it is",
        ));
    }
    findings.extend(data::look(config));
    findings
}

fn exposure(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if config.dev_insecure {
        findings.push(Finding::error(
            "dev-keys",
            "dev_insecure is set: the development key may be accepted beyond this machine",
            "take dev_insecure (PROFILE__DEV_INSECURE) away and configure an issuer",
        ));
    }
    if options::is_exposed(config) {
        findings.push(Finding::warning(
            "nats-tls",
            "a nats-server that is not on this machine is used without TLS",
            "use tls:// in nats.urls, or set nats.tls",
        ));
    }
    if options::is_http_exposed(config) {
        findings.push(Finding::warning(
            "http-tls",
            "http.listen is reachable from elsewhere and has no TLS",
            "set http.tls, or listen on loopback behind a proxy that ends TLS",
        ));
    }
    if config
        .monitoring
        .listen
        .is_some_and(|it| !it.ip().is_loopback())
    {
        findings.push(Finding::warning(
            "monitoring-exposed",
            "monitoring.listen is reachable from elsewhere and has no login",
            "listen on loopback, or keep callers from that port by the network",
        ));
    }
    findings
}

fn readable_by_the_world(file: &Path) -> Option<Finding> {
    let mode = fs::metadata(file).ok()?.permissions().mode();
    (mode & WORLD != 0).then(|| {
        Finding::warning(
            "config-file-access",
            format!(
                "everybody can read {}, which may hold passwords",
                file.display()
            ),
            format!("chmod o= {}", file.display()),
        )
    })
}
