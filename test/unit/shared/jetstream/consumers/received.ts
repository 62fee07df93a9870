import type { Harness, Received } from '../engine-harness.ts';

/** Stream sequences of the messages among what came. */
export function sequences(received: readonly Received[]): number[] {
  return received.filter(({ subject }) => subject !== '').map(({ reply }) => Number(reply.split('.')[5]));
}

/** Status lines among what came, without the version. */
export function statuses(received: readonly Received[]): string[] {
  return received
    .filter(({ subject }) => subject === '')
    .map(({ headers }) => headers.slice('NATS/1.0 '.length, headers.indexOf('\r\n')));
}

/** Publishes m1, m2, … */
export function fill(js: Harness, count: number, subject = 's'): void {
  for (let i = 1; i <= count; i++) js.publish(subject, `m${i}`);
}
