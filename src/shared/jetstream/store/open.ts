import type { MessageBlock } from './block.ts';
import { type DroppedStream, manifestKey, removeStreamFiles } from './checkpoint.ts';
import { LITTLE_ENDIAN } from './checksum.ts';
import { BlockCache } from './chunk.ts';
import {
  type CipherName,
  masterKey,
  NONCE_BYTES,
  newStreamKey,
  type StreamCipher,
  unwrapKey,
  wrapKey,
} from './cipher.ts';
import type { DamageReport, Store, StoreFailure } from './contract.ts';
import { type Disk, DiskError } from './disk.ts';
import { BodyReader, openBody, readEnvelope } from './envelope.ts';
import { readSummary, summaryPresence, summaryRows } from './footer.ts';
import {
  CACHE_BYTES,
  CHECKPOINT_LOG_BYTES,
  INDEX_CACHE_BYTES,
  LOG_MAX_BYTES,
  SEGMENT_BYTES,
} from './limits.ts';
import { WriteAheadLog } from './log.ts';
import type { ResumePoint } from './log-layout.ts';
import { LogReader, openSegments, sortHeadless } from './log-recovery.ts';
import { decodeBlocks, decodeManifest, MANIFEST_MAGIC } from './manifest.ts';
import { Replay } from './replay.ts';
import { attempt, keyProof, newest, ROOT_PATHS, type Root, readRoot, weakCopy, writeRoot } from './root.ts';
import type { Compressor, StoreParts } from './shared.ts';
import { JetStreamStore } from './store.ts';
import { StoredStream } from './stream.ts';

/**
 * Opening a store: lock, root, manifests, log.
 *
 * Nothing is written before it is known that the directory is a store of this version, with this key, and that nobody else
 * has it. What is damaged is reported and left where it is; nothing is taken for an orphan and removed, but what says itself
 * that it was dropped.
 */

export interface StoreOptions {
  /** Of a new store; an existing one keeps its own. A multiple of 512. */
  readonly segmentBytes?: number;
  readonly logMaxBytes?: number;
  readonly checkpointBytes?: number;
  readonly cacheBytes?: number;
  readonly indexCacheBytes?: number;
  /** Null: no encryption. */
  readonly cipher: CipherName | null;
  /** Configured key; unused without a cipher. */
  readonly key: string;
  /** The key before, while keys are changed; empty: none. */
  readonly previousKey: string;
}

export interface StoreHost {
  readonly disk: Disk;
  /** Fresh random bytes: keys, salts, nonces. */
  readonly random: (bytes: number) => Uint8Array;
  readonly compressor: Compressor;
}

/** Thrown inside, returned by `openStore`. */
class OpenError extends Error {
  override readonly name = 'OpenError';
  readonly failure: StoreFailure;

  constructor(code: StoreFailure['code'], message: string) {
    super(message);
    this.failure = { code, message };
  }
}

/** Opens the store in the disk's directory, or makes one when that is empty. */
export function openStore(host: StoreHost, options: StoreOptions): Store | StoreFailure {
  if (!LITTLE_ENDIAN) return { code: 'format', message: 'the store needs a little-endian machine' };
  try {
    const holder = host.disk.lock();
    if (holder !== null) return { code: 'locked', message: `the store directory is in use by ${holder}` };
  } catch (error) {
    if (error instanceof DiskError) return failureOf(error);
    throw error;
  }
  try {
    return new Opening(host, options).run();
  } catch (error) {
    host.disk.unlock(true);
    if (error instanceof OpenError) return error.failure;
    if (error instanceof DiskError) return failureOf(error);
    throw error;
  }
}

function failureOf({ code, message }: DiskError): StoreFailure {
  return { code: code === 'no_space' ? 'no_space' : 'io', message };
}

/** Whether `openStore` refused. */
export function isFailure(result: Store | StoreFailure): result is StoreFailure {
  return 'code' in result;
}

class Opening {
  readonly #host: StoreHost;
  readonly #options: StoreOptions;
  readonly #reports: DamageReport[] = [];
  /** Present key first. */
  readonly #masters: Uint8Array[];
  readonly #streams = new Map<number, StoredStream>();
  readonly #positions = new Map<number, number>();
  readonly #dropped: DroppedStream[] = [];
  readonly #rewrapped: StoredStream[] = [];

