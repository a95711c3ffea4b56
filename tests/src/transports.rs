//! One call over any transport: the message is written once, as protobuf JSON, and each transport
//! encodes it in its own way.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use profile::transport::api::{ApiService, Call, DESCRIPTORS};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::http_client::{HttpAnswer, HttpClient, answer};
use crate::nats_server::NatsServer;
use crate::outcome::{Failure, frame, frames, from_web_text, web_trailers};
use crate::service::Service;

/// A way to make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Nats,
    Rest,
    Grpc,
    GrpcWeb,
    GrpcWebText,
    ConnectJson,
    ConnectProto,
}

impl Transport {
    pub const ALL: [Transport; 7] = [
        Transport::Nats,
        Transport::Rest,
        Transport::Grpc,
        Transport::GrpcWeb,
        Transport::GrpcWebText,
        Transport::ConnectJson,
        Transport::ConnectProto,
    ];

    /// Over NATS only what has a subject, over Connect only v2.
    pub fn carries(self, call: Call) -> bool {
        match self {
            Transport::Nats => operation(call).is_some(),
            Transport::ConnectJson | Transport::ConnectProto => {
                call.service() == ApiService::UserV2
            }
            Transport::Rest | Transport::Grpc | Transport::GrpcWeb | Transport::GrpcWebText => true,
        }
    }
}

/// The operation over NATS that is the same call.
fn operation(call: Call) -> Option<&'static str> {
    match call {
        Call::UpdateHumanProfile => Some("update"),
        Call::GetHumanProfile => Some("get"),
        Call::AddHumanUser => Some("create"),
        Call::UpdateMyProfile => Some("me.update"),
        Call::GetMyProfile => Some("me.get"),
        Call::GetUserById
        | Call::ListUserChanges
        | Call::ImportHumanUser
        | Call::ListMyUserChanges
        | Call::V2UpdateHumanUser
        | Call::V2UpdateUser
        | Call::V2GetUserById
        | Call::V2AddHumanUser
        | Call::V2CreateUser => None,
    }
}

/// A call as it is before it is encoded.
#[derive(Clone, Debug)]
pub struct Sent {
    pub call: Call,
    /// The target, for the calls that have one; `body` does not name it.
    pub user: Option<String>,
    /// Protobuf JSON of the message.
    pub body: Value,
    pub headers: Vec<(String, String)>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The HTTP status; over NATS the number that stands for it, 200 for a success.
    pub http: u16,
    /// The response message as canonical JSON, or the error.
    pub result: Result<Value, Failure>,
    /// Headers and trailers; none over NATS.
    pub headers: HeaderMap,
}

/// Clients for all transports of one service.
#[derive(Debug)]
pub struct Transports {
    nats: Caller,
    pub http1: HttpClient,
    pub http2: HttpClient,
    pool: DescriptorPool,
}

impl Transports {
    pub async fn connect(server: &NatsServer, service: &Service) -> Transports {
        Transports {
            nats: Caller::anonymous(server).await,
            http1: HttpClient::http1(service.http()),
            http2: HttpClient::http2(service.http()),
            pool: DescriptorPool::decode(DESCRIPTORS).expect("descriptors"),
        }
    }

    pub async fn send(&self, transport: Transport, sent: &Sent) -> Outcome {
        match transport {
            Transport::Nats => self.over_nats(sent).await,
            Transport::Rest => self.over_rest(sent).await,
            Transport::Grpc => self.over_grpc(sent).await,
            Transport::GrpcWeb => self.over_grpc_web(sent).await,
            Transport::GrpcWebText => self.over_grpc_web_text(sent).await,
            Transport::ConnectJson | Transport::ConnectProto => {
                self.over_connect(transport, sent).await
            }
        }
    }

    async fn over_nats(&self, sent: &Sent) -> Outcome {
        let operation = operation(sent.call).expect("a call with a subject");
        let mut caller = self.nats.clone();
        for (name, value) in &sent.headers {
            caller = caller.with(name, value);
        }
        let answer = caller.call(operation, with_user(sent)).await;
        Outcome {
            http: answer.status.unwrap_or(200),
            result: match answer.status {
                None => Ok(answer.body),
                Some(_) => Err(Failure::from_json(&answer.body)),
            },
            headers: HeaderMap::new(),
        }
    }

    async fn over_rest(&self, sent: &Sent) -> Outcome {
        let (method, path) = sent.call.http();
        let user = sent.user.as_deref().unwrap_or_default();
        let user = utf8_percent_encode(user, NON_ALPHANUMERIC).to_string();
        let has_body = method != Method::GET;
        let mut request = self
            .http1
            .request(method, &path.replace("{user_id}", &user));
        if has_body {
            request = request
                .header("content-type", "application/json")
                .body(sent.body.to_string());
        }
        let answer = answer(with_headers(request, sent)).await;
        assert_eq!(answer.header("content-type"), Some("application/json"));
        Outcome {
            http: answer.status,
            result: match answer.status {
                200 => Ok(answer.json()),
                _ => Err(Failure::from_json(&answer.json())),
            },
            headers: answer.headers,
        }
    }

