"""Keeps a copy of the profiles of one organization: by the event stream, and by `replay` and `list` where the
stream does not reach back.

    python consumer.py <stateFile>

Environment: NATS_URL, NATS_CONSUMER_PASSWORD (events), PROFILECTL_NATS_PASSWORD and PROFILE_TOKEN (requests; the
token needs user.read and events.read), ORG and DURABLE, if not `zoo` and `profile-copy`.
"""

import asyncio
import json
import os
import signal
import sys

import nats

from profile_client import ProfileClient, ProfileError

BATCH_EVENTS_MAX = 100
FETCH_TIMEOUT_S = 5
PAGE_ROWS = 1000


class State:
    """The copy, and how far it is: one file, replaced as a whole. Yours is a transaction of your database."""

    def __init__(self, path):
        self.path = path
        # users: id -> epoch and version of the last event applied, and the profile, null once removed.
        self.kept = {"position": 0, "listedAt": 0, "epoch": 0, "users": {}}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.kept = json.load(file)

    def save(self):
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(self.kept, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.path + ".new", self.path)

    def apply(self, event, position):
        """Once for each event, however often it comes: what is not newer than the copy is passed over."""
        self.kept["position"] = max(self.kept["position"], position)
        user, epoch, version = identity(event)
        known = self.kept["users"].get(user, {"epoch": 0, "version": 0, "profile": {}})
        if position <= self.kept["listedAt"] or (epoch, version) <= (known["epoch"], known["version"]):
            return
        removed = event["type"] == "profile-service.profile.removed.v1"
        profile = None if removed else {**(known["profile"] or {}), **event["data"].get("values", {})}
        self.kept["users"][user] = {"epoch": epoch, "version": version, "profile": profile}
        self.kept["epoch"] = max(self.kept["epoch"], epoch)
        print(f"applied {event['id']} {event['type']}", flush=True)

    def misses_one_before(self, event, position):
        """Versions of a user have no gap. Where one shows, the stream has dropped an event: too old, or too many.
        (Those of a removed user are withheld, so `removed` may follow anything.)"""
        user, epoch, version = identity(event)
        if event["type"] == "profile-service.profile.removed.v1" or position <= self.kept["listedAt"]:
            return False
        known = self.kept["users"].get(user, {"epoch": epoch, "version": 0})
        return known["epoch"] == epoch and version > known["version"] + 1


def identity(event):
    """`<userId>/<epoch>.<version>`; a restore of the service raises the epoch."""
    user, at = event["id"].rsplit("/", 1)
    epoch, version = at.split(".")
    return user, int(epoch), int(version)


async def catch_up(client, state, org):
    """Everything after the position of the copy, out of the service's log."""
    while True:
        try:
            page = await client.call("replay", {"after": str(state.kept["position"]), "limit": str(PAGE_ROWS)})
        except ProfileError as refused:
            if refused.reason != "OUT_OF_RANGE":
                raise
            await read_all_anew(client, state)
            continue
        for each in page["events"]:
            if each["event"]["data"]["orgId"] == org:
                state.apply(each["event"], int(each["position"]))
        state.kept["position"] = int(page["position"])
        state.save()
        if page.get("end"):
            return


async def read_all_anew(client, state):
    """The log no longer reaches back either. What `list` says takes the place of the copy; changes that come in
    between are behind the position of its first page."""
    position, found, cursor = None, {}, None
    while position is None or cursor:
        page = await client.call("list", {"limit": str(PAGE_ROWS), **({"cursor": cursor} if cursor else {})})
        position = int(page["position"]) if position is None else position
        cursor = page.get("nextCursor")
        for user in page["users"]:
            found[user["userId"]] = {
                "epoch": state.kept["epoch"],
                "version": int(user["details"]["sequence"]),
                "profile": user["profile"],
            }
    listed = len(found)
    for user, known in state.kept["users"].items():
        found.setdefault(user, {**known, "profile": None})  # not listed: removed
    state.kept.update(users=found, position=position, listedAt=position)
    state.save()
    print(f"read {listed} users anew, at position {position}", flush=True)


async def follow(events, client, state, org, stopped):
    while not stopped.is_set():
        try:
            messages = await events.fetch(BATCH_EVENTS_MAX, timeout=FETCH_TIMEOUT_S)
        except asyncio.TimeoutError:  # nats-py raises this one too, not only its own below it
            continue
        for message in messages:
            if not message.data:
                continue  # a placeholder: the event of a removed user was here
            event, position = json.loads(message.data), int(message.headers["Profile-Position"])
            if state.misses_one_before(event, position):
                print(f"a gap before {event['id']}", flush=True)
                await catch_up(client, state, org)
            state.apply(event, position)
        # First kept, then acknowledged: killed in between, the events come again and change nothing.
        state.save()
        for message in messages:
            await message.ack()


async def main(state_file):
    org = os.environ.get("ORG", "zoo")
    url, token = os.environ["NATS_URL"], os.environ["PROFILE_TOKEN"]
    state = State(state_file)
    client = await ProfileClient.connect(url, os.environ["PROFILECTL_NATS_PASSWORD"], token)
    # The user `consumer` of config/nats-server.conf; reconnects by itself, for ever.
    connection = await nats.connect(
        url,
        user="consumer",
        password=os.environ["NATS_CONSUMER_PASSWORD"],
        inbox_prefix=b"_INBOX.consumer",
        max_reconnect_attempts=-1,
    )
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    try:
        # The durable consumer first: what happens from here on is in the stream, what was before in the log.
        events = await connection.jetstream().pull_subscribe(
            f"profile-event.v1.{org}.*.*",
            durable=os.environ.get("DURABLE", "profile-copy"),
            stream="PROFILE_EVENTS",
        )
        await catch_up(client, state, org)
        print(f"caught up, at position {state.kept['position']}", flush=True)
        await follow(events, client, state, org, stopped)
    finally:
        await connection.close()
        await client.close()


if len(sys.argv) != 2:
    sys.exit(__doc__)
asyncio.run(main(sys.argv[1]))
