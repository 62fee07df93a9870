import type { ThreadLinks } from '../../shared/broker/thread-links.ts';
import type { JetStream } from '../../shared/jetstream/jetstream.ts';
import type { Store, StoreFailure } from '../../shared/jetstream/store/contract.ts';
import type { PersistenceLogLevel } from './contract.ts';
import type { EngineEffects } from './engine-effects.ts';

/** A sync that takes less is cheaper done here than by the thread for it. */
const SHORT_SYNC_MICROS = 400;
/** Bytes of the log for which a commit begins although more has arrived: each costs what 20 messages of 4 KB cost. */
const EARLY_COMMIT_BYTES = 384 * 1024;

/** When what the engine changed goes to the disk, and what may be told once it is there. */
export class Commits {
  failed = false;
  /** When the last sync was made, where they are made at intervals. */
  syncedAtMs = Date.now();
  readonly #store: Store;
  readonly #links: ThreadLinks;
  readonly #effects: EngineEffects;
  readonly #engine: JetStream;
  readonly #syncIntervalMs: number | 'always';
  readonly #syncMicros: () => number;
  readonly #log: (level: PersistenceLogLevel, text: string) => void;
  /** What the commit beside this thread covers. */
  #syncingTicket = 0;

  /** @param syncMicros what a sync takes of late */
  constructor(
    store: Store,
    links: ThreadLinks,
    effects: EngineEffects,
    engine: JetStream,
    syncIntervalMs: number | 'always',
    syncMicros: () => number,
    log: (level: PersistenceLogLevel, text: string) => void,
  ) {
    this.#store = store;
    this.#links = links;
    this.#effects = effects;
    this.#engine = engine;
    this.#syncIntervalMs = syncIntervalMs;
    this.#syncMicros = syncMicros;
    this.#log = log;
  }

  /** What is promised up to here may be told. With an interval it is written: it survives the process, not the machine. */
  keptTicket(): number {
    if (this.failed) return Infinity;
    return this.#syncIntervalMs === 'always' ? this.#store.syncedTicket : this.#store.writtenTicket;
  }

  /** Whether somebody waits for what was staged: for an acknowledgement, or for a message to be delivered. */
  #isAwaited(): boolean {
    const kept = this.keptTicket();
    const promised = this.#links.holding ? this.#effects.heldTicket : 0;
    return (
      promised > kept ||
      this.#effects.outgoing.wantedTicket > kept ||
      (this.#engine.hasLate && this.#engine.appendedTicket > kept)
    );
  }

  /** Takes note of a commit beside this thread. @returns whether one has ended */
  poll(): boolean {
    if (!this.#store.committing) return false;
    this.#note(this.#store.pollCommit());
    return !this.#store.committing;
  }

  /** What is held back in the rings and has become true may be seen. */
  showKept(): void {
    if (!this.#links.holding) return;
    const kept = this.keptTicket();
    if (this.#effects.heldTicket <= kept) this.#links.showHeld();
    else if (this.#syncingTicket <= kept) this.#links.showNoted();
  }

  /**
   * Commits what somebody waits for. A fast disk's syncs are made here and now, which spares them two changes of threads; a
   * slow one's run beside this thread.
   */
  commitAwaited(): void {
    if (this.#isAwaited()) this.#commitSomehow();
  }

  /** Commits what nobody waits for; while a commit is under way that can wait for the next tick. */
  commitRest(): void {
    if (!this.#store.committing && this.#store.ticket > this.#store.syncedTicket) this.#commitSomehow();
  }

  /**
   * While more is taken in: takes note of a commit that has ended, and begins the next one beside this thread when it is worth
   * while.
   *
   * @returns whether one has ended, so that something may be let go
   */
  commitBeside(): boolean {
    if (this.#syncIntervalMs !== 'always') return false;
    const hasEnded = this.poll();
    if (this.#store.committing) return false;
    if (hasEnded) this.showKept();
    const { ticket, writtenTicket } = this.#store;
    if (ticket - writtenTicket >= EARLY_COMMIT_BYTES && this.#isAwaited()) this.#begin();
    return hasEnded;
  }

  /** Writes everything staged, and syncs it when it is time to. */
  commit(): void {
    const store = this.#store;
    if (this.failed || store.ticket <= store.syncedTicket) return;
    let sync = true;
    if (this.#syncIntervalMs !== 'always') {
      const nowMs = Date.now();
      sync = nowMs - this.syncedAtMs >= this.#syncIntervalMs;
      if (!sync && store.ticket <= store.writtenTicket) return;
      if (sync) this.syncedAtMs = nowMs;
    }
    this.#note(store.commit(sync));
  }

  #commitSomehow(): void {
    const { committing } = this.#store;
    const isShort = this.#syncMicros() < SHORT_SYNC_MICROS && !committing;
    if (this.#syncIntervalMs !== 'always' || isShort) this.commit();
    else if (!committing) this.#begin();
  }

  #begin(): void {
    if (this.failed) return;
    this.#links.noteHeld();
    this.#syncingTicket = this.#store.ticket;
    this.#note(this.#store.beginCommit());
  }

  #note(failure: StoreFailure | null): void {
    if (failure === null || this.failed) return;
    // From now on the store refuses changes, so what is said later promises nothing.
    this.showKept();
    const dropped = this.#links.withdrawPromises() + this.#effects.outgoing.dropAbove(this.keptTicket());
    this.failed = true;
    this.#log('error', `JetStream store failed, streams on disk take no more changes: ${failure.message}`);
    this.#log('error', `JetStream: ${dropped} messages are not acknowledged, they may not be on the disk`);
  }
}
