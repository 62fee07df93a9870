/**
 * Signals of the running server: each is logged as `Trapped "<name>" signal` and calls one handler.
 * SIGTERM does nothing while the server is in lame duck mode (spec "Signals"); SIGINT still stops it at once.
 */

import type { EventEmitter } from 'node:events';
import type { Logger } from '../log/logger.ts';

export type TrappedSignal = 'SIGINT' | 'SIGTERM' | 'SIGUSR1' | 'SIGHUP' | 'SIGUSR2';

const SIGNAL_NAMES: Record<TrappedSignal, string> = {
  SIGINT: 'interrupt',
  SIGTERM: 'terminated',
  SIGUSR1: 'user defined signal 1',
  SIGHUP: 'hangup',
  SIGUSR2: 'user defined signal 2',
};

export interface SignalHandlers {
  /** SIGINT and SIGTERM: graceful shutdown, exit 0. Called again for every further signal. */
  shutdown(): void;
  /** SIGUSR1. */
  reopenLog(): void;
  /** SIGHUP. */
  reload(): void;
  /** SIGUSR2. */
  lameDuck(): void;
  isLameDuck(): boolean;
}

/**
 * Installs the handlers; the returned function removes them. Listening on SIGUSR1 also keeps Node from starting its
 * inspector on that signal.
 */
export function trapSignals(
  logger: Logger,
  handlers: SignalHandlers,
  emitter: EventEmitter = process,
): () => void {
  const installed = (Object.keys(SIGNAL_NAMES) as TrappedSignal[]).map((signal) => {
    const listener = (): void => {
      logger.notice(`Trapped "${SIGNAL_NAMES[signal]}" signal`);
      dispatch(signal, handlers);
    };
    emitter.on(signal, listener);
    return { signal, listener };
  });
  return () => {
    for (const { signal, listener } of installed) emitter.off(signal, listener);
  };
}

function dispatch(signal: TrappedSignal, handlers: SignalHandlers): void {
  if (signal === 'SIGINT') handlers.shutdown();
  else if (signal === 'SIGUSR1') handlers.reopenLog();
  else if (signal === 'SIGHUP') handlers.reload();
  else if (signal === 'SIGUSR2') handlers.lameDuck();
  else if (!handlers.isLameDuck()) handlers.shutdown();
}
