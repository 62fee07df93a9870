import { scanScalar, type VariableReference } from './conf-scalar.ts';
import { type ConfScanner, decodeText, NEW_LINES, ConfScanner as Scanner, SPACES } from './conf-scanner.ts';
import {
  type ConfEntry,
  ConfigError,
  type ConfMap,
  type ConfValue,
  formatPosition,
  type Position,
} from './conf-value.ts';

/**
 * The configuration grammar: maps, arrays, includes and variables around the scalars of conf-scalar.ts.
 *
 * Files come from people and from tools, so nothing in one may cost more than reading it: nesting, includes and variable
 * chains have bounds, and what shared variables unfold to is counted (`weightBytes`). The parser is recursive because the
 * bound on depth is far below what the stack holds.
 */

/** Maps and arrays inside each other. */
const MAX_DEPTH = 512;
const MAX_INCLUDE_DEPTH = 32;
const MAX_INCLUDES = 1000;
const MAX_ENVIRONMENT_DEPTH = 64;
/** Of one file, and of everything its variables unfold to. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const MAX_TREE_BYTES = 256 * 1024 * 1024;

/** What the grammar takes from outside. `readFile` throws the reason as text in its `message` (`open x: no such file or directory`). */
export interface ConfSource {
  readonly env: Readonly<Record<string, string | undefined>>;
  readFile(path: string): Uint8Array;
}

interface ParseState {
  source: ConfSource;
  includes: number;
}

/**
 * Parses the file at `path` and all it includes.
 *
 * @returns the top-level map; empty when the file has no values
 * @throws ConfigError with the text nats-server prints, and nothing else
 */
export function parseConfigFile(path: string, source: ConfSource): ConfMap {
  return parseText(path, readBytes(source, path), { source, includes: 0 }, 0, []);
}

function readBytes(source: ConfSource, path: string): Uint8Array {
  try {
    return source.readFile(path);
  } catch (error) {
    throw new ConfigError('CONFIG_FILE', error instanceof Error ? error.message : String(error));
  }
}

function parseText(
  file: string,
  bytes: Uint8Array,
  state: ParseState,
  includeDepth: number,
  environmentNames: string[],
): ConfMap {
  if (bytes.length > MAX_FILE_BYTES) {
    throw new ConfigError(
      'CONFIG_FILE',
      `${file}: configuration file is larger than ${MAX_FILE_BYTES} bytes`,
    );
  }
  let text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  if (text.startsWith('\xef\xbb\xbf')) text = text.slice(3);
  const zero = text.indexOf('\0');
  const scanner = new Scanner(file, text);
  if (zero >= 0) {
    scanner.offset = zero;
    throw scanner.syntaxError('Unexpected zero byte: not a text file');
  }
  return new Parser(scanner, state, includeDepth, environmentNames).parseTop();
}

class Parser {
  readonly #scanner: ConfScanner;
  readonly #state: ParseState;
  readonly #includeDepth: number;
  /** Variables whose environment text is being parsed right now, outermost first. */
  readonly #environmentNames: string[];
  /** The maps around the cursor, innermost last: where variables are looked up. */
  readonly #scopes: ConfMap[] = [];
  #depth = 0;

  constructor(scanner: ConfScanner, state: ParseState, includeDepth: number, environmentNames: string[]) {
    this.#scanner = scanner;
    this.#state = state;
    this.#includeDepth = includeDepth;
    this.#environmentNames = environmentNames;
  }

  parseTop(): ConfMap {
    const scanner = this.#scanner;
    const top = emptyMap(scanner.position());
    this.#scopes.push(top);
    scanner.skipBlank();
    while (scanner.peek() === '{') {
      scanner.offset++;
      scanner.skipBlank();
    }
    for (;;) {
      scanner.skipBlank();
      if (scanner.atEnd) return top;
      // A JSON document's closing brace; stray ones are tolerated too.
      if (scanner.peek() === '}') {
        scanner.offset++;
        continue;
      }
      if (scanner.peek() === '/') throw scanner.syntaxError('Unexpected EOF.');
      this.#parseEntry(top, true);
    }
  }

