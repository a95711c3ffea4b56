/**
 * Requests to profile-service over NATS: bounded in time, and repeated where that is safe.
 *
 * A change that got no answer may have been made. So every change has an idempotency key before it is sent for
 * the first time, and is sent again with that same key: the service then gives the first answer instead of
 * making the change twice.
 */

import { setTimeout as pause } from "node:timers/promises";
import { connect, errors, headers, type NatsConnection } from "@nats-io/transport-node";

const REQUEST_TIMEOUT_MS = 2_000;
const ATTEMPTS_MAX = 6;
const FIRST_PAUSE_MS = 100;

interface Detail {
  "@type": string;
  reason?: string;
  metadata?: { retry: string };
  id?: string;
}

/** The service's answer, when it is no success: `reason` and `retry` are made to branch on. */
export class ProfileError extends Error {
  /** Such as FAILED_PRECONDITION. */
  readonly reason: string;
  /** "safe", "same-key" or "no". */
  readonly retry: string;
  /** ZITADEL's, such as COMMAND-k2unb. */
  readonly id: string | undefined;

  constructor(body: { message: string; details: Detail[] }) {
    super(body.message);
    const info = body.details.find((detail) => detail["@type"].endsWith("google.rpc.ErrorInfo"));
    this.reason = info?.reason ?? "UNKNOWN";
    this.retry = info?.metadata?.retry ?? "no";
    this.id = body.details.find((detail) => detail["@type"].endsWith("zitadel.v1.ErrorDetail"))?.id;
  }
}

export interface CallOptions {
  /** The idempotency key: a change needs one, a read has none. */
  key?: string;
  /** The version that the change is meant for. */
  expectedVersion?: string;
}

export class ProfileClient {
  private constructor(
    private readonly connection: NatsConnection,
    private readonly token: string,
  ) {}

  /** As the user `requester` of config/nats-server.conf. Nobody else can read its inbox. */
  static async connect(servers: string, pass: string, token: string): Promise<ProfileClient> {
    const connection = await connect({ servers, user: "requester", pass, inboxPrefix: "_INBOX.requester" });
    return new ProfileClient(connection, token);
  }

  async close(): Promise<void> {
    await this.connection.close();
  }

  /** The reply's body. */
  async call<Reply>(operation: string, body: object, options: CallOptions = {}): Promise<Reply> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return (await this.ask(operation, body, options)) as Reply;
      } catch (error) {
        const why = reasonToRepeat(error);
        if (why === undefined || attempt === ATTEMPTS_MAX) {
          throw error;
        }
        console.error(`${operation}: ${why}, again with the same key`);
      }
      // Twice as long each time, and not all callers in the same moment.
      await pause(FIRST_PAUSE_MS * 2 ** (attempt - 1) * (0.5 + Math.random()));
    }
  }

  private async ask(operation: string, body: object, options: CallOptions): Promise<unknown> {
    const sent = headers();
    sent.set("Authorization", `Bearer ${this.token}`);
    if (options.key !== undefined) {
      sent.set("Idempotency-Key", options.key);
    }
    if (options.expectedVersion !== undefined) {
      sent.set("Profile-Expected-Version", options.expectedVersion);
    }
    const reply = await this.connection.request(`profile.v1.${operation}`, JSON.stringify(body), {
      timeout: REQUEST_TIMEOUT_MS,
      headers: sent,
    });
    if (reply.headers?.has("Nats-Service-Error-Code")) {
      throw new ProfileError(reply.json());
    }
    return reply.json();
  }
}

function reasonToRepeat(error: unknown): string | undefined {
  if (error instanceof ProfileError) {
    return error.retry === "no" ? undefined : error.reason;
  }
  const unanswered =
    error instanceof errors.TimeoutError ||
    (error instanceof errors.RequestError && error.isNoResponders());
  return unanswered ? "no answer" : undefined;
}

/** A setting that has no default. */
export function environment(name: string): string {
  const value = process.env[name];
  if (value === undefined) {
    throw new Error(`${name} is not set`);
  }
  return value;
}