  constructor(host: StoreHost, options: StoreOptions) {
    this.#host = host;
    this.#options = options;
    this.#masters = options.cipher === null ? [] : [masterKey(options.key)];
    if (options.cipher !== null && options.previousKey !== '')
      this.#masters.push(masterKey(options.previousKey));
  }

  run(): JetStreamStore {
    const { disk } = this.#host;
    const root = this.#openRoot();
    disk.makeDirectory('log');
    disk.makeDirectory('streams');
    const found = openSegments(disk, root.checkpoint, root.segmentBytes);
    if (found.gap) this.#report('log', 0, `the log should begin at ${root.checkpoint} and does not`);
    // The log's parts are needed by streams before it can be opened: reading comes first, then writing behind its end.
    const parts = this.#parts(root);
    this.#readManifests(parts, root);
    disk.syncDirectory('streams');
    const replay = new Replay(this.#streams, this.#positions, this.#dropped, this.#reports, (uid, value) =>
      this.#created(parts, root, uid, value),
    );
    const reader = new LogReader(replay, this.#masters, root.segmentBytes);
    const end = reader.read(found.segments, root.checkpoint);
    replay.finish();
    sortHeadless(found, found.gap || reader.missing);
    // What was read is what the store goes on from, and the run before may have been killed before it was on the disk; or
    // before the length of a spare was, and a segment that a crash made shorter looks damaged.
    for (const { file } of found.segments) file.sync();
    for (const file of found.spares) file.sync();
    disk.syncDirectory('log');
    for (const file of found.unreadable) this.#report(file, 0, 'unreadable log segment, left alone');
    this.#changeKey(root, Math.max(end, root.checkpoint));
    const log = this.#openLog(found, end, root, this.#resumePoint(reader, root));
    parts.log = log;
    // A manifest under the key before would be lost with that key.
    for (const stream of this.#rewrapped) if (stream.dirtyFrom < 0) stream.dirtyFrom = log.written;
    if (root.checkpoint === 0) {
      // From now on a store without a log is known to have lost it.
      root.checkpoint = log.synced;
      writeRoot(disk, root);
    }
    this.#finishDrops();
    const checkpointBytes = this.#options.checkpointBytes ?? CHECKPOINT_LOG_BYTES;
    return new JetStreamStore(parts, root, this.#streams, this.#dropped, checkpointBytes, this.#reports);
  }

  #report(file: string, bytes: number, message: string, account = '', stream = ''): void {
    this.#reports.push({ file, account, stream, firstSeq: 0, lastSeq: 0, bytes, message });
  }

  #parts(root: Root): StoreParts & { log: WriteAheadLog } {
    const { disk, random, compressor } = this.#host;
    const options = this.#options;
    return {
      disk,
      random,
      compressor,
      log: this.#newLog(root, [], [], root.checkpoint, 0),
      cache: new BlockCache(options.cacheBytes ?? CACHE_BYTES, options.indexCacheBytes ?? INDEX_CACHE_BYTES),
      cipher: options.cipher,
      master: this.#masters[0] ?? new Uint8Array(0),
      report: (report) => this.#reports.push(report),
      group: { open: false, first: false },
      flushQueue: [],
    };
  }

  #newLog(
    root: Root,
    segments: ConstructorParameters<typeof WriteAheadLog>[3],
    spares: ConstructorParameters<typeof WriteAheadLog>[4],
    end: number,
    nextName: number,
  ): WriteAheadLog {
    const options = {
      segmentBytes: root.segmentBytes,
      maxBytes: this.#options.logMaxBytes ?? LOG_MAX_BYTES,
      cipher: this.#options.cipher,
      master: this.#masters[0] ?? new Uint8Array(0),
    };
    return new WriteAheadLog(this.#host.disk, options, this.#host.random, segments, spares, end, nextName);
  }

  /** Where the log may go on in its last segment, which has one cipher and one key. */
  #resumePoint({ resume }: LogReader, root: Root): ResumePoint | null {
    if (resume === null || resume.position < root.checkpoint || root.previousProof.length > 0) return null;
    return resume.cipher === this.#options.cipher ? resume : null;
  }

