"""ZITADEL's own client for Python (PyPI `zitadel-client`), as it is. Only the base URL is ours.

    python zitadel_sdk.py <userId> <displayName>

It speaks Connect to the user service v2. Environment: PROFILE_URL and PROFILE_TOKEN.
"""

import os
import sys

import zitadel_client
from zitadel_client.exceptions import ApiError
from zitadel_client.models import (
    UserServiceGetUserByIDRequest,
    UserServiceSetHumanProfile,
    UserServiceUpdateHumanUserRequest,
)

if len(sys.argv) != 3:
    sys.exit(__doc__)
user_id, display_name = sys.argv[1:]

with zitadel_client.Zitadel.with_access_token(os.environ["PROFILE_URL"], os.environ["PROFILE_TOKEN"]) as zitadel:
    read = zitadel.users.get_user_by_id(UserServiceGetUserByIDRequest(user_id=user_id))
    profile = read.user.human.profile
    print(f"read {user_id}, version {read.user.details.sequence}")

    changed = zitadel.users.update_human_user(
        UserServiceUpdateHumanUserRequest(
            user_id=user_id,
            # v2 needs both names wherever it gets a profile; what is left out stays.
            profile=UserServiceSetHumanProfile(
                given_name=profile.given_name, family_name=profile.family_name, display_name=display_name
            ),
        )
    )
    print(f"changed {user_id}, version {changed.details.sequence}")

    try:
        zitadel.users.get_user_by_id(UserServiceGetUserByIDRequest(user_id=user_id + "-nobody"))
    except ApiError as refused:
        print(f"refused with {refused.code}: {refused.response_body}")
