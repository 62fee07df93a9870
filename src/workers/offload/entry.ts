import { compareSync } from 'bcryptjs';

/** Tasks of the piscina pool: stateless, CPU-bound work that would hold up a thread with connections. */

/** Whether `password` (bytes as a latin1 or UTF-8 string, as CONNECT had it) is the one of the bcrypt `hash`. */
export function comparePassword({ password, hash }: { password: string; hash: string }): boolean {
  // `$2x$` and `$2y$` are the corrected `$2a$` under other names; the library knows `$2a$`, `$2b$` and `$2y$`.
  return compareSync(password, hash.replace(/^\$2x\$/, '$2a$'));
}
