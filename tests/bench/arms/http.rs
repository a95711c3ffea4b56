//! The same update over the HTTP port: ZITADEL's REST path and ZITADEL's Rust client over gRPC.

use async_trait::async_trait;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use profile_tests::caller::{Identity, token};
use profile_tests::http_client::{HttpClient, answer};
use profile_tests::service::Service;
use reqwest::Body;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use zitadel::api::zitadel::management::v1::UpdateHumanProfileRequest;
use zitadel::api::zitadel::management::v1::management_service_client::ManagementServiceClient;

use super::nats::{ORG, update_of, user_id};
use crate::load::Call;

/// `PUT /management/v1/users/{userId}/profile` over HTTP/1.1, with as many connections as calls at once.
pub(crate) struct Rest {
    client: HttpClient,
    bearer: String,
}

impl Rest {
    pub(crate) fn of(service: &Service) -> Rest {
        let token = token(service, &Identity::owner(ORG));
        Rest {
            client: HttpClient::http1(service.http()),
            bearer: format!("Bearer {token}"),
        }
    }
}

#[async_trait]
impl Call for Rest {
    async fn call(&self, _caller: usize, user: usize, salt: u64) -> Result<(), String> {
        let id = user_id(user);
        let path = format!("/management/v1/users/{id}/profile");
        let request = self
            .client
            .request(Method::PUT, &path)
            .header(AUTHORIZATION, &self.bearer)
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(update_of(&id, salt)));
        match answer(request).await {
            answer if answer.status == 200 => Ok(()),
            answer => Err(String::from_utf8_lossy(&answer.body).into_owned()),
        }
    }
}

/// `UpdateHumanProfile` over one HTTP/2 connection.
pub(crate) struct Grpc {
    client: ManagementServiceClient<Channel>,
    bearer: MetadataValue<Ascii>,
}

impl Grpc {
    pub(crate) async fn connect(service: &Service) -> Grpc {
        let token = token(service, &Identity::owner(ORG));
        let address = format!("http://{}", service.http());
        Grpc {
            client: ManagementServiceClient::connect(address)
                .await
                .expect("the port is open"),
            bearer: format!("Bearer {token}").parse().expect("a header"),
        }
    }
}

#[async_trait]
impl Call for Grpc {
    async fn call(&self, _caller: usize, user: usize, salt: u64) -> Result<(), String> {
        let body = update_of(&user_id(user), salt);
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let mut request = tonic::Request::new(UpdateHumanProfileRequest {
            user_id: text("userId"),
            first_name: text("firstName"),
            last_name: text("lastName"),
            nick_name: text("nickName"),
            display_name: text("displayName"),
            preferred_language: text("preferredLanguage"),
            gender: 1,
        });
        request
            .metadata_mut()
            .insert("authorization", self.bearer.clone());
        let answer = self.client.clone().update_human_profile(request).await;
        answer
            .map(drop)
            .map_err(|status| status.message().to_owned())
    }
}
