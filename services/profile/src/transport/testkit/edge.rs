//! Whole HTTP requests, written as text: a letter for what the funnel says, then method, path, headers,
//! an empty line and the body.

mod answer;
mod stub;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, ORIGIN};
use http::{Method, Request, Uri, Version};
use http_body_util::Full;
use tower::ServiceExt;

use self::answer::{Answer, ConnectCode};
use self::stub::{Edge, with_edge};
use super::headers::{append, lines};
use super::{MARKER, chosen, first_line};
use crate::transport::api::Call;
use crate::transport::connect as connect_edge;

/// The calls that Connect serves.
const V2: [Call; 5] = [
    Call::V2UpdateHumanUser,
    Call::V2UpdateUser,
    Call::V2GetUserById,
    Call::V2AddHumanUser,
    Call::V2CreateUser,
];

/// A letter for the answer, a line with method, path and perhaps `1.1`, header lines, an empty line, the
/// body: through everything that stands behind a connection.
pub fn http(data: &[u8]) {
    let Some((letter, text)) = data.split_first() else {
        return;
    };
    let (line, rest) = first_line(text);
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let method = Method::from_bytes(words.next().unwrap_or_default().as_bytes());
    let uri = Uri::try_from(words.next().unwrap_or_default());
    let (Ok(method), Ok(uri)) = (method, uri) else {
        return;
    };
    let mut request = request(method, uri, rest);
    if words.next() == Some("1.1") {
        *request.version_mut() = Version::HTTP_11;
    }
    // It never ends: that is its purpose.
    if request.uri().path().ends_with("/Watch") {
        return;
    }
    let is_head = request.method() == Method::HEAD;
    let secret = Secret::of(&request, rest);
    let answer = with_edge(*letter, |edge| exchanged(edge, request.clone()));
    answer.has_the_general_headers();
    let is_ours = Call::from_rpc_path(request.uri().path()).is_some();
    if answer.is_grpc() {
        answer.is_grpc_answer(is_ours);
    } else if is_head {
        answer.has_no_body();
    } else {
        answer.is_http_answer(ConnectCode::Any);
    }
    secret.is_kept_by(&answer);
}

/// A letter for the answer, one for the call, `J` or `P` for the encoding; the rest as in [`http`].
pub fn connect(data: &[u8]) {
    let &[letter, call, encoding, ref rest @ ..] = data else {
        return;
    };
    let call = chosen(&V2, call);
    let uri = Uri::try_from(call.rpc_path()).expect("a path");
    let mut request = request(Method::POST, uri, rest);
    if !request.headers().contains_key(CONTENT_TYPE) {
        let chosen = HeaderValue::from_static(match encoding {
            b'P' => "application/proto",
            _ => "application/json",
        });
        request.headers_mut().insert(CONTENT_TYPE, chosen);
    }
    let secret = Secret::of(&request, rest);
    let answer = with_edge(letter, |edge| {
        edge.block_on(async {
            let response = connect_edge::answer(&edge.exchange, call, request).await;
            Answer::read(response).await
        })
    });
    answer.is_http_answer(ConnectCode::Named);
    secret.is_kept_by(&answer);
}

/// A letter for the answer, one for the call, one for the framing; the rest as in [`http`].
///
/// Framing: `B` the body is binary as it stands, `T` it is base64 as it stands, `b` and `t` it is put into
/// one frame, and for `t` into base64 as well.
pub fn grpc_web(data: &[u8]) {
    let &[letter, call, framing, ref rest @ ..] = data else {
        return;
    };
    let uri = chosen(&Call::ALL, call).rpc_path();
    let mut request = request(Method::POST, Uri::try_from(uri).expect("a path"), rest);
    if matches!(framing, b'b' | b't') {
        let message = body_of(rest);
        let length = u32::try_from(message.len()).expect("a small input");
        let framed = [&[0], length.to_be_bytes().as_slice(), message].concat();
        let wire = match framing {
            b't' => STANDARD.encode(framed).into_bytes(),
            _ => framed,
        };
        *request.body_mut() = Full::new(wire.into());
    }
    if !request.headers().contains_key(CONTENT_TYPE) {
        let chosen = HeaderValue::from_static(match framing {
            b'T' | b't' => "application/grpc-web-text",
            _ => "application/grpc-web+proto",
        });
        request.headers_mut().insert(CONTENT_TYPE, chosen);
    }
    let secret = Secret::of(&request, rest);
    let answer = with_edge(letter, |edge| exchanged(edge, request));
    if answer.is_grpc() {
        answer.is_grpc_answer(true);
    } else {
        answer.is_http_answer(ConnectCode::Any);
    }
    secret.is_kept_by(&answer);
}

fn exchanged(edge: &Edge, request: Request<Full<Bytes>>) -> Answer {
    edge.block_on(async {
        let answered = edge.dispatch.clone().oneshot(request).await;
        let response = answered.unwrap_or_else(|never| match never {});
        Answer::read(response).await
    })
}

fn request(method: Method, uri: Uri, rest: &[u8]) -> Request<Full<Bytes>> {
    let body = Bytes::copy_from_slice(body_of(rest));
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    for (name, value) in lines(head_of(rest)) {
        append(request.headers_mut(), name, value);
    }
    request
}

/// The header lines: what stands before the first empty line.
fn head_of(rest: &[u8]) -> &[u8] {
    let end = rest.len() - body_of(rest).len();
    rest.get(..end).unwrap_or_default()
}

fn body_of(rest: &[u8]) -> &[u8] {
    if let Some(body) = rest.strip_prefix(b"\n") {
        return body;
    }
    let end = rest.windows(2).position(|pair| pair == b"\n\n");
    end.and_then(|end| rest.get(end + 2..)).unwrap_or_default()
}

/// Whether the request holds the marker where no answer may repeat it.
struct Secret(bool);

impl Secret {
    fn of(request: &Request<Full<Bytes>>, rest: &[u8]) -> Secret {
        let has_it = |bytes: &[u8]| {
            let mut windows = bytes.windows(MARKER.len());
            windows.any(|window| window == MARKER.as_bytes())
        };
        // A successor's path and the allowed origin are meant to come back; tonic names an encoding that
        // it does not know; reflection names the symbol it was asked for.
        let encoding = request.headers().get("grpc-encoding");
        let origin = request.headers().get(ORIGIN);
        let path = HeaderValue::try_from(request.uri().path()).ok();
        let echoed = [encoding, origin, path.as_ref()];
        let mut echoed = echoed.into_iter().flatten().map(HeaderValue::as_bytes);
        let is_reflection = request.uri().path().starts_with("/grpc.");
        Secret(has_it(rest) && !is_reflection && !echoed.any(has_it))
    }

    fn is_kept_by(&self, answer: &Answer) {
        assert!(!(self.0 && answer.text().contains(MARKER)), "{answer:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::api::ApiService;

    #[test]
    fn connect_is_tried_with_every_call_that_it_serves() {
        let served = Call::ALL.into_iter();
        let served = served.filter(|call| call.service() == ApiService::UserV2);
        assert_eq!(served.collect::<Vec<_>>(), V2);
    }
}
