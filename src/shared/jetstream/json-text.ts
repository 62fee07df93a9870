/**
 * JSON of API requests, read the way nats-server reads it (jetstream-api §1.2).
 *
 * `JSON.parse` will not do: it rounds integers above 2^53, it keeps no offsets, its messages differ from the ones clients
 * of nats-server see, and it makes objects that have a prototype out of what a stranger sent. So this parser yields nodes
 * with the place they were found at; `json-fields.ts` turns nodes into typed values.
 *
 * The text is latin1, one character a byte, so that offsets in messages are offsets in bytes; strings are decoded as UTF-8.
 */

/** Values nested deeper than this are refused: a request needs five levels, and the parser recurses. */
const MAX_DEPTH = 512;

export type JsonKind = 'null' | 'bool' | 'number' | 'string' | 'array' | 'object';

/** A value and where it stands. */
export interface JsonNode {
  readonly kind: JsonKind;
  /** The value as it was written. */
  readonly raw: string;
  /** Of a string: its content; of a bool or a number: how it was written. */
  readonly text: string;
  /** Of an array. */
  readonly items: readonly JsonNode[];
  /** Of an object, in the order they were written; names may repeat. */
  readonly members: readonly (readonly [name: string, value: JsonNode])[];
}

/** Why a text is no JSON; `message` is the text of the error, its offset included. */
export class JsonError extends Error {
  override readonly name = 'JsonError';
}

const NONE: readonly never[] = [];
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/** A character as Go quotes it in messages. */
function quotedCharacter(character: string): string {
  if (character === "'") return "'\\''";
  if (character === '"') return `'"'`;
  const short = {
    '\n': '\\n',
    '\r': '\\r',
    '\t': '\\t',
    '\b': '\\b',
    '\f': '\\f',
    '\v': '\\v',
    '\\': '\\\\',
  }[character];
  if (short !== undefined) return `'${short}'`;
  const code = character.charCodeAt(0);
  if (code < 0x20 || code >= 0x7f) return `'\\x${code.toString(16).padStart(2, '0')}'`;
  return `'${character}'`;
}

