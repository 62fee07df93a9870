import type { Piscina } from 'piscina';
import type { Logger } from '../log/logger.ts';

/** Checks that may wait: bcrypt costs tens of milliseconds each, and the authentication timeout is short. */
const MAX_QUEUE = 10_000;
/** Threads of the pool end after so long without work. */
const IDLE_TIMEOUT_MS = 30_000;

/** Compares passwords with bcrypt hashes in the piscina pool, which is started when the first one is to be compared. */
export class PasswordChecks {
  readonly #logger: Logger;
  #pool: Promise<Piscina> | null = null;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** @returns whether the password is the one of the hash; false too when the pool can't answer */
  async matches(password: string, hash: string): Promise<boolean> {
    try {
      this.#pool ??= startPool();
      const pool = await this.#pool;
      return (await pool.run({ password, hash }, { name: 'comparePassword' })) as boolean;
    } catch (error) {
      this.#logger.error(`Password check failed: ${(error as Error).message}`);
      return false;
    }
  }

  async close(): Promise<void> {
    const pool = await this.#pool;
    await pool?.destroy();
  }
}

async function startPool(): Promise<Piscina> {
  const { Piscina } = await import('piscina');
  return new Piscina({
    filename: new URL('./offload.js', import.meta.url).href,
    minThreads: 0,
    maxThreads: 2,
    maxQueue: MAX_QUEUE,
    idleTimeout: IDLE_TIMEOUT_MS,
    execArgv: [],
  });
}
