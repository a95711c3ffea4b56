"""Requests to profile-service over NATS: bounded in time, and repeated where that is safe.

A change that got no answer may have been made. So every change has an idempotency key before it is sent for
the first time, and is sent again with that same key: the service then gives the first answer instead of
making the change twice.
"""

import asyncio
import json
import random
import sys

import nats
import nats.errors

REQUEST_TIMEOUT_S = 2
ATTEMPTS_MAX = 6
FIRST_PAUSE_S = 0.1


class ProfileError(Exception):
    """The service's answer, when it is no success: `reason` and `retry` are made to branch on."""

    def __init__(self, body):
        super().__init__(body["message"])
        info = next(each for each in body["details"] if each["@type"].endswith("google.rpc.ErrorInfo"))
        self.reason = info["reason"]  # such as FAILED_PRECONDITION
        self.retry = info["metadata"]["retry"]  # "safe", "same-key" or "no"
        ids = [each["id"] for each in body["details"] if each["@type"].endswith("zitadel.v1.ErrorDetail")]
        self.id = ids[0] if ids else None  # such as COMMAND-k2unb


class ProfileClient:
    def __init__(self, connection, token):
        self.connection = connection
        self.token = token

    @staticmethod
    async def connect(url, password, token):
        """As the user `requester` of config/nats-server.conf. Nobody else can read its inbox."""
        connection = await nats.connect(
            url, user="requester", password=password, inbox_prefix=b"_INBOX.requester"
        )
        return ProfileClient(connection, token)

    async def close(self):
        await self.connection.close()

    async def call(self, operation, body, key=None, expected_version=None):
        """The reply's body. A change needs a `key`, a read has none."""
        headers = {"Authorization": "Bearer " + self.token}
        if key is not None:
            headers["Idempotency-Key"] = key
        if expected_version is not None:
            headers["Profile-Expected-Version"] = str(expected_version)
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return await self._ask(operation, body, headers)
            except ProfileError as refused:
                if refused.retry == "no" or attempt == ATTEMPTS_MAX:
                    raise
                why = refused.reason
            except (asyncio.TimeoutError, nats.errors.NoRespondersError):
                if attempt == ATTEMPTS_MAX:
                    raise
                why = "no answer"
            print(f"{operation}: {why}, again with the same key", file=sys.stderr, flush=True)
            # Twice as long each time, and not all callers in the same moment.
            await asyncio.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))

    async def _ask(self, operation, body, headers):
        reply = await self.connection.request(
            "profile.v1." + operation, json.dumps(body).encode(), REQUEST_TIMEOUT_S, headers=headers
        )
        answer = json.loads(reply.data)
        if (reply.headers or {}).get("Nats-Service-Error-Code"):
            raise ProfileError(answer)
        return answer
