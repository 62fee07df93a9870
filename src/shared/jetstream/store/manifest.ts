import { MessageBlock } from './block.ts';
import { BlockFile } from './block-file.ts';
import { cipherCode, cipherOfCode, type StreamCipher } from './cipher.ts';
import type { Disk } from './disk.ts';
import { type BodyReader, BodyWriter } from './envelope.ts';

/**
 * The manifest of a stream: everything about it as of one log position, but the messages and what can be read from them. A
 * restart loads it and replays the log from there.
 *
 * Body: uid, account, name, flags, block bytes, cipher, wrapped key, log position, first and last sequence, last time, next block
 * number; metadata (key, value); consumers (key, snapshot, packed records); blocks (figures, file, footer, removed bitmap).
 * Numbers are float64, texts and bytes are preceded by their length.
 */

export const MANIFEST_MAGIC = 0x464d534e;

export interface ConsumerState {
  snapshot: Uint8Array | null;
  /** Records since, each preceded by its length (u32). */
  packed: Uint8Array;
}

export interface Manifest {
  uid: number;
  account: string;
  name: string;
  compression: boolean;
  blockBytes: number;
  /** Null: the stream's files are plain. */
  cipher: StreamCipher['cipher'] | null;
  wrappedKey: Uint8Array;
  /** Everything below is in here. */
  position: number;
  firstSeq: number;
  lastSeq: number;
  lastMs: number;
  lastNanos: number;
  nextBlockNumber: number;
  metadata: Map<string, Uint8Array>;
  consumers: Map<string, ConsumerState>;
}

const FLAG_CLOSED = 1;
const FLAG_EXTENTS = 2;
const FLAG_FOOTER = 4;
const FLAG_ERASING = 8;
const FLAG_DAMAGED = 16;
const FLAG_SQUEEZED = 32;
const FLAG_PLAIN = 64;
/** No message has headers. Manifests of before this flag say so of no block. */
const FLAG_BARE = 128;

export function encodeManifest(manifest: Manifest, blocks: readonly MessageBlock[]): Uint8Array {
  const writer = new BodyWriter();
  writer.number(manifest.uid);
  writer.text(manifest.account);
  writer.text(manifest.name);
  writer.number(manifest.compression ? 1 : 0);
  writer.number(manifest.blockBytes);
  writer.number(cipherCode(manifest.cipher));
  writer.bytes(manifest.wrappedKey);
  writer.number(manifest.position);
  writer.number(manifest.firstSeq);
  writer.number(manifest.lastSeq);
  writer.number(manifest.lastMs);
  writer.number(manifest.lastNanos);
  writer.number(manifest.nextBlockNumber);
  writer.number(manifest.metadata.size);
  for (const [key, value] of manifest.metadata) {
    writer.text(key);
    writer.bytes(value);
  }
  writer.number(manifest.consumers.size);
  for (const [key, state] of manifest.consumers) {
    writer.text(key);
    writer.number(state.snapshot === null ? 0 : 1);
    writer.bytes(state.snapshot ?? new Uint8Array(0));
    writer.bytes(state.packed);
  }
  writer.number(blocks.length);
  for (const block of blocks) encodeBlock(writer, block);
  return writer.finish();
}

function encodeBlock(writer: BodyWriter, block: MessageBlock): void {
  const file = block.file!;
  const footer = file.footer;
  writer.number(block.number);
  writer.number(block.firstSeq);
  writer.number(block.lastSeq);
  writer.number(block.messages);
  writer.number(block.bytes);
  writer.number(block.liveBytes);
  writer.number(block.length);
  writer.number(block.firstMs);
  writer.number(block.firstNanos);
  writer.number(block.lastMs);
  writer.number(block.lastNanos);
  writer.number(block.ttlMessages);
  writer.number(
    (block.closed ? FLAG_CLOSED : 0) |
      (file.extents ? FLAG_EXTENTS : 0) |
      (footer === null ? 0 : FLAG_FOOTER) |
      (block.erasing ? FLAG_ERASING : 0) |
      (block.damaged ? FLAG_DAMAGED : 0) |
      (block.squeezed ? FLAG_SQUEEZED : 0) |
      (file.plain ? FLAG_PLAIN : 0) |
      (block.hasHeaders ? 0 : FLAG_BARE),
  );
  writer.number(file.end);
  if (footer !== null) {
    writer.number(footer.position);
    writer.number(footer.summaryBytes);
    writer.number(footer.arraysBytes);
  } else if (file.extents) {
    writer.number(file.extentStarts.length);
    for (let i = 0; i < file.extentStarts.length; i++) {
      writer.number(file.extentStarts[i]!);
      writer.number(file.extentPositions[i]!);
    }
  }
  const words = block.removed === null ? 0 : Math.min(block.removed.length, Math.ceil(block.span / 32));
  const bitmap = block.removed === null ? new Uint32Array(0) : block.removed.slice(0, words);
  // The next start looks for them again.
  for (const sequence of block.missing ?? []) {
    const i = sequence - block.firstSeq;
    bitmap[i >>> 5] = bitmap[i >>> 5]! & ~(1 << (i & 31));
  }
  writer.bytes(new Uint8Array(bitmap.buffer));
}

