/** A copy of profiles, and how far it is: one file, replaced as a whole. Yours is a transaction of your database. */

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";

/** What this example reads of an event: a CloudEvent with `events.payload` at `changed`. */
export interface ProfileEvent {
  /** `<userId>/<epoch>.<version>`; a restore of the service raises the epoch. */
  id: string;
  type: string;
  data: { orgId: string; values?: Record<string, string> };
}

export interface KnownUser {
  epoch: number;
  version: number;
  /** null once removed. */
  profile: Record<string, string> | null;
}

interface Kept {
  position: number;
  listedAt: number;
  epoch: number;
  users: Record<string, KnownUser>;
}

const REMOVED = "profile-service.profile.removed.v1";

export class State {
  kept: Kept = { position: 0, listedAt: 0, epoch: 0, users: {} };

  constructor(private readonly path: string) {
    if (existsSync(path)) {
      this.kept = JSON.parse(readFileSync(path, "utf8")) as Kept;
    }
  }

  save(): void {
    const file = openSync(`${this.path}.new`, "w");
    writeSync(file, JSON.stringify(this.kept));
    fsyncSync(file);
    closeSync(file);
    renameSync(`${this.path}.new`, this.path);
  }

  /** Once for each event, however often it comes: what is not newer than the copy is passed over. */
  apply(event: ProfileEvent, position: number): void {
    this.kept.position = Math.max(this.kept.position, position);
    const { user, epoch, version } = identity(event);
    const known = this.kept.users[user] ?? { epoch: 0, version: 0, profile: {} };
    const isNewer = epoch > known.epoch || (epoch === known.epoch && version > known.version);
    if (position <= this.kept.listedAt || !isNewer) {
      return;
    }
    const profile = event.type === REMOVED ? null : { ...known.profile, ...event.data.values };
    this.kept.users[user] = { epoch, version, profile };
    this.kept.epoch = Math.max(this.kept.epoch, epoch);
    console.log(`applied ${event.id} ${event.type}`);
  }

  /**
   * Versions of a user have no gap. Where one shows, the stream has dropped an event: too old, or too many.
   * (Those of a removed user are withheld, so `removed` may follow anything.)
   */
  missesOneBefore(event: ProfileEvent, position: number): boolean {
    if (event.type === REMOVED || position <= this.kept.listedAt) {
      return false;
    }
    const { user, epoch, version } = identity(event);
    const known = this.kept.users[user] ?? { epoch, version: 0 };
    return known.epoch === epoch && version > known.version + 1;
  }

  /** What `list` says takes the place of the copy; whoever is not listed is removed. */
  replace(found: Record<string, KnownUser>, position: number): void {
    for (const [user, known] of Object.entries(this.kept.users)) {
      found[user] ??= { ...known, profile: null };
    }
    this.kept = { ...this.kept, users: found, position, listedAt: position };
    this.save();
  }
}

function identity(event: ProfileEvent): { user: string; epoch: number; version: number } {
  const [, user = "", epoch = "", version = ""] = /^(.*)\/(\d+)\.(\d+)$/.exec(event.id) ?? [];
  return { user, epoch: Number(epoch), version: Number(version) };
}
