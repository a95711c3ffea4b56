"""Creates a user and changes its profile, as a service would that owns a form for it.

    python requester.py <userId> <displayName>
"""

import asyncio
import os
import sys
import uuid

from profile_client import ProfileClient, ProfileError

DECISIONS_MAX = 5


async def create(client, user_id):
    body = {
        "userId": user_id,
        "userName": user_id,
        "profile": {"firstName": "Mia", "lastName": "Mouse"},
        "email": {"email": user_id + "@zoo.example"},
    }
    # A key made of what is asked for: this program, started again, asks for the same and gets the first answer.
    created = await client.call("create", body, key="create-" + user_id)
    print(f"created {user_id}, version {created['details']['sequence']}")


async def rename(client, user_id, display_name):
    """Changes what was read and nothing else: if somebody was faster, reads and decides again."""
    for _ in range(DECISIONS_MAX):
        read = await client.call("get", {"userId": user_id})
        version = read["details"]["sequence"]
        try:
            changed = await client.call(
                "patch",
                {"userId": user_id, "displayName": display_name},
                key=str(uuid.uuid4()),  # one for each decision; its repetitions share it
                expected_version=version,
            )
        except ProfileError as refused:
            if refused.reason == "ABORTED":
                continue
            raise
        print(f"renamed {user_id}, version {version} to {changed['details']['sequence']}")
        return
    sys.exit(f"{user_id} changes faster than this program decides")


async def main(user_id, display_name):
    client = await ProfileClient.connect(
        os.environ["NATS_URL"], os.environ["PROFILECTL_NATS_PASSWORD"], os.environ["PROFILE_TOKEN"]
    )
    try:
        await create(client, user_id)
        await rename(client, user_id, display_name)
    finally:
        await client.close()


if len(sys.argv) != 3:
    sys.exit(__doc__)
asyncio.run(main(sys.argv[1], sys.argv[2]))
