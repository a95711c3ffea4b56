//! The page: it names everything and loads nothing.

use profile::transport::api::Call;
use profile_messages::error::ErrorCode;
use profile_messages::event::EventKind;
use profile_messages::schema::PAGE;
use profile_messages::subject::Operation;

use crate::asyncapi;

#[test]
fn the_page_names_every_operation_event_call_and_error() {
    let mut names: Vec<String> = Operation::ALL.map(Operation::subject).into();
    names.extend(
        Operation::ALL
            .into_iter()
            .filter_map(asyncapi::user_address),
    );
    names.extend(EventKind::ALL.map(asyncapi::event_address));
    names.extend(ErrorCode::ALL.map(|code| code.name().to_owned()));
    names.extend(Call::ALL.map(|call| call.http().1.to_owned()));
    for name in names {
        assert!(PAGE.contains(&format!("<code>{name}</code>")), "{name}");
    }
}

#[test]
fn the_page_loads_nothing_and_runs_nothing() {
    let words = [
        "<script", "<link", "<img", "<iframe", "<object", "<form", "src=", "url(", "@import",
        "onclick",
    ];
    for word in words {
        assert!(!PAGE.contains(word), "{word}");
    }
    // Links lead to places of the page, or to the two documents beside it.
    let links = PAGE
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let mut count = 0;
    for link in links {
        let place = link.strip_prefix('#');
        let there = place.is_some_and(|id| PAGE.contains(&format!(" id=\"{id}\"")));
        assert!(
            there || ["asyncapi.json", "openapi.json"].contains(&link),
            "{link}"
        );
        count += 1;
    }
    assert!(count > 40, "only {count} links were found");
    assert_eq!(
        PAGE.matches(" style=").count(),
        0,
        "the policy allows the one style sheet alone"
    );
}
