import type { JetStream } from '../../shared/jetstream/jetstream.ts';
import { accountDetails, healthFindings, jetStreamStats } from '../../shared/jetstream/monitor.ts';
import type { DamageReport, Store } from '../../shared/jetstream/store/contract.ts';
import type { JetStreamAnswer, JetStreamQuery } from '../../shared/mail/monitor.ts';
import type { PersistenceAnswer, ToPersistence } from './contract.ts';

/** Reports of the opening that are kept for /healthz; all of them are in the log. */
const MAX_REPORTS = 100;

type Query = ToPersistence & { kind: 'jetstream-query' | 'health-query' };

/** What main is told for monitoring, and what the store found to be told of. */
export class PersistenceMonitor {
  /** Accounts that are configured. */
  accountNames: ReadonlySet<string> = new Set();
  readonly #engine: JetStream;
  readonly #store: Store;
  readonly #acknowledgesWritten: boolean;
  readonly #warn: (text: string) => void;
  /** Found when the store was opened, and no stream's. */
  readonly #damage: readonly DamageReport[];

  /** @param acknowledgesWritten before it is synced */
  constructor(engine: JetStream, store: Store, acknowledgesWritten: boolean, warn: (text: string) => void) {
    this.#engine = engine;
    this.#store = store;
    this.#acknowledgesWritten = acknowledgesWritten;
    this.#warn = warn;
    this.#damage = this.logReports()
      .filter(({ account }) => account === '')
      .slice(0, MAX_REPORTS);
  }

  /** Logs what the store found since the last time. */
  logReports(): readonly DamageReport[] {
    const reports = this.#store.takeReports();
    for (const { file, message } of reports) this.#warn(`JetStream store: ${file}: ${message}`);
    return reports;
  }

  /** @param syncedAtMs when the store was synced last, if not all the time */
  answer(message: Query, syncedAtMs: number): PersistenceAnswer {
    if (message.kind === 'jetstream-query') return this.#report(message.query, syncedAtMs);
    const isAccount = (name: string) => this.accountNames.has(name);
    return healthFindings(this.#engine, message.selection, isAccount, this.#damage);
  }

  #report(query: JetStreamQuery, syncedAtMs: number): JetStreamAnswer {
    const { maxMemoryBytes, maxStoreBytes } = this.#engine.options;
    const isUnsynced = this.#acknowledgesWritten && this.#store.writtenTicket > this.#store.syncedTicket;
    return {
      stats: jetStreamStats(this.#engine),
      maxMemoryBytes,
      maxStoreBytes,
      accounts: accountDetails(this.#engine, query),
      unsyncedMs: isUnsynced ? Math.max(Date.now() - syncedAtMs, 1) : 0,
    };
  }
}
