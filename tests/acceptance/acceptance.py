#!/usr/bin/env python3
"""What README.md promises, checked from outside by a client that shares no code with the service.

Needs `pip install nats-py`, a service that is up (`make run`), and of the environment what
`source run/env.sh` sets, with PROFILE_DATA_DIR, the folder of the development key.
Prints one line for each check; ends with 0 if all hold, else with 1.
"""

import asyncio
import json
import os
import secrets
import subprocess
import sys

try:
    import nats
    from nats.js.api import ConsumerConfig
except ImportError:
    sys.exit("acceptance: no nats-py. Advice: pip install nats-py")

ORG, OTHER_ORG = "zoo", "pound"
REQUEST_SECONDS_MAX = 10
EVENTS_SECONDS_MAX = 20
# The durable consumer of a run is dropped by the server after this long without a fetch.
CONSUMER_IDLE_SECONDS_MAX = 60


def token(sub, org, *roles):
    """A token of the development key, by `profilectl token --dev`."""
    command = ["profilectl", "token", "--dev", "--data-dir", os.environ["PROFILE_DATA_DIR"]]
    command += ["--sub", sub, "--org", org]
    for role in roles:
        command += ["--role", role]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Reply:
    """An answer: `status` is None when it is no error."""

    def __init__(self, message):
        self.status = (message.headers or {}).get("Nats-Service-Error-Code")
        self.body = json.loads(message.data)

    def version(self):
        return self.body["details"]["sequence"]

    def text(self):
        return self.body.get("message", "")

    def error_info(self):
        return self._detail("google.rpc.ErrorInfo")

    def violations(self):
        return {each["field"] for each in self._detail("google.rpc.BadRequest")["fieldViolations"]}

    def _detail(self, name):
        return next(each for each in self.body["details"] if each["@type"].endswith("/" + name))


class Checks:
    def __init__(self):
        self.failed = 0

    def check(self, sentence, holds, seen=""):
        print(f"{'ok    ' if holds else 'FAILED'}  {sentence}" + ("" if holds else f"  seen: {seen}"))
        self.failed += 0 if holds else 1

    def check_refused(self, sentence, reply, status, text=""):
        holds = reply.status == status and text in reply.text()
        self.check(sentence, holds, (reply.status, reply.body))


async def connect(user, password):
    return await nats.connect(
        os.environ["NATS_URL"],
        user=user,
        password=password,
        inbox_prefix=f"_INBOX.{user}".encode(),
        allow_reconnect=False,
    )


