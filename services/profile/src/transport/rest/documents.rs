//! What is served besides calls: signs of life, and the description of the API.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};

use crate::transport::exchange::{Response, body};

/// OpenAPI 3.1 of the REST paths, held against the running routes by `make contract-test`.
const OPENAPI: &str = include_str!("../../../../../messages/openapi.json");

/// The methods of every document.
const ALLOWED: &str = "GET, HEAD";

/// What there is at a path of a document: itself, or the methods that are allowed there.
pub(super) fn find(method: &Method, path: &str) -> Option<Result<Response, &'static str>> {
    let (content_type, text) = match path {
        // The edge is up only while the service takes requests, so both say the same.
        "/debug/healthz" | "/debug/ready" => ("text/plain", "ok"),
        "/openapi.json" => ("application/json", OPENAPI),
        _ => return None,
    };
    Some(match *method {
        Method::GET | Method::HEAD => Ok(document(content_type, text)),
        _ => Err(ALLOWED),
    })
}

fn document(content_type: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(body(text));
    *response.status_mut() = StatusCode::OK;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by the contract test.
    #[test]
    fn a_document_is_read_only_and_says_so() {
        for path in ["/debug/healthz", "/debug/ready", "/openapi.json"] {
            for reading in [Method::GET, Method::HEAD] {
                let found = find(&reading, path).unwrap().unwrap();
                assert_eq!(found.status(), StatusCode::OK, "{path}");
            }
            for other in [Method::POST, Method::TRACE] {
                let refused = find(&other, path).unwrap().unwrap_err();
                assert_eq!(refused, "GET, HEAD", "{path}");
            }
        }
        assert!(find(&Method::GET, "/debug").is_none());
    }
}
