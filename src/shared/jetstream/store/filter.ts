import { latin1Bytes } from '../../base/latin1.ts';
import type { SubjectFilter } from './contract.ts';
import { PatternTrie } from './pattern-trie.ts';
import type { SubjectTable } from './subject-table.ts';

/**
 * A compiled subject filter that remembers, for each row of the stream's subject table, whether it matches. A message's
 * match is then one array access; each subject is compared once for each filter, and only when it is met.
 *
 * A byte a row: the row's version in the upper six bits, the answer in the lower two (0 unknown, 1 no, 2 yes).
 */

const UNKNOWN = 0;
const NO = 1;
const YES = 2;

export class CompiledFilter implements SubjectFilter {
  readonly patterns: readonly string[];
  readonly all: boolean;
  /** The patterns as bytes when none has a wildcard, else null. */
  readonly literals: readonly Uint8Array[] | null;
  readonly #table: SubjectTable;
  /** Made when a subject is met; one literal never needs it. */
  #trie: PatternTrie | null = null;
  /** Rows of the literals, and the state of the table they were found in. */
  #rows: readonly number[] = [];
  #isRow: ReadonlySet<number> = new Set();
  #rowsAt = -1;
  #answers = new Uint8Array(0);
  #epoch: number;

  constructor(patterns: readonly string[], table: SubjectTable) {
    this.patterns = patterns;
    this.all = patterns.length === 0 || patterns.includes('>');
    this.#table = table;
    this.#epoch = table.epoch;
    const wild = patterns.some((pattern) => /(^|\.)(\*|>)(\.|$)/.test(pattern));
    this.literals = this.all || wild ? null : [...new Set(patterns)].map((pattern) => latin1Bytes(pattern));
  }

  /** Whether messages of this row match. */
  matches(row: number): boolean {
    if (this.all) return true;
    if (this.#rowsAt === this.#table.changes) return this.#isRow.has(row);
    if (this.#epoch !== this.#table.epoch) {
      this.#answers.fill(0);
      this.#epoch = this.#table.epoch;
    }
    if (row >= this.#answers.length) this.#grow();
    const version = this.#table.version(row) << 2;
    const remembered = this.#answers[row]!;
    if ((remembered & 3) !== UNKNOWN && (remembered & ~3) === version) return (remembered & 3) === YES;
    this.#trie ??= new PatternTrie(this.patterns.map((pattern) => latin1Bytes(pattern)));
    const match = this.#table.matches(row, this.#trie);
    this.#answers[row] = version | (match ? YES : NO);
    return match;
  }

  /** Rows of the literals that have messages; null when there are wildcards. */
  literalRows(): readonly number[] | null {
    if (this.literals === null) return null;
    if (this.#rowsAt === this.#table.changes) return this.#rows;
    const rows: number[] = [];
    for (const literal of this.literals) {
      const row = this.#table.find(literal, 0, literal.length);
      if (row >= 0) rows.push(row);
    }
    this.#rows = rows;
    this.#isRow = new Set(rows);
    this.#rowsAt = this.#table.changes;
    return rows;
  }

  #grow(): void {
    const answers = new Uint8Array(Math.max(64, this.#table.capacity));
    answers.set(this.#answers);
    this.#answers = answers;
  }
}
