import { type ConfEntry, type ConfMap, type ConfValue, formatPosition, type Position } from './conf-value.ts';
import { NOT_YET, type NotYet } from './not-yet.ts';
import { OptionError } from './option-error.ts';
import { quote } from './quote.ts';

/**
 * Reading blocks of options: every option is a row of a table, and everything wrong with a file is reported at once.
 *
 * A row's `read` throws `OptionError` for its own entry; the reader notes it and goes on with the next. The tables are
 * also what deploy/OPTIONS.md is made from, so an option can't be read without being documented.
 */

/** One option of a block, for the reference. */
export interface OptionDescription {
  name: string;
  aliases: readonly string[];
  /** As the reference prints it: `integer`, `duration`, `map`. */
  type: string;
  default: string;
  /** `yes`, `no`, or what may change. */
  reload: string;
  doc: string;
  /** Rows of the block the option opens. */
  children?: readonly OptionDescription[];
}

/** The same for the reader. */
export interface OptionRow<Draft> extends OptionDescription {
  read(reader: Reader, entry: ConfEntry, draft: Draft): void;
}

export interface BlockStyle {
  /** Path of the block, for the table of what isn't supported yet: `authorization`, `accounts.users`. */
  path: string;
  /** Wording of an unknown key; nats-server has its own in some blocks. */
  unknown?: (quotedName: string) => string;
  /** Entries that a variable took may be unknown. */
  allowVariables?: boolean;
}

export class Reader {
  readonly errors: string[] = [];
  /** Misuse that nats-server warns of too; a configuration check fails on these. */
  readonly warnings: string[] = [];
  /** What natsd can't do yet and goes on without. */
  readonly notices: string[] = [];
  readonly readFile: (path: string) => Uint8Array;
  /** Above 0 inside a block that is ignored as a whole: what it contains can't weaken anything. */
  #ignoredDepth = 0;

  constructor(readFile: (path: string) => Uint8Array) {
    this.readFile = readFile;
  }

  error(position: Position, text: string): void {
    this.errors.push(`${formatPosition(position)}: ${text}`);
  }

  warn(position: Position, text: string): void {
    this.warnings.push(`${formatPosition(position)}: ${text}`);
  }

  /** The warning of an option whose value works but was surely not meant so. */
  warnUse(entry: ConfEntry, reason: string): void {
    this.warn(entry.position, `invalid use of field ${quote(entry.key)}: ${reason}`);
  }

  /** Reads every entry of a block by the row of its name (aliases, any case). */
  readBlock<Draft>(map: ConfMap, rows: readonly OptionRow<Draft>[], draft: Draft, style: BlockStyle): void {
    const byName = rowsByName(rows);
    for (const entry of map.entries.values()) {
      const row = byName.get(entry.key.toLowerCase());
      if (row === undefined) {
        if (!entry.usedAsVariable || style.allowVariables === false) this.#unknown(entry, byName, style);
        continue;
      }
      const path = style.path === '' ? row.name : `${style.path}.${row.name}`;
      const notYet = this.#ignoredDepth === 0 ? NOT_YET.get(path) : undefined;
      if (notYet === undefined || isHarmless(notYet, entry.value)) {
        this.attempt(entry, () => row.read(this, entry, draft));
        continue;
      }
      this.#ignoredDepth++;
      this.attempt(entry, () => row.read(this, entry, draft));
      this.#ignoredDepth--;
      this.#reportNotYet(entry, path, notYet);
    }
  }

  /** Runs one piece of reading; an OptionError in it becomes an error of the entry. */
  attempt(entry: { readonly position: Position }, read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
      this.error(error.position ?? entry.position, error.message);
    }
  }

  #unknown(entry: ConfEntry, byName: Map<string, unknown>, style: BlockStyle): void {
    const text = style.unknown?.(quote(entry.key)) ?? `unknown field ${quote(entry.key)}`;
    const nearest = nearestName(entry.key.toLowerCase(), byName.keys());
    this.error(entry.position, nearest === null ? text : `${text}, did you mean ${quote(nearest)}?`);
  }

  #reportNotYet(entry: ConfEntry, path: string, notYet: NotYet): void {
    const name = quote(path.split('.').at(-1)!);
    if (notYet.action === 'stop') {
      this.error(entry.position, `option ${name} is not supported by natsd yet: ${notYet.reason}`);
    } else {
      this.notices.push(
        `${formatPosition(entry.position)}: option ${name} is not supported by natsd yet and is ignored: ${notYet.reason}`,
      );
    }
  }
}

function rowsByName<Draft>(rows: readonly OptionRow<Draft>[]): Map<string, OptionRow<Draft>> {
  const byName = new Map<string, OptionRow<Draft>>();
  for (const row of rows) {
    byName.set(row.name, row);
    for (const alias of row.aliases) byName.set(alias, row);
  }
  return byName;
}

function isHarmless(notYet: NotYet, value: ConfValue): boolean {
  if (notYet.harmless === undefined) return false;
  if (notYet.harmless === 'false') return value.kind === 'boolean' && !value.value;
  return notYet.harmless(value);
}

/** The known name that differs least from a mistyped one, `null` when none is near (two edits, one for short names). */
function nearestName(name: string, known: Iterable<string>): string | null {
  let best: string | null = null;
  let bestDistance = name.length <= 3 ? 2 : 3;
  if (name.length > 64) return null;
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) >= bestDistance) continue;
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`. */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let distance = Math.min(replace, previous[j]! + 1, current[j - 1]! + 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) distance = Math.min(distance, beforePrevious[j - 2]! + 1);
      current.push(distance);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length]!;
}
