import { type CipherName, cipherCode, cipherOfCode, deriveKey } from './cipher.ts';
import { type Disk, DiskError } from './disk.ts';
import {
  BodyReader,
  BodyWriter,
  type Envelope,
  type EnvelopeState,
  encodeEnvelope,
  readEnvelope,
  writeEnvelope,
} from './envelope.ts';

/**
 * The root of a store: what has to be known before anything else is read, in two copies. Body: segment bytes, next stream uid,
 * checkpoint position, cipher, proof of the key; then, while keys are being changed, where the log under the new key begins and the
 * proof of the key before.
 */

const ROOT_MAGIC = 0x544f524e;
export const ROOT_PATHS = ['root.a', 'root.b'] as const;
const PROOF_SALT = new TextEncoder().encode('natsd');

export interface Root {
  generation: number;
  segmentBytes: number;
  /** No stream had this or a higher one. */
  nextUid: number;
  /** The log is needed from here on. */
  checkpoint: number;
  cipher: CipherName | null;
  /** Copy to be written first, for it is damaged or old; -1: both are alike. */
  weakCopy: number;
  /** Fits only the key that the store's keys are wrapped with; empty: nothing is encrypted. */
  keyProof: Uint8Array;
  /** Fits only the key before, which the log below `keyChangedAt` and some manifests still need; empty: none does. */
  previousProof: Uint8Array;
  keyChangedAt: number;
}

/** What proves a master key. */
export function keyProof(master: Uint8Array): Uint8Array {
  return deriveKey(master, 'proof', PROOF_SALT);
}

/** Writes and syncs one copy after the other; throws `DiskError`. */
export function writeRoot(disk: Disk, root: Root): void {
  const writer = new BodyWriter();
  writer.number(root.segmentBytes);
  writer.number(root.nextUid);
  writer.number(root.checkpoint);
  writer.number(cipherCode(root.cipher));
  writer.bytes(root.keyProof);
  if (root.previousProof.length > 0) {
    writer.number(root.keyChangedAt);
    writer.bytes(root.previousProof);
  }
  const bytes = encodeEnvelope(ROOT_MAGIC, root.generation, writer.finish(), null);
  const paths = root.weakCopy === 1 ? [ROOT_PATHS[1], ROOT_PATHS[0]] : ROOT_PATHS;
  for (const path of paths) {
    const file = writeEnvelope(disk, path, bytes);
    try {
      file.sync();
    } finally {
      file.close();
    }
  }
  root.weakCopy = -1;
}

export interface RootState {
  root: Root | null;
  /** Of each copy. */
  states: EnvelopeState[];
}

/** Reads both copies; the newer valid one counts. */
export function readRoot(disk: Disk): RootState {
  const states = ROOT_PATHS.map((path) => readEnvelope(disk, path, ROOT_MAGIC));
  const envelope = newest(states);
  if (envelope === null) return { root: null, states };
  const reader = new BodyReader(envelope.body);
  const root: Root = {
    generation: envelope.generation,
    segmentBytes: reader.number(),
    nextUid: reader.number(),
    checkpoint: reader.number(),
    cipher: cipherOfCode(reader.number()) ?? null,
    keyProof: reader.bytes(),
    keyChangedAt: reader.ended ? 0 : reader.number(),
    previousProof: reader.ended ? new Uint8Array(0) : reader.bytes(),
    weakCopy: -1,
  };
  return { root, states };
}

/** The valid copy of the highest generation, or null. */
export function newest(states: readonly EnvelopeState[]): Envelope | null {
  let best: Envelope | null = null;
  for (const state of states) {
    if (typeof state === 'string') continue;
    if (best === null || state.generation > best.generation) best = state;
  }
  return best;
}

/** Which of two copies is damaged, missing or older than the other; -1: neither. A crash while writing leaves one such. */
export function weakCopy(states: readonly EnvelopeState[]): number {
  const [a, b] = states.map((state) => (typeof state === 'string' ? -1 : state.generation));
  if (a === b) return -1;
  return a! < b! ? 0 : 1;
}

/** Runs a clean-up that may be left for another time. @returns whether it worked */
export function attempt(action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    return false;
  }
}
