//! The state that commands are decided on, and how events change it.

use profile_messages::event::Event;
use profile_messages::{OrgId, ProfileFields, Timestamp, UserState};

/// One user, as far as the rules care. A user never changes organization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // nearly every profile is active
pub enum Profile {
    #[default]
    Absent,
    Active {
        org: OrgId,
        state: UserState,
    },
    /// For ever: the id is not reused.
    Removed {
        org: OrgId,
    },
}

impl Profile {
    /// The stored form of a user, `None` for one that never was.
    pub fn from_stored(stored: Option<(OrgId, Option<UserState>)>) -> Profile {
        match stored {
            None => Profile::Absent,
            Some((org, Some(state))) => Profile::Active { org, state },
            Some((org, None)) => Profile::Removed { org },
        }
    }

    /// The state of an existing user.
    pub fn state(&self) -> Option<&UserState> {
        match self {
            Profile::Active { state, .. } => Some(state),
            Profile::Absent | Profile::Removed { .. } => None,
        }
    }

    pub fn org(&self) -> Option<&OrgId> {
        match self {
            Profile::Active { org, .. } | Profile::Removed { org } => Some(org),
            Profile::Absent => None,
        }
    }

    /// Folds one fact. It cannot refuse: only `decide` may. An event that does not fit the state (which
    /// `decide` never produces) changes nothing.
    pub fn apply(&mut self, event: &Event, at: Timestamp) {
        match (event, &mut *self) {
            (
                Event::Created {
                    org,
                    fields,
                    contact,
                },
                Profile::Absent,
            ) => {
                let (fields, contact) = (fields.clone(), contact.clone());
                let state = UserState {
                    fields,
                    contact,
                    created_at: at,
                };
                *self = Profile::Active {
                    org: org.clone(),
                    state,
                };
            }
            (Event::Changed { changes }, Profile::Active { state, .. }) => {
                overlay(&mut state.fields, changes);
            }
            (Event::Removed, Profile::Active { org, .. }) => {
                *self = Profile::Removed { org: org.clone() };
            }
            (Event::Created { .. }, Profile::Active { .. } | Profile::Removed { .. })
            | (Event::Changed { .. } | Event::Removed, Profile::Absent | Profile::Removed { .. }) =>
                {}
        }
    }
}

fn overlay(fields: &mut ProfileFields, changes: &profile_messages::FieldChanges) {
    fn set<T: Clone>(field: &mut T, change: Option<&T>) {
        if let Some(value) = change {
            *field = value.clone();
        }
    }
    set(&mut fields.first_name, changes.first_name.as_ref());
    set(&mut fields.last_name, changes.last_name.as_ref());
    set(&mut fields.nick_name, changes.nick_name.as_ref());
    set(&mut fields.display_name, changes.display_name.as_ref());
    set(
        &mut fields.preferred_language,
        changes.preferred_language.as_ref(),
    );
    set(&mut fields.gender, changes.gender.as_ref());
}
