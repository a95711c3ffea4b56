//! What is served besides calls: signs of life, and the description of the API.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};

use crate::transport::http::exchange::{Response, body};

/// OpenAPI 3.1 of the REST paths, held against the running routes by `make contract-test`.
const OPENAPI: &str = include_str!("../../../../../messages/openapi.json");

/// The document at a path, if there is one.
pub(super) fn find(method: &Method, path: &str) -> Option<Response> {
    if *method != Method::GET {
        return None;
    }
    match path {
        // The edge is up only while the service takes requests, so both say the same.
        "/debug/healthz" | "/debug/ready" => Some(document("text/plain", "ok")),
        "/openapi.json" => Some(document("application/json", OPENAPI)),
        _ => None,
    }
}

fn document(content_type: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(body(text));
    *response.status_mut() = StatusCode::OK;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
