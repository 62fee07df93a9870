/**
 * The tree a configuration file parses to.
 *
 * Every key and value knows where it was written, since each message about it names file, line and column. Maps are
 * `Map`s, so no key (`__proto__`, `constructor`) can reach an object's prototype. A value that a variable names twice is
 * shared, not copied; `weightBytes` counts it each time, which bounds the tree a few lines of `$a,$a` could unfold to.
 */

/** Columns count bytes: from 0 on the first line, from 1 on every later one, as nats-server prints them. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

interface ConfNode {
  readonly position: Position;
  /** Size of the value when written out, roughly. */
  weightBytes: number;
}

/** A scalar that came from an environment variable; `source` is its text, for options that want a string. */
interface ConfScalar extends ConfNode {
  readonly source: string;
  fromEnvironment: boolean;
}

export interface ConfString extends ConfScalar {
  readonly kind: 'string';
  readonly value: string;
}

export interface ConfInteger extends ConfScalar {
  readonly kind: 'integer';
  readonly value: bigint;
}

export interface ConfFloat extends ConfScalar {
  readonly kind: 'float';
  readonly value: number;
}

export interface ConfBoolean extends ConfScalar {
  readonly kind: 'boolean';
  readonly value: boolean;
}

export interface ConfDatetime extends ConfScalar {
  readonly kind: 'datetime';
  /** `YYYY-MM-DDThh:mm:ssZ` */
  readonly value: string;
}

export interface ConfArray extends ConfNode {
  readonly kind: 'array';
  readonly values: ConfValue[];
}

export interface ConfMap extends ConfNode {
  readonly kind: 'map';
  readonly entries: Map<string, ConfEntry>;
}

export interface ConfEntry {
  readonly key: string;
  readonly position: Position;
  readonly value: ConfValue;
  /** Some `$variable` took this value, so that an unknown key isn't an error. */
  usedAsVariable: boolean;
}

export type ConfValue =
  | ConfString
  | ConfInteger
  | ConfFloat
  | ConfBoolean
  | ConfDatetime
  | ConfArray
  | ConfMap;

/** What went wrong with a configuration; `text` is complete, position included. */
export class ConfigError extends Error {
  readonly code: 'CONFIG_SYNTAX' | 'CONFIG_FILE' | 'CONFIG_VALUE';

  constructor(code: ConfigError['code'], text: string) {
    super(text);
    this.name = 'ConfigError';
    this.code = code;
  }
}

/** `<file>:<line>:<column>`, the start of each message about a key. */
export function formatPosition(position: Position): string {
  return `${position.file}:${position.line}:${position.column}`;
}

const GO_TYPES: Record<ConfValue['kind'], string> = {
  string: 'string',
  integer: 'int64',
  float: 'float64',
  boolean: 'bool',
  datetime: 'time.Time',
  array: '[]interface {}',
  map: 'map[string]interface {}',
};

/** The type's name as nats-server prints it in its messages (`int64`, `map[string]interface {}`). */
export function goTypeName(value: ConfValue): string {
  return GO_TYPES[value.kind];
}

/** The value as nats-server prints it inside a message (`%v`). */
export function goValueText(value: ConfValue): string {
  if (value.kind === 'array') return `[${value.values.map(goValueText).join(' ')}]`;
  if (value.kind === 'map') {
    const keys = [...value.entries.keys()].sort();
    return `map[${keys.map((key) => `${key}:${goValueText(value.entries.get(key)!.value)}`).join(' ')}]`;
  }
  return String(value.value);
}
