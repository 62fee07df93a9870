import type { AccountLimits } from '../base/options.ts';
import type { InterestRecord } from '../mail/interest-record.ts';
import type { ThreadMemory } from '../mail/thread-memory.ts';
import { RingConsumer, RingProducer } from '../ring/ring.ts';
import { Account, type InterestAnnouncer } from './account.ts';
import { EarlyInterest } from './early-interest.ts';
import type { ThreadLinks } from './thread-links.ts';

/** A message port, as far as it takes messages. */
interface Post {
  postMessage(message: unknown): void;
}

/**
 * The accounts of one thread of the mesh: they have the same index on every thread, tell the other threads what this one is
 * interested in, and hear what those are.
 */
export class MeshAccounts implements InterestAnnouncer {
  readonly #links: ThreadLinks | null;
  readonly #accounts: (Account | undefined)[] = [];
  readonly #earlyInterest = new EarlyInterest();

  /** @param links null where there is no other thread */
  constructor(links: ThreadLinks | null) {
    this.#links = links;
  }

  /** The account of an index, if this thread has heard of it. */
  at(index: number): Account | undefined {
    return this.#accounts[index];
  }

  get isEmpty(): boolean {
    return this.#accounts.length === 0;
  }

  /** Makes an account, which takes up what other threads announced before. */
  add(index: number, name: string, limits: AccountLimits, cacheRoutes: boolean): Account {
    const account = new Account(index, name, limits, this.#links === null ? null : this, cacheRoutes);
    this.#accounts[index] = account;
    for (const { thread, subject, queue, weight, filter } of this.#earlyInterest.take(index)) {
      account.setThreadInterest(thread, subject, queue, weight, filter);
    }
    return account;
  }

  /**
   * Connects to another thread and tells it everything this one is interested in.
   *
   * @param takePosted takes the next large record off the port, null when there is none
   */
  connect<P extends Post>(memory: ThreadMemory<P>, takePosted: () => SharedArrayBuffer | null): void {
    const links = this.#links!;
    const { thread, port } = memory;
    links.setLink(thread, {
      producer: new RingProducer(memory.outRing),
      consumer: new RingConsumer(memory.inRing),
      largeSent: new Int32Array(memory.outLarge),
      largeReceived: new Int32Array(memory.inLarge),
      postLarge: (payload) => port.postMessage(payload),
      takeLarge: takePosted,
    });
    for (const account of this.#accounts) {
      account?.forEachLocalInterest((subject, queue, weight, filter) =>
        links.sendInterest(thread, account.index, subject, queue, weight, filter),
      );
    }
  }

  /** A thread died: its interest ends, and nothing is sent to it any more. */
  dropThread(thread: number): void {
    this.#links?.setLink(thread, null);
    for (const account of this.#accounts) account?.dropThread(thread);
    this.#earlyInterest.dropThread(thread);
  }

  announceInterest(
    accountIndex: number,
    subject: string,
    queue: string | null,
    weight: number,
    filter: string,
  ): void {
    this.#links!.sendInterest(-1, accountIndex, subject, queue, weight, filter);
  }

  /** Another thread's interest changed. @returns the account, undefined while this thread hasn't heard of it */
  interestChanged(thread: number, interest: InterestRecord): Account | undefined {
    const { accountIndex, subject, queue, weight, filter } = interest;
    const account = this.#accounts[accountIndex];
    if (account === undefined) {
      this.#earlyInterest.hold(accountIndex, { thread, subject, queue, weight, filter });
    } else account.setThreadInterest(thread, subject, queue, weight, filter);
    return account;
  }
}
