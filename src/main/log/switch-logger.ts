import type { Logger, LogLevel } from './logger.ts';

/** A logger whose destination a reload can replace, while everybody keeps the object he has. */
export class SwitchLogger implements Logger {
  #target: Logger;

  constructor(target: Logger) {
    this.#target = target;
  }

  /** Sends what comes from now on to `target`; what the old one still holds is written in the background. */
  replace(target: Logger): void {
    const old = this.#target;
    this.#target = target;
    old.flushSync();
    void old.close();
  }

  get isDebug(): boolean {
    return this.#target.isDebug;
  }

  get isTrace(): boolean {
    return this.#target.isTrace;
  }

  notice(text: string): void {
    this.#target.notice(text);
  }

  warn(text: string): void {
    this.#target.warn(text);
  }

  error(text: string): void {
    this.#target.error(text);
  }

  fatal(text: string): void {
    this.#target.fatal(text);
  }

  debug(text: string): void {
    this.#target.debug(text);
  }

  trace(text: string): void {
    this.#target.trace(text);
  }

  write(level: LogLevel, text: string): void {
    this.#target.write(level, text);
  }

  setLevels(levels: { debug: boolean; trace: boolean }): void {
    this.#target.setLevels(levels);
  }

  reopen(): void {
    this.#target.reopen();
  }

  flushSync(): void {
    this.#target.flushSync();
  }

  close(): Promise<void> {
    return this.#target.close();
  }
}
