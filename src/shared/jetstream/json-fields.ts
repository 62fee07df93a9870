/**
 * From JSON nodes to typed values, with the messages of Go's decoder (jetstream-api §1.2): they are sent to clients as
 * `invalid JSON: …`, and name the field by its path from the request's type.
 *
 * A type is described by its fields, each a function that reads a node into the target. Names match without regard to
 * case, the last of equal names wins, and null is the zero value. The first problem ends the reading.
 *
 * Integers become numbers. Above 2^53 they are rounded, and the writer prints the rounded extremes as the extremes of
 * their type again: what clients send as "no limit" comes back as it was sent.
 */
import { JsonError, type JsonNode, parseJson, parseWholeJson } from './json-text.ts';
import { canonicalTime, parseTime, TimeError } from './time.ts';

/** Path from the request's type to a node: names, and indexes of array items. */
export interface JsonPath {
  readonly parent: JsonPath | null;
  readonly step: string;
  readonly isIndex: boolean;
  /** Whether fields nobody knows are refused. */
  readonly strict: boolean;
}

/** How a field is read into a target. */
export type FieldReader<T> = (target: T, node: JsonNode, at: JsonPath) => void;

/** How each field of a type is read, by its JSON name. */
export type FieldReaders<T> = ReadonlyMap<string, FieldReader<T>>;

const KIND_NAMES = {
  null: 'null',
  bool: 'bool',
  number: 'number',
  string: 'string',
  array: 'array',
  object: 'object',
} as const;

/** The descriptions of fields by their names in lower case, made once per type. */
const foldedFields = new WeakMap<object, Map<string, unknown>>();

export function fieldReaders<T>(fields: Readonly<Record<string, FieldReader<T>>>): FieldReaders<T> {
  const readers = new Map(Object.entries(fields));
  foldedFields.set(
    readers,
    new Map(Object.entries(fields).map(([name, read]) => [name.toLowerCase(), read])),
  );
  return readers;
}

function pathText(at: JsonPath): string {
  return at.parent === null ? at.step : `${pathText(at.parent)}.${at.step}`;
}

/** @param type as Go names it, `int64` or `[]string` */
export function typeMismatch(node: JsonNode, at: JsonPath, type: string): JsonError {
  const what = `json: cannot unmarshal ${KIND_NAMES[node.kind]}`;
  if (at.parent === null) return new JsonError(`${what} into Go value of type ${type}`);
  const place = at.isIndex ? pathText(at) : `Go struct field ${pathText(at)}`;
  return new JsonError(`${what} into ${place} of type ${type}`);
}

