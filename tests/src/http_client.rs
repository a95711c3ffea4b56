//! A client of the HTTP port that shows what is on the wire: any method, any headers, any bytes.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use reqwest::{Body, Client, RequestBuilder};
use serde_json::Value;

/// What came back, byte for byte.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Over HTTP/2 behind the body; else none.
    pub trailers: HeaderMap,
}

impl HttpAnswer {
    /// The value of a header, or nothing.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("a header is text"))
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        let body = &self.body;
        serde_json::from_slice(body)
            .unwrap_or_else(|error| panic!("{} {error}: {body:?}", self.status))
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{:?}", self.body);
        self.json()
    }

    /// The `message` of an error of this status.
    #[track_caller]
    pub fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{:?}", self.body);
        let message = &self.json()["message"];
        message.as_str().expect("an error has a message").to_owned()
    }
}

/// One protocol version on one address.
#[derive(Clone, Debug)]
pub struct HttpClient {
    base: String,
    client: Client,
}

impl HttpClient {
    /// HTTP/1.1.
    pub fn http1(address: SocketAddr) -> HttpClient {
        let client = Client::builder().no_proxy().http1_only().build();
        HttpClient::over(
            format!("http://{address}"),
            client.expect("a client can be made"),
        )
    }

    /// HTTP/2 in clear text, without asking first.
    pub fn http2(address: SocketAddr) -> HttpClient {
        let builder = Client::builder().no_proxy().http2_prior_knowledge();
        HttpClient::over(
            format!("http://{address}"),
            builder.build().expect("a client can be made"),
        )
    }

    /// Whatever `client` speaks; `base` is scheme and authority.
    pub fn over(base: String, client: Client) -> HttpClient {
        HttpClient { base, client }
    }

    /// A request without headers and body so far.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> HttpAnswer {
        answer(self.request(Method::GET, path)).await
    }
}

/// Sends and reads to the end.
pub async fn answer(request: RequestBuilder) -> HttpAnswer {
    try_answer(request).await.expect("the service answers")
}

/// The same where no answer may come.
///
/// # Errors
/// Why there is none.
pub async fn try_answer(request: RequestBuilder) -> Result<HttpAnswer, reqwest::Error> {
    let response: http::Response<Body> = request.send().await?.into();
    let (parts, body) = response.into_parts();
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    Ok(HttpAnswer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: collected.to_bytes(),
        trailers,
    })
}
