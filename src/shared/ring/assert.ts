/**
 * Programmer errors of the ring package: always on, and its own so that the package stands alone.
 * Messages are constants, since a hot path must not build a string it does not need.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`ring: ${message}`);
}
