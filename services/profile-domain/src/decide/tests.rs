use profile_messages::{Contact, Gender, OrgId, Timestamp, UserId};
use proptest::prelude::*;

use super::*;

fn org(id: &str) -> OrgId {
    OrgId::parse(id).unwrap()
}

fn gigi() -> ProfileFields {
    ProfileFields {
        first_name: "Gigi".into(),
        last_name: "Giraffe".into(),
        nick_name: String::new(),
        display_name: "Gigi Giraffe".into(),
        preferred_language: "en".into(),
        gender: Gender::Female,
    }
}

fn contact() -> Contact {
    Contact {
        user_name: "gigi".into(),
        email: "gigi@zoo.example".into(),
        email_verified: true,
        phone: String::new(),
        phone_verified: false,
    }
}

fn create(fields: ProfileFields) -> Command {
    let user = UserId::parse("u1").unwrap();
    Command::Create {
        user,
        org: org("zoo"),
        fields,
        contact: contact(),
    }
}

fn update(org_id: &str, fields: ProfileFields) -> Command {
    Command::Update {
        org: org(org_id),
        fields,
    }
}

fn patch(patch: ProfilePatch) -> Command {
    Command::Patch { patch }
}

fn remove(org_id: &str) -> Command {
    Command::Remove { org: org(org_id) }
}

/// The profile after these commands, all of which must be accepted.
#[track_caller]
fn given(commands: &[Command]) -> Profile {
    let mut profile = Profile::default();
    for command in commands {
        if let Some(event) = decide(&profile, command).expect("the history must be accepted") {
            profile.apply(&event, Timestamp(1));
        }
    }
    profile
}

#[track_caller]
fn then_rejected(profile: &Profile, command: &Command, rejection: Rejection) {
    assert_eq!(decide(profile, command), Err(rejection));
}

#[track_caller]
fn then_changes(profile: &Profile, command: &Command, names: &[&str]) {
    match decide(profile, command) {
        Ok(Some(Event::Changed { changes })) => assert_eq!(changes.names(), names),
        other => panic!("expected a change of {names:?}, got {other:?}"),
    }
}

#[test]
fn creating_an_unknown_user_creates_it() {
    let event = decide(&Profile::Absent, &create(gigi())).unwrap().unwrap();
    let expected = Event::Created {
        org: org("zoo"),
        fields: gigi(),
        contact: contact(),
    };
    assert_eq!(event, expected);
}

#[test]
fn creating_an_existing_or_removed_user_is_rejected() {
    then_rejected(
        &given(&[create(gigi())]),
        &create(gigi()),
        Rejection::AlreadyExists,
    );
    let removed = given(&[create(gigi()), remove("zoo")]);
    then_rejected(&removed, &create(gigi()), Rejection::AlreadyExists);
}

#[test]
fn creating_with_a_blank_name_is_rejected_before_anything_else() {
    let no_first = ProfileFields {
        first_name: String::new(),
        ..gigi()
    };
    let no_last = ProfileFields {
        last_name: String::new(),
        ..gigi()
    };
    then_rejected(
        &given(&[create(gigi())]),
        &create(no_first),
        Rejection::FirstNameEmpty,
    );
    then_rejected(&Profile::Absent, &create(no_last), Rejection::LastNameEmpty);
}

#[test]
fn an_update_replaces_all_six_fields_and_names_only_the_changed() {
    let profile = given(&[create(gigi())]);
    let after = ProfileFields {
        last_name: "Gnu".into(),
        preferred_language: "und".into(),
        gender: Gender::Unspecified,
        ..gigi()
    };
    then_changes(
        &profile,
        &update("zoo", after),
        &["lastName", "preferredLanguage", "gender"],
    );
}

#[test]
fn an_update_that_changes_nothing_is_rejected() {
    then_rejected(
        &given(&[create(gigi())]),
        &update("zoo", gigi()),
        Rejection::NotChanged,
    );
}

#[test]
fn a_user_of_another_organization_is_as_unknown_as_a_missing_one() {
    let profile = given(&[create(gigi())]);
    let removed = given(&[create(gigi()), remove("zoo")]);
    for profile in [&profile, &Profile::Absent] {
        then_rejected(profile, &update("farm", gigi()), Rejection::ProfileNotFound);
        then_rejected(profile, &remove("farm"), Rejection::RemoveNotFound);
    }
    then_rejected(&removed, &update("zoo", gigi()), Rejection::ProfileNotFound);
    then_rejected(&removed, &remove("zoo"), Rejection::RemoveNotFound);
    then_rejected(
        &removed,
        &patch(ProfilePatch::default()),
        Rejection::UserNotFound,
    );
}

