/**
 * Creates a user and changes its profile, as a service would that owns a form for it.
 *
 *     node build/requester.js <userId> <displayName>
 */

import { randomUUID } from "node:crypto";
import { environment, ProfileClient, ProfileError } from "./profile-client.js";

const DECISIONS_MAX = 5;

interface Details {
  details: { sequence: string };
}

async function create(client: ProfileClient, userId: string): Promise<void> {
  const body = {
    userId,
    userName: userId,
    profile: { firstName: "Mia", lastName: "Mouse" },
    email: { email: `${userId}@zoo.example` },
  };
  // A key made of what is asked for: this program, started again, asks for the same and gets the first answer.
  const created = await client.call<Details>("create", body, { key: `create-${userId}` });
  console.log(`created ${userId}, version ${created.details.sequence}`);
}

/** Changes what was read and nothing else: if somebody was faster, reads and decides again. */
async function rename(client: ProfileClient, userId: string, displayName: string): Promise<void> {
  for (let decision = 0; decision < DECISIONS_MAX; decision += 1) {
    const read = await client.call<Details>("get", { userId });
    const expectedVersion = read.details.sequence;
    try {
      // One key for each decision; its repetitions share it.
      const options = { key: randomUUID(), expectedVersion };
      const changed = await client.call<Details>("patch", { userId, displayName }, options);
      console.log(`renamed ${userId}, version ${expectedVersion} to ${changed.details.sequence}`);
      return;
    } catch (error) {
      if (error instanceof ProfileError && error.reason === "ABORTED") {
        continue;
      }
      throw error;
    }
  }
  throw new Error(`${userId} changes faster than this program decides`);
}

const [userId, displayName] = process.argv.slice(2);
if (userId === undefined || displayName === undefined) {
  throw new Error("usage: node build/requester.js <userId> <displayName>");
}
const client = await ProfileClient.connect(
  environment("NATS_URL"),
  environment("PROFILECTL_NATS_PASSWORD"),
  environment("PROFILE_TOKEN"),
);
try {
  await create(client, userId);
  await rename(client, userId, displayName);
} finally {
  await client.close();
}
