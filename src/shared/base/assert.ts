/**
 * Programmer errors: a state the code rules out. They throw, in production too, because going on from there could acknowledge or
 * deliver what is not so. What a peer, a file or the machine may cause is an operating failure and never ends up here.
 */

/** Thrown by `assert` and `unreachable`; nothing catches it but the thread's last resort, which reports it and stops the server. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/**
 * Throws `AssertionError` unless the condition holds. On hot paths pass a constant message: an interpolated one is built
 * on each call, whether the assertion holds or not.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** For the default branch of a switch over a union: a member without a case is a type error, and at run time an AssertionError. */
export function unreachable(value: never, message: string): never {
  throw new AssertionError(`${message}: ${String(value)}`);
}