#[test]
fn a_patch_changes_what_it_names_and_succeeds_when_nothing_differs() {
    let profile = given(&[create(gigi())]);
    let nick = ProfilePatch {
        nick_name: Some("Gi".into()),
        ..ProfilePatch::default()
    };
    then_changes(&profile, &patch(nick), &["nickName"]);
    let same = ProfilePatch {
        first_name: Some("Gigi".into()),
        ..ProfilePatch::default()
    };
    assert_eq!(decide(&profile, &patch(same)), Ok(None));
}

#[test]
fn changing_a_name_leaves_the_display_name() {
    let renamed = ProfileFields {
        first_name: "Gina".into(),
        ..gigi()
    };
    let profile = given(&[create(gigi()), update("zoo", renamed)]);
    assert_eq!(profile.state().unwrap().fields.display_name, "Gigi Giraffe");
}

fn any_fields() -> impl Strategy<Value = ProfileFields> {
    let text = || prop_oneof![Just(String::new()), Just("a".to_owned()), any::<String>()];
    (text(), text(), text(), text(), text(), 0..4i32).prop_map(|(a, b, c, d, e, gender)| {
        ProfileFields {
            first_name: a,
            last_name: b,
            nick_name: c,
            display_name: d,
            preferred_language: e,
            gender: Gender::from_number(gender),
        }
    })
}

fn any_command() -> impl Strategy<Value = Command> {
    let any_org = prop_oneof![4 => Just("zoo"), 1 => Just("farm")];
    let some = |fields: ProfileFields, mask: u8| ProfilePatch {
        first_name: (mask & 1 > 0).then_some(fields.first_name),
        last_name: (mask & 2 > 0).then_some(fields.last_name),
        nick_name: (mask & 4 > 0).then_some(fields.nick_name),
        display_name: (mask & 8 > 0).then_some(fields.display_name),
        preferred_language: (mask & 16 > 0).then_some(fields.preferred_language),
        gender: (mask & 32 > 0).then_some(fields.gender),
    };
    prop_oneof![
        3 => any_fields().prop_map(create),
        5 => (any_org.clone(), any_fields()).prop_map(|(org, fields)| update(org, fields)),
        5 => (any_fields(), any::<u8>()).prop_map(move |(fields, mask)| patch(some(fields, mask))),
        1 => any_org.prop_map(remove),
    ]
}

proptest! {
    #[test]
    fn any_accepted_history_replays_to_the_same_profile(
        commands in prop::collection::vec(any_command(), 0..30)
    ) {
        let (mut profile, mut events) = (Profile::default(), Vec::new());
        for (at, command) in commands.iter().enumerate() {
            let before = profile.clone();
            if let Ok(Some(event)) = decide(&profile, command) {
                let at = Timestamp(at as i64);
                profile.apply(&event, at);
                prop_assert_ne!(&profile, &before, "an event changes something");
                events.push((event, at));
            }
        }
        let mut replayed = Profile::default();
        for (event, at) in &events {
            replayed.apply(event, *at);
        }
        prop_assert_eq!(replayed, profile);
    }

    #[test]
    fn a_patch_of_nothing_changes_nothing(fields in any_fields()) {
        let fields = ProfileFields { first_name: "a".into(), last_name: "b".into(), ..fields };
        let profile = given(&[create(fields)]);
        prop_assert_eq!(decide(&profile, &patch(ProfilePatch::default())), Ok(None));
    }

    #[test]
    fn an_accepted_update_leaves_exactly_its_six_fields(fields in any_fields()) {
        let mut profile = given(&[create(gigi())]);
        match decide(&profile, &update("zoo", fields.clone())) {
            Ok(Some(event)) => profile.apply(&event, Timestamp(2)),
            Ok(None) => prop_assert!(false, "an update is never silently nothing"),
            Err(rejection) => prop_assert_eq!(rejection, Rejection::NotChanged),
        }
        prop_assert_eq!(&profile.state().unwrap().fields, &fields);
    }

    #[test]
    fn a_removed_user_accepts_nothing(command in any_command()) {
        let removed = given(&[create(gigi()), remove("zoo")]);
        prop_assert!(decide(&removed, &command).is_err());
    }
}
