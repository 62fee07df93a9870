import { latin1Bytes } from '../../base/latin1.ts';
import type { ConsumerLog } from './contract.ts';
import type { ConsumerState } from './manifest.ts';

/**
 * What a stream's consumers logged, as far as the next manifest or the engine may need it: a snapshot for each, and the records
 * since, packed. With a snapshot source records aren't kept: the next checkpoint asks for a snapshot instead.
 */

interface Entry extends ConsumerState {
  used: number;
  dirty: boolean;
  taken: boolean;
}

const NO_BYTES = new Uint8Array(0);

export class ConsumerRecords {
  source: ((key: string) => Uint8Array | null) | null = null;
  readonly #entries = new Map<string, Entry>();
  #lastKey = '';
  #lastName = NO_BYTES;

  /** The bytes of a key in records. Keys in use repeat, so the last one is remembered. */
  name(key: string): Uint8Array {
    if (key !== this.#lastKey) {
      this.#lastKey = key;
      this.#lastName = new TextEncoder().encode(key);
    }
    return this.#lastName;
  }

  /** Takes note of a record that is being logged. */
  log(key: string, record: Uint8Array): void {
    const entry = this.#entry(key);
    entry.taken = true;
    entry.dirty = true;
    if (this.source === null) pack(entry, record);
  }

  /** A record found in the log. @param name one character a byte */
  replay(name: string, record: Uint8Array): void {
    const entry = this.#entry(keyOf(name));
    entry.dirty = true;
    pack(entry, record);
  }

  /** A drop found in the log. */
  forget(name: string): void {
    this.#entries.delete(keyOf(name));
  }

  /**
   * Takes leave of the source: what it says now is kept, and may be taken again. A key the source doesn't know keeps what it had.
   */
  release(): void {
    for (const [key, entry] of this.#entries) {
      const snapshot = entry.dirty && entry.taken ? (this.source?.(key) ?? null) : null;
      if (snapshot !== null) keep(entry, snapshot);
      entry.taken = false;
    }
    this.source = null;
  }

  drop(key: string): void {
    this.#entries.delete(key);
  }

  /** What the manifest had. */
  restore(states: ReadonlyMap<string, ConsumerState>): void {
    for (const [key, { snapshot, packed }] of states) {
      this.#entries.set(key, { snapshot, packed, used: packed.length, dirty: false, taken: false });
    }
  }

  take(key: string): ConsumerLog | null {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.taken) return null;
    entry.taken = true;
    const records: Uint8Array[] = [];
    const view = new DataView(entry.packed.buffer, entry.packed.byteOffset);
    for (let at = 0; at < entry.used; ) {
      const length = view.getUint32(at, true);
      records.push(entry.packed.slice(at + 4, at + 4 + length));
      at += 4 + length;
    }
    return { snapshot: entry.snapshot?.slice() ?? null, records };
  }

  untaken(): string[] {
    return [...this.#entries].filter(([, entry]) => !entry.taken).map(([key]) => key);
  }

  /** States for a manifest: fresh snapshots of what changed, as far as there is a source. */
  states(): Map<string, ConsumerState> {
    const states = new Map<string, ConsumerState>();
    for (const [key, entry] of this.#entries) {
      const snapshot = entry.dirty && entry.taken ? (this.source?.(key) ?? null) : null;
      if (snapshot !== null) keep(entry, snapshot);
      states.set(key, { snapshot: entry.snapshot, packed: entry.packed.subarray(0, entry.used) });
    }
    return states;
  }

  #entry(key: string): Entry {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { snapshot: null, packed: NO_BYTES, used: 0, dirty: false, taken: false };
      this.#entries.set(key, entry);
    }
    return entry;
  }
}

/** The snapshot has everything that was logged. */
function keep(entry: Entry, snapshot: Uint8Array): void {
  entry.snapshot = snapshot.slice();
  entry.packed = NO_BYTES;
  entry.used = 0;
  entry.dirty = false;
}

function pack(entry: Entry, record: Uint8Array): void {
  const needed = entry.used + 4 + record.length;
  if (needed > entry.packed.length) {
    const larger = new Uint8Array(Math.max(256, entry.packed.length * 2, needed));
    larger.set(entry.packed.subarray(0, entry.used));
    entry.packed = larger;
  }
  const { packed } = entry;
  new DataView(packed.buffer, packed.byteOffset).setUint32(entry.used, record.length, true);
  packed.set(record, entry.used + 4);
  entry.used = needed;
}

function keyOf(name: string): string {
  return new TextDecoder().decode(latin1Bytes(name));
}
