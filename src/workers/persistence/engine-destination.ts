import { hashLatin1, latin1Bytes } from '../../shared/base/latin1.ts';
import type { Account } from '../../shared/broker/account.ts';
import type { Route } from '../../shared/broker/route.ts';
import type { Destination } from '../../shared/jetstream/effects.ts';

/**
 * Where a consumer sends its messages. It remembers the route, for a consumer sends thousands to the same inbox; the account's
 * own cache is for subjects, and would be emptied by ten thousand of them.
 */
export class EngineDestination implements Destination {
  readonly account: Account;
  readonly subject: string;
  readonly subjectBytes: Uint8Array;
  readonly subjectHash: number;
  #route: Route | null = null;
  #version = -1;
  /** What `isBound` found, and when. */
  #bound = false;
  #boundGroup = '';
  #boundVersion = -1;

  constructor(account: Account, subject: string) {
    this.account = account;
    this.subject = subject;
    this.subjectBytes = latin1Bytes(subject);
    this.subjectHash = hashLatin1(subject);
  }

  get hasInterest(): boolean {
    const { hasThreads, plain, groups } = this.route;
    return hasThreads || plain.length > 0 || groups.length > 0;
  }

  isBound(group: string): boolean {
    const { account, subject } = this;
    if (this.#boundVersion === account.version && this.#boundGroup === group) return this.#bound;
    const wanted = group === '' ? null : group;
    let bound = false;
    account.sublist.visit(subject, (item, queue) => {
      bound = item.subject === subject && queue === wanted;
      return bound;
    });
    this.#bound = bound;
    this.#boundGroup = group;
    this.#boundVersion = account.version;
    return bound;
  }

  get route(): Route {
    const { account } = this;
    if (this.#route === null || this.#version !== account.version) {
      this.#route = account.prepareRoute(this.subject, this.subjectHash, false);
      // Preparing may itself have ended a generation.
      this.#version = account.version;
    }
    return this.#route;
  }
}
