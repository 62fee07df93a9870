/**
 * JSON of replies, advisories and stored configurations, in the bytes nats-server sends (jetstream-api §1.1): fields in
 * the order they are added, no blanks, and `<`, `>`, `&` inside strings escaped.
 */
import { formatTime, ZERO_TIME_NS } from './time.ts';

const HTML = /[<>&\u2028\u2029]/g;

/** A string in quotes. */
export function jsonString(text: string): string {
  const quoted = JSON.stringify(text);
  return quoted.replace(HTML, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** An integer; those that were rounded to the end of a 64 bit type are printed as that end. */
export function jsonInteger(value: number | bigint): string {
  if (typeof value === 'bigint' || Number.isSafeInteger(value)) return String(value);
  if (value >= 2 ** 64) return '18446744073709551615';
  if (value === 2 ** 63) return '9223372036854775807';
  return String(BigInt(value));
}

/** An array of JSON texts. */
export function jsonArray(items: readonly string[]): string {
  return `[${items.join(',')}]`;
}

/** A map of strings, its names sorted as Go sorts them. */
export function jsonStringMap(map: ReadonlyMap<string, string>): string {
  const object = new JsonObject();
  for (const name of [...map.keys()].sort(compareBytes)) object.string(name, map.get(name)!);
  return object.end();
}

/** Order of two texts by their UTF-8 bytes. */
export function compareBytes(a: string, b: string): number {
  if (a === b) return 0;
  return Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8'));
}

/** An object under construction. The methods that end in `Unless…` leave the field out then. */
export class JsonObject {
  #text = '';

  /** @param json the value as JSON */
  raw(name: string, json: string): this {
    const comma = this.#text === '' ? '' : ',';
    this.#text += `${comma}${jsonString(name)}:${json}`;
    return this;
  }

  /** Appends the fields of an object that is already text. */
  fields(object: string): this {
    const inner = object.slice(1, -1);
    if (inner !== '') this.#text += this.#text === '' ? inner : `,${inner}`;
    return this;
  }

  string(name: string, text: string): this {
    return this.raw(name, jsonString(text));
  }

  stringUnlessEmpty(name: string, text: string): this {
    return text === '' ? this : this.string(name, text);
  }

  integer(name: string, value: number | bigint): this {
    return this.raw(name, jsonInteger(value));
  }

  integerUnlessZero(name: string, value: number | bigint): this {
    return value === 0 || value === 0n ? this : this.integer(name, value);
  }

  bool(name: string, value: boolean): this {
    return this.raw(name, value ? 'true' : 'false');
  }

  boolUnlessFalse(name: string, value: boolean): this {
    return value ? this.bool(name, true) : this;
  }

  /** @param timeNs nanoseconds since 1970; null is Go's zero time */
  time(name: string, timeNs: bigint | null): this {
    return this.raw(name, `"${formatTime(timeNs ?? ZERO_TIME_NS)}"`);
  }

  timeUnlessNull(name: string, timeNs: bigint | null): this {
    return timeNs === null ? this : this.time(name, timeNs);
  }

  stringsUnlessEmpty(name: string, texts: readonly string[]): this {
    return texts.length === 0 ? this : this.raw(name, jsonArray(texts.map(jsonString)));
  }

  end(): string {
    return `{${this.#text}}`;
  }
}
