use super::*;

fn of(path: &str, content_type: Option<&str>) -> Protocol {
    let mut request = Request::builder().uri(path);
    if let Some(content_type) = content_type {
        request = request.header(CONTENT_TYPE, content_type);
    }
    protocol(&request.body(()).unwrap())
}

#[test]
fn the_content_type_tells_grpc_but_not_on_a_rest_path() {
    let rpc = "/zitadel.management.v1.ManagementService/UpdateHumanProfile";
    for content_type in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-web",
        "application/grpc-web-text+proto",
    ] {
        assert_eq!(of(rpc, Some(content_type)), Protocol::Grpc);
        assert_eq!(of("/no.Service/Method", Some(content_type)), Protocol::Grpc);
        for path in [
            "/management/v1/users/u/profile",
            "/auth/v1/users/me/profile",
            "/v2/users/u",
        ] {
            assert_eq!(of(path, Some(content_type)), Protocol::Rest, "{path}");
        }
    }
}

#[test]
fn connect_is_for_the_calls_of_the_user_service_v2() {
    for call in Call::ALL {
        let expected = match call.service() {
            ApiService::UserV2 => Protocol::Connect(call),
            ApiService::Management | ApiService::Auth => Protocol::Rest,
        };
        assert_eq!(of(&call.rpc_path(), Some("application/json")), expected);
        assert_eq!(of(&call.rpc_path(), None), expected);
    }
    let unknown = "/zitadel.user.v2.UserService/DeleteUser";
    assert_eq!(of(unknown, Some("application/json")), Protocol::Rest);
}

#[test]
fn grpc_web_is_answered_in_the_form_in_which_it_was_asked() {
    for (asked, form) in [
        ("application/grpc-web-text", "application/grpc-web-text"),
        (
            "application/grpc-web-text+proto",
            "application/grpc-web-text+proto",
        ),
        (
            "Application/gRPC-Web+proto; charset=utf-8",
            "application/grpc-web+proto",
        ),
        ("application/grpc-web", "application/grpc-web"),
    ] {
        let request = Request::builder()
            .header(CONTENT_TYPE, asked)
            .header(ACCEPT, "application/grpc-web-text, */*");
        let request = web_accepted(request.body(()).unwrap());
        assert_eq!(request.headers()[CONTENT_TYPE], form);
        assert_eq!(request.headers()[ACCEPT], form);
    }
    let plain = Request::builder().header(CONTENT_TYPE, "application/grpc");
    let plain = web_accepted(plain.body(()).unwrap());
    assert!(!plain.headers().contains_key(ACCEPT));
}
