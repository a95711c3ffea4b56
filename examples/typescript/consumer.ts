/**
 * Keeps a copy of the profiles of one organization: by the event stream, and by `replay` and `list` where the
 * stream does not reach back.
 *
 *     node build/consumer.js <stateFile>
 *
 * Environment: NATS_URL, NATS_CONSUMER_PASSWORD (events), PROFILECTL_NATS_PASSWORD and PROFILE_TOKEN (requests; the
 * token needs user.read and events.read), ORG and DURABLE, if not `zoo` and `profile-copy`.
 */

import { AckPolicy, type ConsumerMessages, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { environment, ProfileClient, ProfileError } from "./profile-client.js";
import { type KnownUser, type ProfileEvent, State } from "./state.js";

const STREAM = "PROFILE_EVENTS";
const PULL_EVENTS_MAX = 100;
const PULL_TIMEOUT_MS = 5_000;
const PAGE_ROWS = "1000";

interface ReplayPage {
  events: { position: string; event: ProfileEvent }[];
  position: string;
  end?: boolean;
}

interface ListPage {
  users: { userId: string; details: { sequence: string }; profile: Record<string, string> }[];
  nextCursor?: string;
  position: string;
}

/** Everything after the position of the copy, out of the service's log. */
async function catchUp(client: ProfileClient, state: State, org: string): Promise<void> {
  for (;;) {
    let page: ReplayPage;
    try {
      const body = { after: String(state.kept.position), limit: PAGE_ROWS };
      page = await client.call<ReplayPage>("replay", body);
    } catch (error) {
      if (error instanceof ProfileError && error.reason === "OUT_OF_RANGE") {
        await readAllAnew(client, state);
        continue;
      }
      throw error;
    }
    for (const { position, event } of page.events) {
      if (event.data.orgId === org) {
        state.apply(event, Number(position));
      }
    }
    state.kept.position = Number(page.position);
    state.save();
    if (page.end) {
      return;
    }
  }
}

/**
 * The log no longer reaches back either. Changes that come while the pages are read are behind the position of
 * the first one.
 */
async function readAllAnew(client: ProfileClient, state: State): Promise<void> {
  const found: Record<string, KnownUser> = {};
  let first: ListPage | undefined;
  let cursor: string | undefined;
  do {
    const page: ListPage = await client.call<ListPage>("list", { limit: PAGE_ROWS, cursor });
    first ??= page;
    cursor = page.nextCursor;
    for (const { userId, details, profile } of page.users) {
      found[userId] = { epoch: state.kept.epoch, version: Number(details.sequence), profile };
    }
  } while (cursor);
  const listed = Object.keys(found).length;
  state.replace(found, Number(first.position));
  console.log(`read ${listed} users anew, at position ${first.position}`);
}

async function follow(
  messages: ConsumerMessages,
  client: ProfileClient,
  state: State,
  org: string,
): Promise<void> {
  for await (const message of messages) {
    if (message.data.length > 0) {
      const event = message.json<ProfileEvent>();
      const position = Number(message.headers?.get("Profile-Position"));
      if (state.missesOneBefore(event, position)) {
        console.log(`a gap before ${event.id}`);
        await catchUp(client, state, org);
      }
      state.apply(event, position);
      state.save();
    } // else a placeholder: the event of a removed user was here
    // First kept, then acknowledged: killed in between, the event comes again and changes nothing.
    message.ack();
  }
}

const stateFile = process.argv[2];
if (stateFile === undefined) {
  throw new Error("usage: node build/consumer.js <stateFile>");
}
const org = process.env["ORG"] ?? "zoo";
const durable = process.env["DURABLE"] ?? "profile-copy";
const servers = environment("NATS_URL");

const state = new State(stateFile);
const client = await ProfileClient.connect(
  servers,
  environment("PROFILECTL_NATS_PASSWORD"),
  environment("PROFILE_TOKEN"),
);
// The user `consumer` of config/nats-server.conf; reconnects by itself, for ever.
const connection = await connect({
  servers,
  user: "consumer",
  pass: environment("NATS_CONSUMER_PASSWORD"),
  inboxPrefix: "_INBOX.consumer",
  maxReconnectAttempts: -1,
});
try {
  // The durable consumer first: what happens from here on is in the stream, what was before in the log.
  const manager = await jetstreamManager(connection, { checkAPI: false });
  await manager.consumers.add(STREAM, {
    durable_name: durable,
    filter_subject: `profile-event.v1.${org}.*.*`,
    ack_policy: AckPolicy.Explicit,
  });
  const events = await jetstream(connection).consumers.get(STREAM, durable);
  await catchUp(client, state, org);
  console.log(`caught up, at position ${state.kept.position}`);
  const messages = await events.consume({ max_messages: PULL_EVENTS_MAX, expires: PULL_TIMEOUT_MS });
  for (const signal of ["SIGTERM", "SIGINT"]) {
    process.on(signal, () => messages.stop());
  }
  await follow(messages, client, state, org);
} finally {
  await connection.close();
  await client.close();
}
