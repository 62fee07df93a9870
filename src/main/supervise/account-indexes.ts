import type { AccountOptions } from '../../shared/base/options.ts';

/** Accounts that may ever exist in one run of the process, reloads included. */
const MAX_ACCOUNTS = 65_536;

/** Numbers the accounts: the same number on all threads, never given to another account. */
export class AccountIndexes {
  /** By name, for the shards. */
  readonly byName: Record<string, number> = Object.create(null);
  /** Connections of each account over all shards (Int32, atomic). */
  readonly connections = new SharedArrayBuffer(MAX_ACCOUNTS * 4);
  #count = 0;

  /** Memory for one shard's share of the counts. */
  newShare(): SharedArrayBuffer {
    return new SharedArrayBuffer(MAX_ACCOUNTS * 4);
  }

  /** Takes a dead shard's connections out of the counts. */
  releaseShare(share: Int32Array): void {
    const counts = new Int32Array(this.connections);
    for (let index = 0; index < this.#count; index++) Atomics.sub(counts, index, share[index]!);
  }

  /** Gives new accounts their numbers. @throws when there are too many */
  add(accounts: readonly AccountOptions[]): void {
    for (const { name } of accounts) {
      if (name in this.byName) continue;
      if (this.#count === MAX_ACCOUNTS) throw new Error(`more than ${MAX_ACCOUNTS} accounts`);
      this.byName[name] = this.#count++;
    }
  }
}