function numberMismatch(node: JsonNode, at: JsonPath, type: string): JsonError {
  return new JsonError(
    `json: cannot unmarshal number ${node.raw} into Go struct field ${pathText(at)} of type ${type}`,
  );
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

/** Reads the members of an object into a target. Null leaves the target as it is. */
export function readInto<T>(
  target: T,
  node: JsonNode,
  at: JsonPath,
  readers: FieldReaders<T>,
  type: string,
): void {
  if (node.kind === 'null') return;
  if (node.kind !== 'object') throw typeMismatch(node, at, type);
  const folded = foldedFields.get(readers) as FieldReaders<T>;
  for (const [name, value] of node.members) {
    const read = readers.get(name) ?? folded.get(name.toLowerCase());
    if (read !== undefined)
      read(target, value, { parent: at, step: name, isIndex: false, strict: at.strict });
    else if (at.strict) throw new JsonError(`json: unknown field ${quoted(name)}`);
  }
}

export function readString(node: JsonNode, at: JsonPath): string {
  if (node.kind === 'null') return '';
  if (node.kind !== 'string') throw typeMismatch(node, at, 'string');
  return node.text;
}

export function readBool(node: JsonNode, at: JsonPath): boolean {
  if (node.kind === 'null') return false;
  if (node.kind !== 'bool') throw typeMismatch(node, at, 'bool');
  return node.text === 'true';
}

const RANGES = {
  int: [-(2n ** 63n), 2n ** 63n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
  'time.Duration': [-(2n ** 63n), 2n ** 63n - 1n],
} as const;

type IntegerType = 'int' | 'int32' | 'int64' | 'uint64';

function readExact(node: JsonNode, at: JsonPath, type: keyof typeof RANGES): bigint {
  if (node.kind === 'null') return 0n;
  if (node.kind !== 'number') throw typeMismatch(node, at, type);
  if (!/^-?\d+$/.test(node.text)) throw numberMismatch(node, at, type);
  const value = BigInt(node.text);
  const [least, most] = RANGES[type];
  if (value < least || value > most) throw numberMismatch(node, at, type);
  return value;
}

/** An integer as a number; exact up to 2^53. */
export function readInteger(node: JsonNode, at: JsonPath, type: IntegerType): number {
  return Number(readExact(node, at, type));
}

/** Nanoseconds. */
export function readDuration(node: JsonNode, at: JsonPath): bigint {
  return readExact(node, at, 'time.Duration');
}

/** Nanoseconds since 1970; null for null. */
export function readTime(node: JsonNode, at: JsonPath): bigint | null {
  if (node.kind === 'null') return null;
  if (node.kind !== 'string') throw typeMismatch(node, at, 'time.Time');
  const time = parseTime(node.text);
  if (time instanceof TimeError) throw new JsonError(time.message);
  return time;
}

/** Items of an array; null for null. */
export function readArray<T>(
  node: JsonNode,
  at: JsonPath,
  type: string,
  readItem: (node: JsonNode, at: JsonPath) => T,
): T[] | null {
  if (node.kind === 'null') return null;
  if (node.kind !== 'array') throw typeMismatch(node, at, type);
  return node.items.map((item, index) =>
    readItem(item, { parent: at, step: String(index), isIndex: true, strict: at.strict }),
  );
}

function readStrings(node: JsonNode, at: JsonPath): string[] | null {
  return readArray(node, at, '[]string', readString);
}

/** A map of strings; null for null. */
function readStringMap(node: JsonNode, at: JsonPath): Map<string, string> | null {
  if (node.kind === 'null') return null;
  if (node.kind !== 'object') throw typeMismatch(node, at, 'map[string]string');
  const map = new Map<string, string>();
  for (const [name, value] of node.members) {
    map.set(name, readString(value, { parent: at, step: name, isIndex: false, strict: at.strict }));
  }
  return map;
}

/** A word of a fixed list; unlike other fields it may not be null. */
export function readWord<T extends string>(node: JsonNode, words: ReadonlyMap<string, T>): T {
  const word = node.kind === 'string' ? words.get(node.text) : undefined;
  if (word === undefined) throw new JsonError(`can not unmarshal ${quoted(node.raw)}`);
  return word;
}

/** Reads a text into the member `key` of the target; below the same for other types. */
export function stringField<K extends string>(key: K): FieldReader<Record<K, string>> {
  return (target, node, at) => {
    target[key] = readString(node, at);
  };
}

export function boolField<K extends string>(key: K): FieldReader<Record<K, boolean>> {
  return (target, node, at) => {
    target[key] = readBool(node, at);
  };
}

export function integerField<K extends string>(key: K, type: IntegerType): FieldReader<Record<K, number>> {
  return (target, node, at) => {
    target[key] = readInteger(node, at, type);
  };
}

export function durationField<K extends string>(key: K): FieldReader<Record<K, bigint>> {
  return (target, node, at) => {
    target[key] = readDuration(node, at);
  };
}

export function timeField<K extends string>(key: K): FieldReader<Record<K, bigint | null>> {
  return (target, node, at) => {
    target[key] = readTime(node, at);
  };
}

/** A time kept as text, empty for null: RFC 3339 with the zone it was given in. */
export function timeTextField<K extends string>(key: K): FieldReader<Record<K, string>> {
  return (target, node, at) => {
    target[key] = readTime(node, at) === null ? '' : canonicalTime(node.text);
  };
}

export function stringsField<K extends string>(key: K): FieldReader<Record<K, string[]>> {
  return (target, node, at) => {
    target[key] = readStrings(node, at) ?? [];
  };
}

export function stringMapField<K extends string>(key: K): FieldReader<Record<K, Map<string, string>>> {
  return (target, node, at) => {
    target[key] = readStringMap(node, at) ?? new Map();
  };
}

/** A request's body into a target. */
export interface Decoding<T> {
  /** Changed in place. */
  target: T;
  readers: FieldReaders<T>;
  /** As Go names it, without its package: `StreamConfigRequest`. */
  type: string;
  strict: boolean;
}

/** @returns null, or what is wrong with the body */
export function decodeJson<T>(body: Uint8Array, decoding: Decoding<T>): JsonError | null {
  const { values, error } = parseJson(latin1Of(body));
  return readValues(values, decoding) ?? error;
}

/** Decodes a body that may hold one value only, and fields nobody knows. @returns null, or what is wrong with the body */
export function decodeWholeJson<T>(
  body: Uint8Array,
  decoding: Omit<Decoding<T>, 'strict'>,
): JsonError | null {
  const value = parseWholeJson(latin1Of(body));
  return value instanceof JsonError ? value : readValues([value], { ...decoding, strict: false });
}

function latin1Of(body: Uint8Array): string {
  return Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1');
}

function readValues<T>(values: readonly JsonNode[], decoding: Decoding<T>): JsonError | null {
  const { target, readers, type, strict } = decoding;
  const root: JsonPath = { parent: null, step: type, isIndex: false, strict };
  try {
    for (const value of values) readInto(target, value, root, readers, `server.${type}`);
  } catch (problem) {
    if (problem instanceof JsonError) return problem;
    throw problem;
  }
  return null;
}
