import type { JetStream } from '../../shared/jetstream/jetstream.ts';
import {
  accountDetails,
  type ConsumerMonitor,
  healthFindings,
  jetStreamStats,
  NO_CONSUMERS,
} from '../../shared/jetstream/monitor.ts';
import type { DamageReport } from '../../shared/jetstream/store/contract.ts';
import type {
  AssetSelection,
  HealthFailure,
  JetStreamAnswer,
  JetStreamQuery,
} from '../../shared/mail/monitor.ts';

/** Reports of the opening that are kept for /healthz; all of them are in the log. */
const MAX_REPORTS = 100;

/** What main is told for monitoring. */
export class PersistenceMonitor {
  readonly #engine: JetStream;
  readonly #isAccount: (name: string) => boolean;
  readonly #consumers: ConsumerMonitor = NO_CONSUMERS;
  /** Found when the store was opened, and no stream's. */
  readonly #damage: readonly DamageReport[];

  /**
   * @param reports what opening the store found
   * @param isAccount whether an account is configured
   */
  constructor(engine: JetStream, reports: readonly DamageReport[], isAccount: (name: string) => boolean) {
    this.#engine = engine;
    this.#isAccount = isAccount;
    this.#damage = reports.filter(({ account }) => account === '').slice(0, MAX_REPORTS);
  }

  /** @param unsyncedMs age of the oldest change that was acknowledged and is not synced; 0: there is none */
  answer(query: JetStreamQuery, unsyncedMs: number): JetStreamAnswer {
    const { maxMemoryBytes, maxStoreBytes } = this.#engine.options;
    return {
      stats: jetStreamStats(this.#engine),
      maxMemoryBytes,
      maxStoreBytes,
      accounts: accountDetails(this.#engine, query, this.#consumers),
      unsyncedMs,
    };
  }

  health(selection: AssetSelection): HealthFailure[] {
    return healthFindings(this.#engine, selection, this.#consumers, this.#isAccount, this.#damage);
  }
}
