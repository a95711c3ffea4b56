//! Which call a method and a path mean. Patterns of one method do not shadow those of another, as in
//! grpc-gateway: `GET /v2/users/human` is a user with the id "human".

use std::sync::LazyLock;

use http::Method;
use matchit::Router;
use percent_encoding::percent_decode_str;

use crate::transport::api::Call;

/// What a method and a path mean.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::transport) enum Found {
    Call {
        call: Call,
        /// Percent-decoded.
        user_id: Option<String>,
    },
    /// The path has only these methods, as `Allow` names them.
    OtherMethods(String),
    Nothing,
}

/// Below these everything is REST, whatever its content type says.
const PREFIXES: [&str; 4] = ["/management/", "/auth/", "/v2/", "/debug/"];

/// One router for each method that has calls.
static ROUTES: LazyLock<[(Method, Router<Call>); 4]> = LazyLock::new(|| {
    [Method::PUT, Method::GET, Method::POST, Method::PATCH].map(|method| {
        let router = router(&method);
        (method, router)
    })
});

fn router(method: &Method) -> Router<Call> {
    let mut router = Router::new();
    for call in Call::ALL {
        let (own, path) = call.http();
        if own != *method {
            continue;
        }
        // The paths are ours and do not conflict: `every_call_is_found_at_its_path`.
        if let Err(error) = router.insert(path, call) {
            tracing::error!(%error, path, "a path cannot be served: this is a bug");
        }
    }
    router
}

pub(in crate::transport) fn is_rest_path(path: &str) -> bool {
    PREFIXES.iter().any(|prefix| path.starts_with(prefix))
}

/// The call at `path`, which is still percent-encoded.
pub(in crate::transport) fn find(method: &Method, path: &str) -> Found {
    let at = |router: &Router<Call>| {
        let matched = router.at(path).ok()?;
        let user_id = matched.params.get("user_id");
        // `//` in a path is no segment.
        if user_id.is_some_and(str::is_empty) {
            return None;
        }
        // What is no UTF-8 is no id either: it is answered as an unknown one.
        let user_id = user_id.map(|id| percent_decode_str(id).decode_utf8_lossy().into_owned());
        let call = *matched.value;
        Some(Found::Call { call, user_id })
    };
    // Every read can be asked for its headers alone (RFC 9110 §9.1).
    let method = match *method {
        Method::HEAD => &Method::GET,
        _ => method,
    };
    let own = ROUTES.iter().find(|(other, _)| other == method);
    if let Some(found) = own.and_then(|(_, router)| at(router)) {
        return found;
    }
    let others = ROUTES.iter().filter(|(_, router)| at(router).is_some());
    let allowed: Vec<&str> = others
        .map(|(method, _)| match *method {
            Method::GET => "GET, HEAD",
            _ => method.as_str(),
        })
        .collect();
    match allowed.is_empty() {
        true => Found::Nothing,
        false => Found::OtherMethods(allowed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &Method, path: &str) -> Option<(Call, Option<String>)> {
        match find(method, path) {
            Found::Call { call, user_id } => Some((call, user_id)),
            Found::OtherMethods(_) | Found::Nothing => None,
        }
    }

    #[test]
    fn every_call_is_found_at_its_path() {
        for expected in Call::ALL {
            let (method, path) = expected.http();
            let found = call(&method, &path.replace("{user_id}", "u-1"));
            let user = path.contains("{user_id}").then(|| "u-1".to_owned());
            assert_eq!(found, Some((expected, user)), "{path}");
        }
    }

    #[test]
    fn a_segment_is_percent_decoded_once_and_is_one_segment() {
        let user = |path: &str| call(&Method::GET, path).and_then(|(_, user)| user);
        assert_eq!(user("/v2/users/a%2Fb%2525").as_deref(), Some("a/b%25"));
        assert_eq!(user("/v2/users/%ff").as_deref(), Some("\u{fffd}"));
        assert_eq!(find(&Method::GET, "/v2/users/a/b"), Found::Nothing);
        assert_eq!(find(&Method::GET, "/v2/users/"), Found::Nothing);
        assert_eq!(
            find(&Method::GET, "/management/v1/users//profile"),
            Found::Nothing
        );
    }

    #[test]
    fn a_literal_path_of_another_method_is_a_user_id() {
        for (method, expected) in [
            (Method::GET, Call::V2GetUserById),
            (Method::PATCH, Call::V2UpdateUser),
        ] {
            let found = call(&method, "/v2/users/human");
            assert_eq!(found, Some((expected, Some("human".to_owned()))));
        }
    }

    #[test]
    fn a_known_path_names_its_methods() {
        let found = find(&Method::DELETE, "/management/v1/users/u/profile");
        assert_eq!(found, Found::OtherMethods("PUT, GET, HEAD".to_owned()));
        assert_eq!(find(&Method::GET, "/elsewhere"), Found::Nothing);
    }
}
