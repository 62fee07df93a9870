/** A thread's interest as it was announced. */
export interface AnnouncedInterest {
  thread: number;
  subject: string;
  queue: string | null;
  weight: number;
  filter: string;
}

/**
 * Interest in accounts that this thread doesn't know yet.
 *
 * A reload reaches the threads one after the other: one that has it already can serve a client of a new account and announce
 * its subscription, before another has heard of that account. Forgotten, the announcement would never come again.
 */
export class EarlyInterest {
  readonly #byAccount = new Map<number, AnnouncedInterest[]>();

  hold(accountIndex: number, interest: AnnouncedInterest): void {
    const known = this.#byAccount.get(accountIndex);
    if (known === undefined) this.#byAccount.set(accountIndex, [interest]);
    else known.push(interest);
  }

  /** What was announced for an account that exists now, in order. */
  take(accountIndex: number): AnnouncedInterest[] {
    const interests = this.#byAccount.get(accountIndex) ?? [];
    this.#byAccount.delete(accountIndex);
    return interests;
  }

  /** Forgets what a thread that died was interested in. */
  dropThread(thread: number): void {
    for (const [accountIndex, interests] of this.#byAccount) {
      const others = interests.filter((interest) => interest.thread !== thread);
      this.#byAccount.set(accountIndex, others);
    }
  }
}
