//! `[http]`: the port of REST, gRPC, gRPC-Web and Connect.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use validator::{Validate, ValidationError};

use super::problem;

/// Without `listen` there is no HTTP edge.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    pub listen: Option<SocketAddr>,
    #[validate(range(min = 1, max = 100_000))]
    pub connections_max: usize,
    #[validate(range(min = 1, max = 10_000))]
    pub streams_per_connection_max: u32,
    #[validate(range(min = 1, max = 1_000_000))]
    pub in_flight_requests_max: usize,
    #[validate(range(min = 100_u64, max = 600_000_u64))]
    pub header_read_ms_max: u64,
    #[validate(range(min = 100_u64, max = 600_000_u64))]
    pub body_read_ms_max: u64,
    #[validate(range(min = 1_000_u64, max = 86_400_000_u64))]
    pub idle_ms_max: u64,
    #[validate(nested)]
    pub tls: HttpTlsConfig,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "certificate_with_key"))]
pub struct HttpTlsConfig {
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub client_ca_file: Option<PathBuf>,
}

fn certificate_with_key(tls: &HttpTlsConfig) -> Result<(), ValidationError> {
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        return Err(problem::rule("cert_file and key_file go together"));
    }
    if tls.client_ca_file.is_some() && tls.cert_file.is_none() {
        return Err(problem::rule("client_ca_file needs cert_file and key_file"));
    }
    Ok(())
}