/** The UTF-8 bytes of a latin1 text as a string; bytes that are no UTF-8 become U+FFFD. */
function utf8(bytes: string): string {
  for (let i = 0; i < bytes.length; i++) {
    if (bytes.charCodeAt(i) > 0x7f) return Buffer.from(bytes, 'latin1').toString('utf8');
  }
  return bytes;
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** The next value, or null when only blanks are left. */
  next(): JsonNode | null {
    this.#skipBlanks();
    return this.#at === this.#text.length ? null : this.#value(0);
  }

  #skipBlanks(): void {
    const text = this.#text;
    for (; this.#at < text.length; this.#at++) {
      const code = text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
    }
  }

  #fail(context: string): never {
    const character = this.#text[this.#at];
    if (character === undefined) throw new JsonError('unexpected EOF');
    throw new JsonError(
      `invalid character ${quotedCharacter(character)} ${context} at offset ${this.#at + 1}`,
    );
  }

  #value(depth: number): JsonNode {
    const start = this.#at;
    switch (this.#text[start]) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#array(depth);
      case '"':
        return this.#leaf('string', start, this.#string());
      case 't':
        return this.#literal('bool', 'true');
      case 'f':
        return this.#literal('bool', 'false');
      case 'n':
        return this.#literal('null', 'null');
      default:
        return this.#number();
    }
  }

  #leaf(kind: JsonKind, start: number, text: string): JsonNode {
    return { kind, raw: this.#text.slice(start, this.#at), text, items: NONE, members: NONE };
  }

  #literal(kind: JsonKind, word: string): JsonNode {
    const start = this.#at;
    for (const character of word) {
      if (this.#text[this.#at] !== character) this.#fail(`in literal ${word} (expecting '${character}')`);
      this.#at++;
    }
    return this.#leaf(kind, start, word);
  }

  #number(): JsonNode {
    const start = this.#at;
    const text = this.#text;
    const first = text.charCodeAt(start);
    if (!(first === 0x2d || (first >= 0x30 && first <= 0x39)))
      return this.#fail('looking for beginning of value');
    NUMBER.lastIndex = start;
    const match = NUMBER.exec(text);
    this.#at = match === null ? start + 1 : NUMBER.lastIndex;
    const next = text[this.#at];
    const unfinished = match === null || next === '.' || next === 'e' || next === 'E';
    if (unfinished) {
      if (match !== null) this.#at++;
      if (next !== '.' && (text[this.#at] === '+' || text[this.#at] === '-') && match !== null) this.#at++;
      this.#fail('in numeric literal');
    }
    return this.#leaf('number', start, text.slice(start, this.#at));
  }

  /** Reads a string; returns its content. */
  #string(): string {
    const text = this.#text;
    let content = '';
    let from = ++this.#at;
    for (;;) {
      const code = text.charCodeAt(this.#at);
      if (code === 0x22) {
        content += utf8(text.slice(from, this.#at++));
        return content;
      }
      if (Number.isNaN(code) || code < 0x20) this.#fail('in string');
      if (code === 0x5c) {
        content += utf8(text.slice(from, this.#at)) + this.#escape();
        from = this.#at;
      } else this.#at++;
    }
  }

  #escape(): string {
    const text = this.#text;
    const letter = text[this.#at + 1];
    if (letter === undefined) throw new JsonError('unexpected EOF');
    const short = SHORT_ESCAPES[letter];
    if (short !== undefined) {
      this.#at += 2;
      return short;
    }
    const length = letter === 'u' ? 6 : 2;
    const sequence = text.slice(this.#at, this.#at + length);
    if (sequence.length < length) throw new JsonError('unexpected EOF');
    this.#at += length;
    if (letter !== 'u' || !/^[0-9a-fA-F]{4}$/.test(sequence.slice(2)))
      throw new JsonError(`invalid escape sequence \`${sequence}\` in string at offset ${this.#at}`);
    return String.fromCharCode(Number.parseInt(sequence.slice(2), 16));
  }

  #enter(depth: number): void {
    if (depth >= MAX_DEPTH) throw new JsonError(`exceeded max depth at offset ${this.#at + 1}`);
    this.#at++;
    this.#skipBlanks();
  }

  #array(depth: number): JsonNode {
    const start = this.#at;
    this.#enter(depth);
    const items: JsonNode[] = [];
    if (this.#text[this.#at] === ']') this.#at++;
    else {
      do {
        this.#skipBlanks();
        items.push(this.#value(depth + 1));
      } while (this.#more(']', 'after array element'));
    }
    return { kind: 'array', raw: this.#text.slice(start, this.#at), text: '', items, members: NONE };
  }

  /** After a member: whether another one follows; steps over the comma or the closing bracket. */
  #more(close: string, context: string): boolean {
    this.#skipBlanks();
    const character = this.#text[this.#at];
    if (character !== ',' && character !== close) this.#fail(context);
    this.#at++;
    return character === ',';
  }

  #object(depth: number): JsonNode {
    const start = this.#at;
    this.#enter(depth);
    const members: (readonly [string, JsonNode])[] = [];
    if (this.#text[this.#at] === '}') this.#at++;
    else {
      do {
        this.#skipBlanks();
        if (this.#text[this.#at] !== '"') this.#fail('looking for beginning of object key string');
        const name = this.#string();
        this.#skipBlanks();
        if (this.#text[this.#at] !== ':') this.#fail('after object key');
        this.#at++;
        this.#skipBlanks();
        members.push([name, this.#value(depth + 1)]);
      } while (this.#more('}', 'after object key:value pair'));
    }
    return { kind: 'object', raw: this.#text.slice(start, this.#at), text: '', items: NONE, members };
  }
}

/**
 * The values of a text, which may be none or several: nats-server reads on until the end and lets later values add to
 * earlier ones. Values in front of a syntax error are returned with it, for what they contain is looked at first.
 */
export function parseJson(text: string): { values: JsonNode[]; error: JsonError | null } {
  const parser = new Parser(text);
  const values: JsonNode[] = [];
  try {
    for (let value = parser.next(); value !== null; value = parser.next()) values.push(value);
  } catch (error) {
    if (error instanceof JsonError) return { values, error };
    throw error;
  }
  return { values, error: null };
}

/**
 * The one value of a text, as Go's `Unmarshal` sees it: the whole text is looked at before any of it counts, and messages
 * tell no offsets.
 */
export function parseWholeJson(text: string): JsonNode | JsonError {
  const { values, error } = parseJson(text);
  const [value] = values;
  if (value === undefined) {
    const message = error?.message ?? 'unexpected EOF';
    if (message === 'unexpected EOF') return new JsonError('unexpected end of JSON input');
    return new JsonError(message.replace(/ at offset \d+$/, ''));
  }
  const blanks = /^[ \t\r\n]*/.exec(text)![0].length;
  const rest = text.slice(blanks + value.raw.length).replace(/^[ \t\r\n]*/, '');
  if (rest === '') return value;
  return new JsonError(`invalid character ${quotedCharacter(rest.charAt(0))} after top-level value`);
}