  #parseEntry(map: ConfMap, isTop: boolean): void {
    const scanner = this.#scanner;
    if (scanner.isAt('=:')) {
      throw scanner.syntaxError(`Unexpected key separator '${scanner.peek()}'${isTop ? '' : '.'}`);
    }
    const { key, position, quoted } = this.#scanKey();
    if (!quoted && key.toLowerCase() === 'include' && scanner.isAt(SPACES + NEW_LINES)) {
      this.#parseInclude(map);
      return;
    }
    scanner.skip(SPACES + NEW_LINES);
    const separated = scanner.isAt('=:');
    if (separated) scanner.offset++;
    scanner.skip(isTop ? SPACES : SPACES + NEW_LINES);
    if (isTop && !separated && scanner.atEnd) {
      throw new ConfigError('CONFIG_SYNTAX', `config is invalid (${formatPosition(scanner.position())})`);
    }
    if (isTop && scanner.isAt(NEW_LINES)) throw scanner.syntaxError('Expected value but found new line');
    const value = this.#parseValue();
    this.#define(map, { key, position, value, usedAsVariable: false });
    if (isTop) this.#endTopEntry();
    else this.#endMapEntry();
  }

  #scanKey(): { key: string; position: Position; quoted: boolean } {
    const scanner = this.#scanner;
    const mark = scanner.peek();
    if (mark === '"' || mark === "'") {
      scanner.offset++;
      const position = scanner.position();
      const end = scanner.text.indexOf(mark, scanner.offset);
      if (end < 0) {
        scanner.offset = scanner.text.length;
        throw scanner.syntaxError('Unexpected EOF.');
      }
      const key = decodeText(scanner.text.slice(scanner.offset, end));
      scanner.offset = end + 1;
      return { key, position, quoted: true };
    }
    const position = scanner.position();
    const start = scanner.offset;
    while (!scanner.atEnd && !scanner.isAt(`${SPACES}${NEW_LINES}=:`)) scanner.offset++;
    return { key: decodeText(scanner.text.slice(start, scanner.offset)), position, quoted: false };
  }

  #endTopEntry(): void {
    const scanner = this.#scanner;
    scanner.skip(SPACES);
    if (scanner.atEnd || scanner.atComment) return;
    if (scanner.isAt(`${NEW_LINES},;}`)) {
      scanner.offset++;
      return;
    }
    throw scanner.syntaxError(
      `Expected a top-level value to end with a new line, comment or EOF, but got '${scanner.describe()}' instead.`,
    );
  }

  #endMapEntry(): void {
    const scanner = this.#scanner;
    scanner.skip(SPACES);
    if (scanner.atComment) return;
    if (scanner.isAt(`${NEW_LINES},;`)) {
      scanner.offset++;
      return;
    }
    if (scanner.peek() === '}') return;
    throw scanner.syntaxError(
      `Expected a map value terminator "," or a map terminator "}", but got '${scanner.describe()}' instead.`,
    );
  }

  #parseValue(): ConfValue {
    const scanner = this.#scanner;
    const first = scanner.peek();
    if (first !== '[' && first !== '{') {
      const scalar = scanScalar(scanner);
      return scalar.kind === 'variable' ? this.#resolveVariable(scalar) : scalar;
    }
    if (++this.#depth > MAX_DEPTH) {
      throw scanner.syntaxError(`Maps and arrays are nested more than ${MAX_DEPTH} deep.`);
    }
    scanner.offset++;
    const value = first === '[' ? this.#parseArray() : this.#parseMap();
    this.#depth--;
    return value;
  }

  #parseMap(): ConfMap {
    const scanner = this.#scanner;
    const map = emptyMap(scanner.position());
    this.#scopes.push(map);
    for (;;) {
      scanner.skipBlank();
      if (scanner.atEnd) throw scanner.syntaxError('Unexpected EOF processing map.');
      if (scanner.peek() === '}') break;
      this.#parseEntry(map, false);
    }
    scanner.offset++;
    this.#scopes.pop();
    return map;
  }

  #parseArray(): ConfValue {
    const scanner = this.#scanner;
    const position = scanner.position();
    const values: ConfValue[] = [];
    let weightBytes = 2;
    for (;;) {
      scanner.skipBlank();
      if (scanner.peek() === ']') break;
      if (scanner.peek() === ',') throw scanner.syntaxError("Unexpected array value terminator ','.");
      const value = this.#parseValue();
      values.push(value);
      weightBytes += value.weightBytes + 1;
      this.#checkWeight(weightBytes);
      if (this.#endsArray()) break;
    }
    scanner.offset++;
    return { kind: 'array', values, position, weightBytes };
  }

  /** After an element: `true` on the closing bracket, `false` before a further element. */
  #endsArray(): boolean {
    const scanner = this.#scanner;
    scanner.skip(SPACES);
    if (scanner.atComment) {
      scanner.skipComment();
      return false;
    }
    if (scanner.peek() === ']') return true;
    if (scanner.isAt(`${NEW_LINES},`)) {
      scanner.offset++;
      return false;
    }
    throw scanner.syntaxError(
      `Expected an array value terminator "," or an array terminator "]", but got '${scanner.describe()}' instead.`,
    );
  }

  #define(map: ConfMap, entry: ConfEntry): void {
    const replaced = map.entries.get(entry.key);
    if (replaced !== undefined) map.weightBytes -= replaced.value.weightBytes;
    else map.weightBytes += entry.key.length + 4;
    map.weightBytes += entry.value.weightBytes;
    this.#checkWeight(map.weightBytes);
    map.entries.set(entry.key, entry);
  }

  #checkWeight(weightBytes: number): void {
    if (weightBytes <= MAX_TREE_BYTES) return;
    throw this.#scanner.syntaxError(`The configuration unfolds to more than ${MAX_TREE_BYTES} bytes.`);
  }

  #parseInclude(map: ConfMap): void {
    const scanner = this.#scanner;
    scanner.skip(SPACES);
    const path = this.#scanIncludePath();
    const target = joinPath(directoryOf(scanner.file), path);
    const fail = (reason: string) =>
      new ConfigError('CONFIG_FILE', `error parsing include file '${path}', ${reason}`);
    if (this.#includeDepth >= MAX_INCLUDE_DEPTH || ++this.#state.includes > MAX_INCLUDES) {
      throw fail('too many includes: does the file include itself?');
    }
    let included: ConfMap;
    try {
      const bytes = readBytes(this.#state.source, target);
      included = parseText(target, bytes, this.#state, this.#includeDepth + 1, this.#environmentNames);
    } catch (error) {
      throw error instanceof ConfigError ? fail(error.message) : error;
    }
    for (const entry of included.entries.values()) this.#define(map, entry);
  }

  #scanIncludePath(): string {
    const scanner = this.#scanner;
    const first = scanner.peek();
    const wrong = INCLUDE_ERRORS.get(first);
    if (wrong !== undefined) throw scanner.syntaxError(`Expected include value but found ${wrong}`);
    if (/^[0-9-]$/.test(first))
      throw scanner.syntaxError('Expected include value but found start of a number');
    if (first === '"' || first === "'") {
      const end = scanner.text.indexOf(first, scanner.offset + 1);
      if (end < 0) {
        scanner.offset = scanner.text.length;
        throw scanner.syntaxError(`Unexpected EOF in ${first === '"' ? 'double quoted' : 'quoted'} include`);
      }
      const path = scanner.text.slice(scanner.offset + 1, end);
      scanner.offset = end + 1;
      return decodeText(path);
    }
    const start = scanner.offset;
    while (!scanner.atEnd && !scanner.isAt(SPACES + NEW_LINES)) scanner.offset++;
    return decodeText(scanner.text.slice(start, scanner.offset));
  }

  #resolveVariable(reference: VariableReference): ConfValue {
    const { name, position } = reference;
    for (let i = this.#scopes.length - 1; i >= 0; i--) {
      const entry = this.#scopes[i]!.entries.get(name);
      if (entry === undefined) continue;
      entry.usedAsVariable = true;
      return { ...entry.value, position };
    }
    const text = Object.hasOwn(this.#state.source.env, name) ? this.#state.source.env[name] : undefined;
    if (text === undefined) {
      throw new ConfigError(
        'CONFIG_SYNTAX',
        `variable reference for '${name}' on line ${position.line} can not be found`,
      );
    }
    try {
      return { ...this.#parseEnvironment(name, text), position };
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      throw new ConfigError(
        'CONFIG_SYNTAX',
        `variable reference for '${name}' on line ${position.line} could not be parsed: ${error.message}`,
      );
    }
  }

  #parseEnvironment(name: string, text: string): ConfValue {
    if (this.#environmentNames.includes(name) || this.#environmentNames.length >= MAX_ENVIRONMENT_DEPTH) {
      throw new ConfigError('CONFIG_SYNTAX', `variable reference cycle for '${name}'`);
    }
    const bytes = Buffer.from(`value=${text}`);
    const map = parseText('', bytes, this.#state, this.#includeDepth + 1, [...this.#environmentNames, name]);
    const value = map.entries.get('value')?.value ?? emptyString();
    if (value.kind === 'array' || value.kind === 'map') return value;
    // An empty variable is an empty string; everything else keeps its text, for options that want a string.
    return { ...value, fromEnvironment: true };
  }
}

const INCLUDE_ERRORS = new Map([
  ['\n', 'new line'],
  ['\r', 'new line'],
  ['{', 'start of a map'],
  ['[', 'start of an array'],
  ['(', 'start of a block'],
  ['\\', 'escape sequence'],
]);

function emptyMap(position: Position): ConfMap {
  return { kind: 'map', entries: new Map(), position, weightBytes: 2 };
}

function emptyString(): ConfValue {
  const position = { file: '', line: 1, column: 0 };
  return { kind: 'string', value: '', source: '', fromEnvironment: true, position, weightBytes: 2 };
}

function directoryOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '' : path.slice(0, slash + 1);
}

/** Absolute paths are joined under the directory too, as nats-server does. */
function joinPath(directory: string, path: string): string {
  if (directory === '') return path;
  return `${directory}${path.replace(/^\/+/, '')}`;
}
