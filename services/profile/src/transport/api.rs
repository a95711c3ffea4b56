//! ZITADEL's calls as data: their names, paths and successors, and how each is read and answered.
//!
//! REST, gRPC, gRPC-Web and Connect differ in framing only: every one of them finds its [`Call`] here,
//! reads the message with `json` or `proto`, calls the funnel and writes the answer with `json_reply` or
//! `proto_reply` (zitadel-api §1).

pub(super) mod json;
pub(super) mod json_reply;
pub(super) mod proto;
pub(super) mod proto_reply;
pub(super) mod status;
#[cfg(test)]
mod tests;

use http::Method;

use crate::telemetry::traces::Served;

pub use self::proto::DESCRIPTORS;

/// A call of ZITADEL's API that is about profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    UpdateHumanProfile,
    GetHumanProfile,
    GetUserById,
    ListUserChanges,
    AddHumanUser,
    ImportHumanUser,
    UpdateMyProfile,
    GetMyProfile,
    ListMyUserChanges,
    V2UpdateHumanUser,
    V2UpdateUser,
    V2GetUserById,
    V2AddHumanUser,
    V2CreateUser,
}

/// What a call does to its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Read,
    Change,
    Creation,
}

/// A service of ZITADEL's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiService {
    Management,
    Auth,
    UserV2,
}

impl ApiService {
    pub const ALL: [ApiService; 3] = [ApiService::Management, ApiService::Auth, ApiService::UserV2];

    /// The full protobuf name.
    pub fn name(self) -> &'static str {
        match self {
            ApiService::Management => "zitadel.management.v1.ManagementService",
            ApiService::Auth => "zitadel.auth.v1.AuthService",
            ApiService::UserV2 => "zitadel.user.v2.UserService",
        }
    }
}

impl Call {
    pub const ALL: [Call; 14] = [
        Call::UpdateHumanProfile,
        Call::GetHumanProfile,
        Call::GetUserById,
        Call::ListUserChanges,
        Call::AddHumanUser,
        Call::ImportHumanUser,
        Call::UpdateMyProfile,
        Call::GetMyProfile,
        Call::ListMyUserChanges,
        Call::V2UpdateHumanUser,
        Call::V2UpdateUser,
        Call::V2GetUserById,
        Call::V2AddHumanUser,
        Call::V2CreateUser,
    ];

    pub fn service(self) -> ApiService {
        match self {
            Call::UpdateHumanProfile
            | Call::GetHumanProfile
            | Call::GetUserById
            | Call::ListUserChanges
            | Call::AddHumanUser
            | Call::ImportHumanUser => ApiService::Management,
            Call::UpdateMyProfile | Call::GetMyProfile | Call::ListMyUserChanges => {
                ApiService::Auth
            }
            Call::V2UpdateHumanUser
            | Call::V2UpdateUser
            | Call::V2GetUserById
            | Call::V2AddHumanUser
            | Call::V2CreateUser => ApiService::UserV2,
        }
    }

