import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { trapSignals } from '../../../../src/main/supervise/signals.ts';
import { RecordingLogger } from '../recording-logger.ts';

function trap() {
  const emitter = new EventEmitter();
  const logger = new RecordingLogger();
  const calls: string[] = [];
  const state = { isLameDuck: false };
  const release = trapSignals(
    logger,
    {
      shutdown: () => calls.push('shutdown'),
      reopenLog: () => calls.push('reopenLog'),
      reload: () => calls.push('reload'),
      lameDuck: () => calls.push('lameDuck'),
      isLameDuck: () => state.isLameDuck,
    },
    emitter,
  );
  return { emitter, logger, calls, state, release };
}

test('each signal is logged by its name and does its work', () => {
  const { emitter, logger, calls } = trap();
  for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGTERM', 'SIGINT']) emitter.emit(signal);
  expect(logger.lines).toEqual([
    'notice Trapped "hangup" signal',
    'notice Trapped "user defined signal 1" signal',
    'notice Trapped "user defined signal 2" signal',
    'notice Trapped "terminated" signal',
    'notice Trapped "interrupt" signal',
  ]);
  expect(calls).toEqual(['reload', 'reopenLog', 'lameDuck', 'shutdown', 'shutdown']);
});

test('in lame duck mode SIGTERM is logged only, SIGINT still stops', () => {
  const { emitter, logger, calls, state } = trap();
  state.isLameDuck = true;
  emitter.emit('SIGTERM');
  expect([calls, logger.lines.length]).toEqual([[], 1]);
  emitter.emit('SIGINT');
  expect(calls).toEqual(['shutdown']);
});

test('released signals are nobody’s again', () => {
  const { emitter, release } = trap();
  release();
  expect(emitter.eventNames()).toEqual([]);
});