    async fn over_grpc(&self, sent: &Sent) -> Outcome {
        let request = self.http2.request(Method::POST, &sent.call.rpc_path());
        let request = request
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(frame(&self.encoded(sent)));
        let answer = answer(with_headers(request, sent)).await;
        let mut outcome = self.of_frames(sent.call, &answer, &answer.body);
        outcome.headers.extend(answer.trailers);
        outcome
    }

    async fn over_grpc_web(&self, sent: &Sent) -> Outcome {
        let content_type = "application/grpc-web+proto";
        let body = frame(&self.encoded(sent));
        let answer = self.web_answer(sent, content_type, body).await;
        self.of_frames(sent.call, &answer, &answer.body)
    }

    async fn over_grpc_web_text(&self, sent: &Sent) -> Outcome {
        let content_type = "application/grpc-web-text+proto";
        let body = STANDARD.encode(frame(&self.encoded(sent)));
        let answer = self.web_answer(sent, content_type, body.into_bytes()).await;
        self.of_frames(sent.call, &answer, &from_web_text(&answer.body))
    }

    async fn web_answer(&self, sent: &Sent, content_type: &str, body: Vec<u8>) -> HttpAnswer {
        let request = self.http1.request(Method::POST, &sent.call.rpc_path());
        let request = request
            .header("content-type", content_type)
            .header("accept", content_type)
            .header("x-grpc-web", "1")
            .body(body);
        let answer = answer(with_headers(request, sent)).await;
        assert_eq!(answer.header("content-type"), Some(content_type));
        answer
    }

    /// The status of gRPC is in trailers, in gRPC-Web in the last frame, and where there is no message
    /// in the headers.
    fn of_frames(&self, call: Call, answer: &HttpAnswer, body: &[u8]) -> Outcome {
        let mut headers = answer.headers.clone();
        headers.extend(answer.trailers.clone());
        let mut message = None;
        for (flag, frame) in frames(body) {
            match flag {
                0 => assert_eq!(message.replace(frame), None, "one message"),
                0x80 => headers.extend(web_trailers(&frame)),
                flag => panic!("a frame of no known kind: {flag}"),
            }
        }
        Outcome {
            http: answer.status,
            result: match Failure::from_grpc(&headers) {
                None => Ok(self.decoded(call, &message.expect("a message"))),
                Some(failure) => Err(failure),
            },
            headers,
        }
    }

    async fn over_connect(&self, transport: Transport, sent: &Sent) -> Outcome {
        let (content_type, body) = if transport == Transport::ConnectJson {
            ("application/json", with_user(sent).to_string().into_bytes())
        } else {
            ("application/proto", self.encoded(sent))
        };
        let request = self.http1.request(Method::POST, &sent.call.rpc_path());
        let request = request
            .header("content-type", content_type)
            .header("connect-protocol-version", "1")
            .body(body);
        let answer = answer(with_headers(request, sent)).await;
        let result = match (answer.status, transport) {
            (200, Transport::ConnectJson) => Ok(answer.json()),
            (200, _) => Ok(self.decoded(sent.call, &answer.body)),
            _ => Err(Failure::from_connect(&answer.json())),
        };
        let content_type = match &result {
            Ok(_) => content_type,
            Err(_) => "application/json",
        };
        assert_eq!(answer.header("content-type"), Some(content_type));
        Outcome {
            http: answer.status,
            result,
            headers: answer.headers,
        }
    }

    /// The request message in protobuf.
    pub fn encoded(&self, sent: &Sent) -> Vec<u8> {
        let (input, _) = self.types(sent.call);
        let message = DynamicMessage::deserialize(input, with_user(sent));
        let message = message.unwrap_or_else(|error| panic!("{:?}: {error}", sent.call));
        prost::Message::encode_to_vec(&message)
    }

    /// Canonical JSON of a response message: what our own JSON is compared with.
    pub fn decoded(&self, call: Call, message: &[u8]) -> Value {
        let (_, output) = self.types(call);
        let message = DynamicMessage::decode(output, message).expect("a response message");
        assert_eq!(message.unknown_fields().count(), 0, "{message:?}");
        serde_json::to_value(&message).expect("JSON")
    }

    fn types(&self, call: Call) -> (MessageDescriptor, MessageDescriptor) {
        let service = self.pool.get_service_by_name(call.service().name());
        let service = service.expect("a service");
        let method = service.methods().find(|it| it.name() == call.method());
        let method = method.expect("a method");
        (method.input(), method.output())
    }
}

/// The body with its target in it, where no path holds it.
fn with_user(sent: &Sent) -> Value {
    let mut body = sent.body.clone();
    if let Some(user) = &sent.user {
        let name = if sent.call == Call::GetUserById {
            "id"
        } else {
            "userId"
        };
        body[name] = json!(user);
    }
    body
}

fn with_headers(mut request: RequestBuilder, sent: &Sent) -> RequestBuilder {
    for (name, value) in &sent.headers {
        request = request.header(name, value);
    }
    request
}
