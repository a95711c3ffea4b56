/**
 * ZITADEL's own client for Node (npm `@zitadel/client`), as it is. Only the base URL is ours.
 *
 *     node build/zitadel-sdk.js <userId> <displayName>
 *
 * It speaks gRPC, here to the management service v1 and to the user service v2. Environment: PROFILE_URL and
 * PROFILE_TOKEN.
 */

import { createServerTransport } from "@zitadel/client/node";
import { createManagementServiceClient } from "@zitadel/client/v1";
import { createUserServiceClient } from "@zitadel/client/v2";
import { environment } from "./profile-client.js";

const [userId, displayName] = process.argv.slice(2);
if (userId === undefined || displayName === undefined) {
  throw new Error("usage: node build/zitadel-sdk.js <userId> <displayName>");
}
const baseUrl = environment("PROFILE_URL");
const transport = createServerTransport(environment("PROFILE_TOKEN"), { baseUrl, defaultTimeoutMs: 5_000 });
const management = createManagementServiceClient(transport);
const users = createUserServiceClient(transport);

const read = await users.getUserByID({ userId });
console.log(`read ${userId}, version ${read.user?.details?.sequence}`);

// v2 changes what is sent.
await users.updateUser({
  userId,
  userType: { case: "human", value: { profile: { displayName } } },
});
// v1 replaces the whole profile, so it sends what it has read.
const before = await management.getHumanProfile({ userId });
const { firstName, lastName, gender, preferredLanguage, displayName: renamed } = before.profile ?? {};
const changed = await management.updateHumanProfile({
  userId,
  firstName,
  lastName,
  displayName: renamed,
  nickName: "Z",
  gender,
  preferredLanguage,
});
console.log(`changed ${userId}, version ${changed.details?.sequence}`);

try {
  await users.getUserByID({ userId: `${userId}-nobody` });
} catch (refused) {
  console.log(`refused: ${(refused as Error).message}`);
}
