//! What is served besides calls: signs of life, and the description of the API.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, StatusCode};
use profile_messages::schema::{ASYNCAPI, OPENAPI, PAGE};

use crate::transport::exchange::{Response, body};

/// The methods of every document.
const ALLOWED: &str = "GET, HEAD";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const HTML: &str = "text/html; charset=utf-8";

/// The page may use the one style sheet that is in it, and nothing else.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = STANDARD.encode(digest(&SHA256, style(PAGE).as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    // Visible ASCII: always a value of a header. Without the style sheet the page is still readable.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// What there is at a path of a document: itself, or the methods that are allowed there.
pub(super) fn find(method: &Method, path: &str) -> Option<Result<Response, &'static str>> {
    let (content_type, text) = match path {
        // The edge is up only while the service takes requests, so both say the same.
        "/debug/healthz" | "/debug/ready" => (TEXT, "ok"),
        "/openapi.json" => (JSON, OPENAPI),
        "/asyncapi.json" => (JSON, ASYNCAPI),
        "/docs" => (HTML, PAGE),
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
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if content_type == HTML {
        headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(X_CONTENT_TYPE_OPTIONS, nosniff);
        let nowhere = HeaderValue::from_static("no-referrer");
        headers.insert(REFERRER_POLICY, nowhere);
    }
    response
}

/// What stands in the page's one `<style>` element.
fn style(page: &str) -> &str {
    let rest = page.split_once("<style>").map_or("", |(_, rest)| rest);
    rest.split_once("</style>").map_or("", |(style, _)| style)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by the contract test.
    #[test]
    fn a_document_is_read_only_and_says_so() {
        for path in [
            "/debug/healthz",
            "/debug/ready",
            "/openapi.json",
            "/asyncapi.json",
            "/docs",
        ] {
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

    #[test]
    fn the_policy_allows_the_pages_own_style_and_nothing_else() {
        assert!(style(PAGE).contains("color-scheme"));
        assert_eq!(PAGE.matches("<style").count(), 1);
        let policy = POLICY.to_str().unwrap();
        let allowed = policy.split("; ").filter(|rule| !rule.ends_with(" 'none'"));
        let allowed: Vec<&str> = allowed.collect();
        assert_eq!(allowed.len(), 1, "{policy}");
        assert!(allowed[0].starts_with("style-src 'sha256-") && allowed[0].ends_with("='"));
    }
}