def caller(connection, owner_token):
    """`call(operation, body)` asks as the organization's owner unless told otherwise."""

    async def call(operation, body, bearer=owner_token, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if bearer is not None:
            headers["Authorization"] = "Bearer " + bearer
        message = await connection.request(
            "profile.v1." + operation,
            json.dumps(body).encode(),
            timeout=REQUEST_SECONDS_MAX,
            headers=headers or None,
        )
        return Reply(message)

    return call


async def check_changes(checks, call, user):
    """Versions 1 to 4 of the user."""
    names = {"firstName": "Mia", "lastName": "Mouse"}
    made = await call(
        "create",
        {"userId": user, "userName": user, "profile": names, "email": {"email": "mia@zoo.example"}},
    )
    checks.check(
        "create makes version 1 in the organization of the caller",
        made.status is None
        and made.body["userId"] == user
        and made.version() == "1"
        and made.body["details"]["resourceOwner"] == ORG,
        made.body,
    )

    updated = await call("update", {"userId": user, **names, "nickName": "Mimi"})
    checks.check("update makes version 2", updated.status is None and updated.version() == "2", updated.body)
    shown = (await call("get", {"userId": user, "minVersion": "2"})).body
    checks.check(
        "get shows the update, and the display name made of the two names",
        shown.get("profile", {}).get("nickName") == "Mimi"
        and shown["profile"]["displayName"] == "Mia Mouse"
        and shown["details"]["sequence"] == "2",
        shown,
    )
    replaced = await call(f"user.{user}.update", {**names, "displayName": "Mia M"})
    shown = (await call(f"user.{user}.get", {})).body
    checks.check(
        "update by the subject of the user replaces all fields: the omitted nick name is empty",
        replaced.status is None and not shown["profile"].get("nickName"),
        (replaced.body, shown),
    )

    own = token(user, ORG)
    mine = await call("me.update", {**names, "displayName": "I am Mia"}, bearer=own)
    shown = (await call("me.get", {}, bearer=own)).body
    checks.check(
        "me.update changes the caller's own profile, and me.get shows it",
        mine.status is None and mine.version() == "4" and shown["profile"]["displayName"] == "I am Mia",
        (mine.body, shown),
    )
    incomplete = await call("me.update", names, bearer=own)
    checks.check(
        "me.update needs a display name",
        incomplete.status == "400" and incomplete.violations() == {"displayName"},
        incomplete.body,
    )


async def check_queries(checks, call, user):
    first = (await call("history", {"userId": user, "limit": 3})).body
    rest = (await call("history", {"userId": user, "cursor": first["nextCursor"]})).body
    changes = first["changes"] + rest["changes"]
    checks.check(
        "history has every version, newest first, over two pages",
        [change["sequence"] for change in changes] == ["4", "3", "2", "1"] and "nextCursor" not in rest,
        (first, rest),
    )
    newest = {field["field"]: (field["old"], field["new"]) for field in changes[0]["fields"]}
    checks.check(
        "history names the editor, and the old and the new value",
        changes[0]["editorId"] == user and newest == {"displayName": ("Mia M", "I am Mia")},
        changes[0],
    )

    found, cursor = [], None
    while True:
        page = {"prefix": "i am m", "limit": 100} | ({"cursor": cursor} if cursor else {})
        answer = (await call("list", page)).body
        found += [each["userId"] for each in answer["users"]]
        cursor = answer.get("nextCursor")
        if cursor is None:
            break
    checks.check("list finds the user by the beginning of the display name, once", found.count(user) == 1, found)


async def check_refusals(checks, call, user):
    wrong = {"userId": user, "firstName": "", "lastName": "M" * 201, "preferredLanguage": "much-too-long"}
    invalid = await call("update", wrong)
    checks.check(
        "an invalid update is refused with every violation",
        invalid.status == "400"
        and invalid.violations() == {"firstName", "lastName", "preferredLanguage"}
        and invalid.error_info()["metadata"]["retry"] == "no",
        invalid.body,
    )
    same = {"userId": user, "firstName": "Mia", "lastName": "Mouse", "displayName": "I am Mia"}
    checks.check_refused("an update that changes nothing is refused", await call("update", same), "400", "COMMAND-2M0fs")

    named = same | {"userId": "nobody-" + user}
    checks.check_refused("an update of an unknown user is refused", await call("update", named), "400", "COMMAND-3M9sd")
    unknown = await call("get", {"userId": "nobody-" + user})
    checks.check_refused("get of an unknown user is 404", unknown, "404")
    missing = await call("get", {"userId": user}, bearer=None)
    checks.check_refused("a missing token is 401", missing, "401")
    forged = await call("get", {"userId": user}, bearer=token("op", ORG, "ORG_OWNER")[:-8] + "AAAAAAAA")
    checks.check_refused("a token with another signature is 401", forged, "401")

    stranger = token("op", OTHER_ORG, "ORG_OWNER")
    body = same | {"displayName": "Not mine"}
    foreign = await call("update", body, bearer=stranger)
    checks.check_refused("the owner of another organization cannot change the user", foreign, "400", "COMMAND-3M9sd")
    seen = await call("get", {"userId": user}, bearer=stranger)
    checks.check_refused("nor see the user", seen, "404")
    headed = await call("update", body, bearer=stranger, Profile_Org=ORG)
    checks.check("nor by naming this organization in the header", headed.status in ("403", "404"), headed.body)
    kept = (await call("get", {"userId": user})).body
    checks.check("and none of the refusals changed anything", kept["details"]["sequence"] == "4", kept)


async def check_retries(checks, call, user):
    """Versions 5 and 6 of the user."""
    key = secrets.token_hex(8)
    body = {"userId": user, "nickName": "Five"}
    first = await call("patch", body, Idempotency_Key=key)
    again = await call("patch", body, Idempotency_Key=key)
    checks.check(
        "a repeated idempotency key gets the same answer",
        first.status is None and first.version() == "5" and (again.status, again.body) == (None, first.body),
        (first.body, again.body),
    )
    other = await call("patch", {"userId": user, "nickName": "Six"}, Idempotency_Key=key)
    checks.check_refused("the same key with another body is refused", other, "400", "idempotency key")

    stale = await call("patch", {"userId": user, "nickName": "Late"}, Profile_Expected_Version="4")
    checks.check(
        "a stale expected version is 409 and names the current one",
        stale.status == "409" and stale.error_info()["metadata"]["currentVersion"] == "5",
        stale.body,
    )
    current = await call("patch", {"userId": user, "nickName": "Six"}, Profile_Expected_Version="5")
    checks.check("the current version is accepted", current.status is None and current.version() == "6", current.body)


async def check_events(checks, user):
    """A durable consumer; the first event is applied and delivered again, as if its ack was lost."""
    connection = await connect("consumer", os.environ["NATS_CONSUMER_PASSWORD"])
    events = await connection.jetstream().pull_subscribe(
        f"profile-event.v1.{ORG}.{user}.*",
        durable="acceptance-" + secrets.token_hex(6),
        stream="PROFILE_EVENTS",
        config=ConsumerConfig(inactive_threshold=CONSUMER_IDLE_SECONDS_MAX),
    )
    applied, delivered, types = [], [], []
    until = asyncio.get_running_loop().time() + EVENTS_SECONDS_MAX
    while (len(delivered) <= len(set(applied)) or len(applied) < 6) and asyncio.get_running_loop().time() < until:
        try:
            messages = await events.fetch(2, timeout=1)
        except asyncio.TimeoutError:
            continue
        for message in messages:
            event = json.loads(message.data)
            if event["id"] not in applied:
                applied.append(event["id"])
                types.append(event["type"].split(".")[-2])
            delivered.append(event["id"])
            await (message.nak() if len(delivered) == 1 else message.ack())
    await connection.close()
    checks.check(
        "a durable consumer sees every change exactly once and in order, by the event's id",
        applied == [f"{user}/1.{version}" for version in range(1, 7)] and types == ["created"] + ["changed"] * 5,
        (applied, types),
    )
    checks.check("an event without an ack comes again", delivered.count(f"{user}/1.1") == 2, delivered)


async def main():
    try:
        connection = await connect("requester", os.environ["PROFILECTL_NATS_PASSWORD"])
    except (OSError, nats.errors.Error) as error:
        sys.exit(f"acceptance: no connection to {os.environ['NATS_URL']} ({error}). Advice: is `make run` up?")
    checks = Checks()
    call = caller(connection, token("operator", ORG, "ORG_OWNER"))
    user = "mia-" + secrets.token_hex(6)
    await check_changes(checks, call, user)
    await check_queries(checks, call, user)
    await check_refusals(checks, call, user)
    await check_retries(checks, call, user)
    await check_events(checks, user)
    await connection.close()
    print(f"{checks.failed} failed" if checks.failed else "all hold")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
