import type { BlockCache } from './chunk.ts';
import type { CipherName } from './cipher.ts';
import type { DamageReport } from './contract.ts';
import type { Disk } from './disk.ts';
import type { WriteAheadLog } from './log.ts';
import type { StoredStream } from './stream.ts';

/** Compresses bytes on another thread. */
export interface Compressor {
  /** Raw deflate. @returns something to ask for the result: null while it is under way */
  start(bytes: Uint8Array): { poll(): Uint8Array | null };
}

/** What the streams of one store share. */
export interface StoreParts {
  readonly disk: Disk;
  readonly log: WriteAheadLog;
  readonly cache: BlockCache;
  readonly random: (bytes: number) => Uint8Array;
  /** Null: files are plain. */
  readonly cipher: CipherName | null;
  readonly master: Uint8Array;
  readonly compressor: Compressor;
  readonly report: (report: DamageReport) => void;
  /** Streams with enough unwritten bytes to be worth a write. */
  readonly flushQueue: StoredStream[];
  /** Whether changes are part of a group at the moment, and whether the next one is its first. */
  readonly group: { open: boolean; first: boolean };
}