    /// The protobuf name of the method.
    pub fn method(self) -> &'static str {
        match self {
            Call::UpdateHumanProfile => "UpdateHumanProfile",
            Call::GetHumanProfile => "GetHumanProfile",
            Call::GetUserById | Call::V2GetUserById => "GetUserByID",
            Call::ListUserChanges => "ListUserChanges",
            Call::AddHumanUser | Call::V2AddHumanUser => "AddHumanUser",
            Call::ImportHumanUser => "ImportHumanUser",
            Call::UpdateMyProfile => "UpdateMyProfile",
            Call::GetMyProfile => "GetMyProfile",
            Call::ListMyUserChanges => "ListMyUserChanges",
            Call::V2UpdateHumanUser => "UpdateHumanUser",
            Call::V2UpdateUser => "UpdateUser",
            Call::V2CreateUser => "CreateUser",
        }
    }

    /// Method and path over REST; `{user_id}` is the one parameter.
    pub fn http(self) -> (Method, &'static str) {
        match self {
            Call::UpdateHumanProfile => (Method::PUT, "/management/v1/users/{user_id}/profile"),
            Call::GetHumanProfile => (Method::GET, "/management/v1/users/{user_id}/profile"),
            Call::GetUserById => (Method::GET, "/management/v1/users/{user_id}"),
            Call::ListUserChanges => (
                Method::POST,
                "/management/v1/users/{user_id}/changes/_search",
            ),
            Call::AddHumanUser => (Method::POST, "/management/v1/users/human"),
            Call::ImportHumanUser => (Method::POST, "/management/v1/users/human/_import"),
            Call::UpdateMyProfile => (Method::PUT, "/auth/v1/users/me/profile"),
            Call::GetMyProfile => (Method::GET, "/auth/v1/users/me/profile"),
            Call::ListMyUserChanges => (Method::POST, "/auth/v1/users/me/changes/_search"),
            Call::V2UpdateHumanUser => (Method::PUT, "/v2/users/human/{user_id}"),
            Call::V2UpdateUser => (Method::PATCH, "/v2/users/{user_id}"),
            Call::V2GetUserById => (Method::GET, "/v2/users/{user_id}"),
            Call::V2AddHumanUser => (Method::POST, "/v2/users/human"),
            Call::V2CreateUser => (Method::POST, "/v2/users/new"),
        }
    }

    pub fn effect(self) -> Effect {
        match self {
            Call::GetHumanProfile
            | Call::GetUserById
            | Call::ListUserChanges
            | Call::GetMyProfile
            | Call::ListMyUserChanges
            | Call::V2GetUserById => Effect::Read,
            Call::UpdateHumanProfile
            | Call::UpdateMyProfile
            | Call::V2UpdateHumanUser
            | Call::V2UpdateUser => Effect::Change,
            Call::AddHumanUser
            | Call::ImportHumanUser
            | Call::V2AddHumanUser
            | Call::V2CreateUser => Effect::Creation,
        }
    }

    /// The call that ZITADEL names instead of this deprecated one. The calls about the caller itself have
    /// none: v2 has no "me".
    pub fn successor(self) -> Option<Call> {
        match self {
            Call::UpdateHumanProfile | Call::V2UpdateHumanUser => Some(Call::V2UpdateUser),
            Call::GetHumanProfile | Call::GetUserById => Some(Call::V2GetUserById),
            Call::AddHumanUser | Call::ImportHumanUser | Call::V2AddHumanUser => {
                Some(Call::V2CreateUser)
            }
            Call::ListUserChanges
            | Call::UpdateMyProfile
            | Call::GetMyProfile
            | Call::ListMyUserChanges
            | Call::V2UpdateUser
            | Call::V2GetUserById
            | Call::V2CreateUser => None,
        }
    }

    /// `/<service>/<method>`: the path over gRPC, gRPC-Web and Connect.
    pub fn rpc_path(self) -> String {
        format!("/{}/{}", self.service().name(), self.method())
    }

    /// The call as a trace shows it on the transports that have methods.
    pub(in crate::transport) fn traced_as(self, system: &'static str) -> Served {
        let (service, method) = (self.service().name(), self.method());
        Served {
            name: format!("{service}/{method}").into(),
            attributes: vec![
                ("rpc.system", system.into()),
                ("rpc.service", service.into()),
                ("rpc.method", method.into()),
            ],
        }
    }

    /// The call at a path of gRPC, gRPC-Web or Connect.
    pub fn from_rpc_path(path: &str) -> Option<Call> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        Call::ALL
            .into_iter()
            .find(|call| call.method() == method && call.service().name() == service)
    }
}

/// ZITADEL's key and English text of a kind of change.
fn event_type(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "created" => ("EventTypes.user.human.added", "Person added"),
        "removed" => ("EventTypes.user.removed", "User removed"),
        _ => (
            "EventTypes.user.human.profile.changed",
            "User profile changed",
        ),
    }
}
