import { type ConfArray, type ConfEntry, type ConfMap, type ConfValue, goTypeName } from './conf-value.ts';
import { nanosecondsToMs, parseDuration } from './duration.ts';
import { OptionError } from './option-error.ts';
import { quote } from './quote.ts';
import type { Reader } from './reader.ts';

/**
 * Typed access to parsed values. Each function returns the value in the type an option wants or throws OptionError.
 *
 * A scalar from the environment is text wherever text is wanted: the grammar reads `PW=123` as an integer, and nobody
 * can quote inside every environment.
 */

const KIND_NAMES: Record<ConfValue['kind'], string> = {
  string: 'a string',
  integer: 'an integer',
  float: 'a float',
  boolean: 'a boolean',
  datetime: 'a datetime',
  array: 'an array',
  map: 'a map',
};

function wrongType(value: ConfValue, wanted: string): OptionError {
  return new OptionError(`invalid value: expected ${wanted}, got ${KIND_NAMES[value.kind]}`);
}

/** Whether the value can be taken as text: a string, or any scalar of the environment. */
export function isText(value: ConfValue): boolean {
  if (value.kind === 'array' || value.kind === 'map') return false;
  return value.kind === 'string' || value.fromEnvironment;
}

export function text(value: ConfValue): string {
  if (value.kind === 'string') return value.value;
  if (value.kind === 'array' || value.kind === 'map' || !value.fromEnvironment) {
    throw wrongType(value, 'a string');
  }
  return value.source;
}

export function boolean(value: ConfValue): boolean {
  if (value.kind !== 'boolean') throw wrongType(value, 'a boolean');
  return value.value;
}

export function integer(value: ConfValue): number {
  if (value.kind !== 'integer') throw wrongType(value, 'an integer');
  return Number(value.value);
}

/** @param failure the message nats-server has for anything but a map here */
export function map(value: ConfValue, failure?: string): ConfMap {
  if (value.kind !== 'map')
    throw failure === undefined ? wrongType(value, 'a map') : new OptionError(failure);
  return value;
}

export function array(value: ConfValue, failure?: string): ConfArray {
  if (value.kind !== 'array') {
    throw failure === undefined ? wrongType(value, 'an array') : new OptionError(failure);
  }
  return value;
}

/** A text or an array of texts. @param label what the message calls them: `error parsing <label>: unsupported type …` */
export function textList(value: ConfValue, label: string): string[] {
  if (isText(value)) return [text(value)];
  if (value.kind !== 'array')
    throw new OptionError(`error parsing ${label}: unsupported type ${goTypeName(value)}`);
  return value.values.map((element) => {
    if (isText(element)) return text(element);
    throw new OptionError(
      `error parsing ${label}: unsupported type in array ${goTypeName(element)}`,
      element.position,
    );
  });
}

/** A duration that must be text (`"30s"`); milliseconds. */
export function durationText(value: ConfValue, name: string): number {
  const result = parseDuration(text(value));
  if ('error' in result) throw new OptionError(`error parsing ${name}: ${result.error}`);
  return nanosecondsToMs(result.nanoseconds);
}

/** A duration as text, or a number of seconds, which earns a warning; milliseconds. */
export function duration(reader: Reader, entry: ConfEntry): number {
  const { value } = entry;
  if (value.kind === 'integer') {
    reader.warnUse(entry, `${entry.key} should be converted to a duration`);
    return Number(value.value) * 1000;
  }
  return durationText(value, entry.key);
}

/** Seconds as a number, or a duration; milliseconds. @param wrong the message of any other type */
export function secondsOrDuration(
  value: ConfValue,
  wrong: string,
  invalid: (reason: string) => string,
): number {
  if (value.kind === 'integer' || value.kind === 'float') return Number(value.value) * 1000;
  if (value.kind !== 'string') throw new OptionError(wrong);
  const result = parseDuration(value.value);
  if ('error' in result) throw new OptionError(invalid(result.error));
  return nanosecondsToMs(result.nanoseconds);
}

/** Port and host of `listen`-like options; `host` is `null` when only a port is given. */
export function address(value: ConfValue): { host: string | null; port: number } {
  if (value.kind === 'integer') return { host: null, port: port(Number(value.value)) };
  if (value.kind !== 'string') throw new OptionError(`expected port or host:port, got ${goTypeName(value)}`);
  const split = splitHostPort(value.value);
  if (split === null) throw new OptionError(`could not parse address string ${quote(value.value)}`);
  if (!/^[+-]?\d+$/.test(split.port)) throw new OptionError(`could not parse port ${quote(split.port)}`);
  return { host: split.host, port: port(Number(split.port)) };
}

/** @throws OptionError unless -1 (random) to 65535 */
export function port(value: number): number {
  if (value < -1 || value > 65_535) {
    throw new OptionError(`invalid port ${value}: it must be between 1 and 65535, or -1 for a random one`);
  }
  return value;
}

/** `host:port`, `[v6]:port`, `:port`; `null` when it isn't one of these. */
export function splitHostPort(address: string): { host: string; port: string } | null {
  const bracketed = /^\[([^[\]]*)\]:([^:[\]]*)$/.exec(address);
  if (bracketed !== null) return { host: bracketed[1]!, port: bracketed[2]! };
  const plain = /^([^:[\]]*):([^:[\]]*)$/.exec(address);
  return plain === null ? null : { host: plain[1]!, port: plain[2]! };
}

/** JetStream's storage sizes: an integer, or text such as `"5M"` (powers of 1024, one letter); bytes. */
export function storageSize(value: ConfValue, name: string): number {
  if (value.kind === 'integer') return Number(value.value);
  const source = text(value);
  if (source === '') return 0;
  const number = source.slice(0, -1);
  const exponent = ['K', 'M', 'G', 'T'].indexOf(source.slice(-1)) + 1;
  if (exponent === 0 && /^-?\d+$/.test(number)) {
    throw new OptionError(`${name} sizes defined as strings must end in K, M, G, T`);
  }
  if (exponent === 0 || !/^[+-]?\d+$/.test(number)) {
    throw new OptionError(`${name} strconv.ParseInt: parsing ${quote(number)}: invalid syntax`);
  }
  return Number(number) * 1024 ** exponent;
}