  /** @param resume where to go on when a full disk has no room for a fresh segment; null: nowhere */
  #openLog(
    found: ReturnType<typeof openSegments>,
    end: number,
    root: Root,
    resume: ResumePoint | null,
  ): WriteAheadLog {
    const log = this.#newLog(
      root,
      found.segments,
      found.spares,
      Math.max(end, root.checkpoint),
      found.nextName,
    );
    try {
      log.open();
    } catch (error) {
      if (!(error instanceof DiskError) || error.code !== 'no_space' || resume === null) throw error;
      log.resume(resume);
    }
    const failure = log.commit(true);
    if (failure !== null) throw new OpenError(failure.code, failure.message);
    return log;
  }

  #sync(path: string): void {
    const file = this.#host.disk.open(path, false);
    try {
      file.sync();
    } finally {
      file.close();
    }
  }

  #openRoot(): Root {
    const { disk } = this.#host;
    const { root, states } = readRoot(disk);
    if (states.includes('version')) {
      throw new OpenError(
        'format',
        'the store was written by another version of natsd; it was left untouched',
      );
    }
    if (root === null) return this.#newRoot(states.every((state) => state === 'missing'));
    root.weakCopy = weakCopy(states);
    this.#checkKey(root);
    // Segments before its checkpoint are used again, so it has to be on the disk: its writer may have been killed.
    for (const [copy, path] of ROOT_PATHS.entries()) if (states[copy] !== 'missing') this.#sync(path);
    disk.syncDirectory('');
    root.generation++;
    root.cipher = this.#options.cipher;
    return root;
  }

  #checkKey(root: Root): void {
    if (root.keyProof.length === 0) return;
    if (this.#options.cipher === null)
      throw new OpenError('key', 'the store is encrypted and no key is configured');
    const fits = (proof: Uint8Array) => this.#masters.some((master) => sameBytes(keyProof(master), proof));
    if (!fits(root.keyProof)) throw new OpenError('key', 'the encryption key does not fit the store');
    if (root.previousProof.length > 0 && !fits(root.previousProof))
      throw new OpenError(
        'key',
        'the change of the encryption key was cut short, both keys are needed once more',
      );
  }

  /**
   * The root has to know of a new key before anything is written under it: a start with the old key alone would take the
   * log of the new one for damaged.
   */
  #changeKey(root: Root, position: number): void {
    const proof = this.#masters[0] === undefined ? root.keyProof : keyProof(this.#masters[0]);
    if (sameBytes(proof, root.keyProof)) return;
    root.previousProof = root.keyProof;
    root.keyProof = proof;
    root.keyChangedAt = position;
    writeRoot(this.#host.disk, root);
  }

  #newRoot(missing: boolean): Root {
    const { disk } = this.#host;
    const names = disk
      .list('')
      .filter((name) => !/^lock(\.\d+)?$/.test(name) && !ROOT_PATHS.includes(name as 'root.a'));
    if (names.length > 0) {
      const what = missing ? 'is not a store of natsd' : 'has no readable root';
      throw new OpenError(
        'format',
        `the store directory ${what} and not empty (${names[0]}); it was left untouched`,
      );
    }
    const root: Root = {
      generation: 1,
      segmentBytes: this.#options.segmentBytes ?? SEGMENT_BYTES,
      nextUid: 1,
      weakCopy: -1,
      checkpoint: 0,
      cipher: this.#options.cipher,
      keyProof: this.#masters[0] === undefined ? new Uint8Array(0) : keyProof(this.#masters[0]),
      previousProof: new Uint8Array(0),
      keyChangedAt: 0,
    };
    writeRoot(disk, root);
    disk.makeDirectory('log');
    disk.makeDirectory('streams');
    disk.syncDirectory('');
    return root;
  }

  #readManifests(parts: StoreParts, root: Root): void {
    for (const name of this.#host.disk.list('streams')) {
      if (name.endsWith('.dropped')) {
        this.#dropped.push({
          directory: `streams/${name}`,
          position: -1,
          neededFrom: Number.POSITIVE_INFINITY,
        });
        continue;
      }
      if (!/^\d{8,}$/.test(name)) continue;
      root.nextUid = Math.max(root.nextUid, Number(name) + 1);
      this.#readManifest(parts, root, `streams/${name}`, Number(name));
    }
  }

  #readManifest(parts: StoreParts, root: Root, directory: string, uid: number): void {
    const paths = [`${directory}/manifest.a`, `${directory}/manifest.b`];
    const states = paths.map((path) => readEnvelope(this.#host.disk, path, MANIFEST_MAGIC));
    if (states.includes('version'))
      throw new OpenError('format', `${directory} was written by another version`);
    const envelope = newest(states);
    if (envelope === null) {
      // Without any the stream is in the log, or the crash came before it was created.
      const damaged = states.includes('damaged') && !states.includes('missing');
      if (damaged)
        this.#report(directory, 0, 'both copies of the manifest are damaged; the stream is left alone');
      return;
    }
    let body: Uint8Array | null = envelope.body;
    let current = envelope.encrypted === (this.#options.cipher !== null);
    if (envelope.encrypted) {
      body = this.#openManifest(envelope, this.#masters[0], uid);
      if (body === null) {
        current = false;
        body = this.#openManifest(envelope, this.#masters[1], uid);
      }
      if (body === null) throw new OpenError('key', `the encryption key does not fit ${directory}`);
    }
    const stream = this.#loadStream(parts, new BodyReader(body), directory, uid, envelope.generation);
    stream.published = !states.includes('missing');
    // One that the root's checkpoint does not cover may not have been synced before the last run was killed.
    if (this.#positions.get(uid)! >= root.checkpoint) {
      for (const [copy, path] of paths.entries()) if (states[copy] !== 'missing') this.#sync(path);
      this.#host.disk.syncDirectory(directory);
    }
    if (weakCopy(states) < 0) this.#removeStrays(directory, stream);
    const converting = stream.messageSet.blocks.some(({ file }) => stream.cipher !== null && file!.plain);
    if (!current || converting) this.#rewrapped.push(stream);
    stream.weakCopy = weakCopy(states);
    // Until both copies are whole and the same, the log must serve the older one too.
    if (stream.weakCopy >= 0) stream.dirtyFrom = root.checkpoint;
  }

  /** The cipher that was configured then may have been the other one. */
  #openManifest(
    envelope: Parameters<typeof openBody>[0],
    master: Uint8Array | undefined,
    uid: number,
  ): Uint8Array | null {
    if (master === undefined) return null;
    const key = manifestKey(master, uid);
    return openBody(envelope, 'chacha20-poly1305', key) ?? openBody(envelope, 'aes-256-gcm', key);
  }

  #loadStream(
    parts: StoreParts,
    reader: BodyReader,
    directory: string,
    uid: number,
    generation: number,
  ): StoredStream {
    const manifest = decodeManifest(reader);
    const { cipher, wrapped } = this.#streamKey(manifest.cipher, manifest.wrappedKey, directory);
    const stream = new StoredStream(
      parts,
      { ...manifest, storage: 'file', firstSeq: 0 },
      uid,
      cipher,
      wrapped,
    );
    stream.generation = generation;
    for (const [key, value] of manifest.metadata) stream.metadata.set(key, value);
    stream.consumers.restore(manifest.consumers);
    const set = stream.messageSet;
    set.nextBlockNumber = manifest.nextBlockNumber;
    set.firstSeq = manifest.firstSeq;
    set.lastSeq = manifest.lastSeq;
    set.lastMs = manifest.lastMs;
    set.lastNanos = manifest.lastNanos;
    const blocks = decodeBlocks(
      reader,
      this.#host.disk,
      directory,
      uid,
      manifest.cipher === null ? null : cipher,
    );
    for (const block of blocks) loadBlock(stream, block);
    // A block in clear takes no more messages; it is written anew, encrypted (rewrite.ts).
    if (cipher !== null) for (const block of set.blocks) if (block.file!.plain) set.close(block);
    this.#streams.set(uid, stream);
    this.#positions.set(uid, manifest.position);
    return stream;
  }

  /** Files that a durable manifest stopped naming, and whose removal the crash undid. */
  #removeStrays(directory: string, { messageSet }: StoredStream): void {
    const { nextBlockNumber } = messageSet;
    const paths = [
      ...messageSet.blocks.map((block) => block.file!),
      ...messageSet.retired.map(({ file }) => file),
    ];
    const named = new Set(paths.map(({ path }) => path));
    for (const name of this.#host.disk.list(directory)) {
      const number = /^(\d{8,})\.blk$/.exec(name);
      if (number === null || named.has(`${directory}/${name}`) || Number(number[1]) >= nextBlockNumber)
        continue;
      attempt(() => this.#host.disk.unlink(`${directory}/${name}`));
    }
  }

  /** @param cipher null: the stream was made without encryption; it gets a key when one is configured now */
  #streamKey(
    cipher: CipherName | null,
    wrappedKey: Uint8Array,
    directory: string,
  ): { cipher: StreamCipher | null; wrapped: Uint8Array } {
    const { random } = this.#host;
    if (cipher === null) return newStreamKey(this.#options.cipher, this.#masters[0], random);
    for (const master of this.#masters) {
      const key = unwrapKey(cipher, master, wrappedKey);
      if (key === null) continue;
      const current = this.#masters[0]!;
      const wrapped = master === current ? wrappedKey : wrapKey(cipher, current, random(NONCE_BYTES), key);
      return { cipher: { cipher, key, random }, wrapped };
    }
    throw new OpenError('key', `the encryption key does not fit ${directory}`);
  }

  #created(
    parts: StoreParts,
    root: Root,
    uid: number,
    value: { spec: StoredStreamSpec; wrappedKey: Uint8Array },
  ): StoredStream {
    root.nextUid = Math.max(root.nextUid, uid + 1);
    const { spec, wrappedKey } = value;
    const { cipher, wrapped } = this.#createdKey(wrappedKey, uid);
    const stream = new StoredStream(parts, spec, uid, cipher, wrapped);
    return stream;
  }

  /** The record doesn't say which cipher wrapped the key; only one fits. */
  #createdKey(wrappedKey: Uint8Array, uid: number): { cipher: StreamCipher | null; wrapped: Uint8Array } {
    if (wrappedKey.length === 0) return this.#streamKey(null, wrappedKey, '');
    for (const cipher of ['chacha20-poly1305', 'aes-256-gcm'] as const) {
      for (const master of this.#masters) {
        if (unwrapKey(cipher, master, wrappedKey) !== null)
          return this.#streamKey(cipher, wrappedKey, `stream ${uid}`);
      }
    }
    throw new OpenError('key', `the encryption key does not fit stream ${uid}`);
  }

  #finishDrops(): void {
    for (const dropped of [...this.#dropped]) {
      if (dropped.position >= 0) continue;
      if (attempt(() => removeStreamFiles(this.#host.disk, dropped.directory))) {
        this.#dropped.splice(this.#dropped.indexOf(dropped), 1);
      }
    }
  }
}

type StoredStreamSpec = ConstructorParameters<typeof StoredStream>[1];

/** Counts a block's messages into the stream; reads its index only when something was removed since the footer. */
function loadBlock(stream: StoredStream, block: MessageBlock): void {
  const set = stream.messageSet;
  const { table } = set;
  const file = block.file!;
  const summary = file.footer === null ? null : readSummary(file);
  if (summary !== null && summary.span >= block.span) {
    block.presence = summaryPresence(summary);
    if (block.removed === null && summary.span === block.span) {
      const rows = summaryRows(summary, table, true);
      for (let local = 0; local < summary.subjects; local++) {
        const first = block.firstSeq + summary.rows[local * 4]!;
        table.addMany(
          rows[local]!,
          first,
          block.firstSeq + summary.rows[local * 4 + 1]!,
          summary.rows[local * 4 + 2]!,
        );
      }
      set.adopt(block);
      return;
    }
  }
  loadIndexed(stream, block);
}

function loadIndexed(stream: StoredStream, block: MessageBlock): void {
  const set = stream.messageSet;
  const index = set.reader.recover(block);
  const isWhole = set.reader.readError === '';
  let messages = 0;
  let bytes = 0;
  for (let sequence = block.nextLive(0); sequence !== 0; sequence = block.nextLive(sequence + 1)) {
    const size = index.sizes[sequence - block.firstSeq]!;
    if (size === 0) {
      block.mark(sequence);
      if (isWhole) set.noteLost(block, sequence);
      else if (block.missing === null) block.missing = [sequence];
      else block.missing.push(sequence);
      continue;
    }
    messages++;
    bytes += (size & 0x7fff_ffff) >>> 0;
  }
  block.messages = messages;
  block.bytes = bytes;
  if (block.missing !== null) {
    set.noteUnreadable(block, `${block.missing.length} messages`);
    // What it says of each message holds for this run only.
    set.close(block);
  }
  if (messages > 0 || block.missing !== null) set.adopt(block);
  else if (file(block).exists) set.retired.push({ file: file(block), aside: block.damaged });
}

function file(block: MessageBlock): NonNullable<MessageBlock['file']> {
  return block.file!;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