/** @throws RangeError when the body isn't a manifest's */
export function decodeManifest(reader: BodyReader): Manifest {
  const manifest: Manifest = {
    uid: reader.number(),
    account: reader.text(),
    name: reader.text(),
    compression: reader.number() === 1,
    blockBytes: reader.number(),
    cipher: cipherOfCode(reader.number()) ?? null,
    wrappedKey: reader.bytes(),
    position: reader.number(),
    firstSeq: reader.number(),
    lastSeq: reader.number(),
    lastMs: reader.number(),
    lastNanos: reader.number(),
    nextBlockNumber: reader.number(),
    metadata: new Map(),
    consumers: new Map(),
  };
  for (let left = reader.number(); left > 0; left--) manifest.metadata.set(reader.text(), reader.bytes());
  for (let left = reader.number(); left > 0; left--) {
    const key = reader.text();
    const present = reader.number() === 1;
    const snapshot = reader.bytes();
    manifest.consumers.set(key, { snapshot: present ? snapshot : null, packed: reader.bytes() });
  }
  return manifest;
}

/** Reads the blocks that follow the manifest's own fields. */
export function decodeBlocks(
  reader: BodyReader,
  disk: Disk,
  directory: string,
  uid: number,
  cipher: StreamCipher | null,
): MessageBlock[] {
  const blocks: MessageBlock[] = [];
  for (let left = reader.number(); left > 0; left--) {
    const block = new MessageBlock(reader.number(), reader.number());
    block.lastSeq = reader.number();
    block.messages = reader.number();
    block.bytes = reader.number();
    block.liveBytes = reader.number();
    block.length = reader.number();
    block.firstMs = reader.number();
    block.firstNanos = reader.number();
    block.lastMs = reader.number();
    block.lastNanos = reader.number();
    block.ttlMessages = reader.number();
    const flags = reader.number();
    block.closed = (flags & FLAG_CLOSED) !== 0;
    block.erasing = (flags & FLAG_ERASING) !== 0;
    block.damaged = (flags & FLAG_DAMAGED) !== 0;
    block.squeezed = (flags & FLAG_SQUEEZED) !== 0;
    block.hasHeaders = (flags & FLAG_BARE) === 0;
    const extents = (flags & FLAG_EXTENTS) !== 0;
    const path = blockPath(directory, block.number);
    const own = (flags & FLAG_PLAIN) === 0 ? cipher : null;
    const file = new BlockFile(disk, path, uid, block.number, block.firstSeq, extents, own, true);
    file.end = reader.number();
    file.written = block.length;
    if ((flags & FLAG_FOOTER) !== 0) {
      file.footer = {
        position: reader.number(),
        summaryBytes: reader.number(),
        arraysBytes: reader.number(),
      };
    } else if (extents) {
      for (let count = reader.number(); count > 0; count--) {
        file.extentStarts.push(reader.number());
        file.extentPositions.push(reader.number());
      }
    }
    block.file = file;
    const bitmap = reader.bytes();
    if (bitmap.length > 0) block.removed = new Uint32Array(bitmap.buffer);
    blocks.push(block);
  }
  return blocks;
}

export function blockPath(directory: string, number: number): string {
  return `${directory}/${String(number).padStart(8, '0')}.blk`;
}
