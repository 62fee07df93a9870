import { type ConfScanner, decodeText, NEW_LINES, SPACES } from './conf-scanner.ts';
import { ConfigError, type ConfValue, type Position } from './conf-value.ts';

/**
 * The scalar values of the configuration grammar: strings in four forms, numbers with size suffixes, datetimes, and the
 * words that look like numbers and aren't (`127.0.0.1:4222`, `10s`).
 *
 * Digits decide last: `2024-01-01T00:00:00Z`, `8MB`, `1.5`, `10.0.0.1` and `3xyz` all begin alike, and what follows the
 * digits says which one it is. Anything but a date that isn't a number after all is a string.
 */

/** An unquoted `$NAME`, to be looked up by the parser. */
export interface VariableReference {
  kind: 'variable';
  name: string;
  position: Position;
}

const INT64_MAX = (1n << 63n) - 1n;
const INT64_MIN = -(1n << 63n);
const SIZE_SUFFIXES = 'kmgtpe';
const VALUE_ENDS = `${NEW_LINES}${SPACES},;}]`;
const TRUE_WORDS = new Set(['true', 'yes', 'on']);
const FALSE_WORDS = new Set(['false', 'no', 'off']);
/** bcrypt hashes of this kind may stand unquoted; they aren't variables. */
const BCRYPT_PREFIX = '$2a$';

/** Reads the scalar at the cursor, which stands on its first character (not `[`, `{` or a new line). */
export function scanScalar(scanner: ConfScanner): ConfValue | VariableReference {
  const first = scanner.peek();
  if (first === '"') return scanDoubleQuoted(scanner);
  if (first === "'") return scanSingleQuoted(scanner);
  if (first === '(') return scanBlock(scanner);
  if (first === '-') return scanNegative(scanner);
  if (first === '.') throw scanner.syntaxError('Floats must start with a digit');
  if (isDigit(first)) return scanDigits(scanner);
  return scanUnquoted(scanner, scanner.offset);
}

function isDigit(character: string): boolean {
  return character >= '0' && character <= '9' && character.length === 1;
}

function skipDigits(scanner: ConfScanner): void {
  while (isDigit(scanner.peek())) scanner.offset++;
}

function endsValue(scanner: ConfScanner): boolean {
  return scanner.atEnd || VALUE_ENDS.includes(scanner.peek());
}

function stringValue(latin1: string, position: Position): ConfValue {
  const value = decodeText(latin1);
  return {
    kind: 'string',
    value,
    source: value,
    fromEnvironment: false,
    position,
    weightBytes: value.length + 2,
  };
}

function integerValue(source: string, multiplier: bigint, position: Position): ConfValue {
  // More digits than any int64 has: refused before BigInt spends time on them.
  const value = source.length > 40 ? INT64_MAX + 1n : BigInt(source) * multiplier;
  if (value > INT64_MAX || value < INT64_MIN) {
    throw new ConfigError('CONFIG_SYNTAX', `integer '${source.slice(0, 64)}' is out of the range`);
  }
  return { kind: 'integer', value, source, fromEnvironment: false, position, weightBytes: source.length };
}

function scanDoubleQuoted(scanner: ConfScanner): ConfValue {
  scanner.offset++;
  const position = scanner.position();
  let text = '';
  let runStart = scanner.offset;
  for (;;) {
    if (scanner.atEnd) throw scanner.syntaxError('Unexpected EOF.');
    const character = scanner.peek();
    if (character === '"') break;
    if (character !== '\\') {
      scanner.offset++;
      continue;
    }
    text += scanner.text.slice(runStart, scanner.offset) + scanEscape(scanner);
    runStart = scanner.offset;
  }
  text += scanner.text.slice(runStart, scanner.offset);
  scanner.offset++;
  return stringValue(text, position);
}

function scanSingleQuoted(scanner: ConfScanner): ConfValue {
  scanner.offset++;
  const position = scanner.position();
  const end = scanner.text.indexOf("'", scanner.offset);
  if (end < 0) {
    scanner.offset = scanner.text.length;
    throw scanner.syntaxError('Unexpected EOF.');
  }
  const text = scanner.text.slice(scanner.offset, end);
  scanner.offset = end + 1;
  return stringValue(text, position);
}

const ESCAPES = new Map([
  ['t', '\t'],
  ['n', '\n'],
  ['r', '\r'],
  ['"', '"'],
  ['\\', '\\'],
]);

/** The cursor stands on the backslash; it ends behind the escape. */
function scanEscape(scanner: ConfScanner): string {
  scanner.offset++;
  const kind = scanner.peek();
  if (kind === 'x') {
    const digits = scanner.text.slice(scanner.offset + 1, scanner.offset + 3);
    if (digits.length < 2 || /[\r\n]/.test(digits)) {
      throw scanner.syntaxError("Expected two hexadecimal digits after '\\x', but hit end of line");
    }
    if (!/^[0-9a-fA-F]{2}$/.test(digits)) {
      throw scanner.syntaxError(`Expected two hexadecimal digits after '\\x', but got '${digits}'`);
    }
    scanner.offset += 3;
    return String.fromCharCode(Number.parseInt(digits, 16));
  }
  const escaped = ESCAPES.get(kind);
  if (escaped === undefined) {
    throw scanner.syntaxError(
      `Invalid escape character '${scanner.describe()}'. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\", \\\\.`,
    );
  }
  scanner.offset++;
  return escaped;
}

/** `(`, any text, and `)` alone on a line. */
function scanBlock(scanner: ConfScanner): ConfValue {
  scanner.offset++;
  const position = scanner.position();
  for (let end = scanner.offset; ; end++) {
    end = scanner.text.indexOf(')', end);
    if (end < 0) break;
    const next = scanner.text.charAt(end + 1);
    const closesLine = next === '' || NEW_LINES.includes(next);
    if (!closesLine || !NEW_LINES.includes(scanner.text.charAt(end - 1))) continue;
    const text = scanner.text.slice(scanner.offset, end);
    scanner.offset = end + 1;
    return stringValue(text, position);
  }
  scanner.offset = scanner.text.length;
  throw scanner.syntaxError('Unexpected EOF processing block.');
}

function scanNegative(scanner: ConfScanner): ConfValue {
  const start = scanner.offset;
  const position = scanner.position();
  scanner.offset++;
  if (!isDigit(scanner.peek()))
    throw scanner.syntaxError(`Expected a digit but got '${scanner.describe()}'.`);
  skipDigits(scanner);
  if (scanner.peek() === '.') return scanFraction(scanner, start, position);
  const suffixed = scanSizeSuffix(scanner, start, position);
  return suffixed ?? integerValue(scanner.text.slice(start, scanner.offset), 1n, position);
}

function scanDigits(scanner: ConfScanner): ConfValue | VariableReference {
  const start = scanner.offset;
  const position = scanner.position();
  skipDigits(scanner);
  const next = scanner.peek();
  if (next === '-') {
    if (scanner.offset - start !== 4)
      throw scanner.syntaxError('All ISO8601 dates must be in full Zulu form.');
    return scanDatetime(scanner, start, position);
  }
  if (next === '.') return scanFraction(scanner, start, position);
  if (endsValue(scanner)) return integerValue(scanner.text.slice(start, scanner.offset), 1n, position);
  return scanSizeSuffix(scanner, start, position) ?? scanUnquoted(scanner, start);
}

/** `k` is 1000, `kb`, `ki` and `kib` are 1024. Without a suffix that ends the value the cursor stays and the result is `null`. */
function scanSizeSuffix(scanner: ConfScanner, start: number, position: Position): ConfValue | null {
  const match = /^([kmgtpe])(b|ib?)?/i.exec(scanner.text.slice(scanner.offset, scanner.offset + 3));
  if (match === null) return null;
  const next = scanner.text.charAt(scanner.offset + match[0].length);
  if (next !== '' && !VALUE_ENDS.includes(next)) return null;
  const source = scanner.text.slice(start, scanner.offset);
  const exponent = BigInt(SIZE_SUFFIXES.indexOf(match[1]!.toLowerCase()) + 1);
  const base = match[2] === undefined ? 1000n : 1024n;
  scanner.offset += match[0].length;
  const value = integerValue(source, base ** exponent, position);
  const written = scanner.text.slice(start, scanner.offset);
  return value.kind === 'integer' ? { ...value, source: written } : value;
}

/** Digits and a dot are behind or at the cursor: a float, or an address when a second dot follows. */
function scanFraction(scanner: ConfScanner, start: number, position: Position): ConfValue {
  scanner.offset++;
  if (!isDigit(scanner.peek())) {
    throw scanner.syntaxError(
      `Floats must have a digit after the '.', but got '${scanner.describe()}' instead.`,
    );
  }
  skipDigits(scanner);
  if (scanner.peek() === '.') {
    while (isDigit(scanner.peek()) || scanner.isAt('.:-')) scanner.offset++;
    return stringValue(scanner.text.slice(start, scanner.offset), position);
  }
  const source = scanner.text.slice(start, scanner.offset);
  const value = Number(source);
  if (!Number.isFinite(value)) {
    throw new ConfigError('CONFIG_SYNTAX', `float '${source.slice(0, 64)}' is out of the range`);
  }
  return { kind: 'float', value, source, fromEnvironment: false, position, weightBytes: source.length };
}

const DATETIME_FORM = '0000-00-00T00:00:00Z';

function scanDatetime(scanner: ConfScanner, start: number, position: Position): ConfValue {
  scanner.offset = start;
  for (const expected of DATETIME_FORM) {
    const found = scanner.describe();
    if (expected === '0') {
      if (!isDigit(scanner.peek())) {
        throw scanner.syntaxError(`Expected digit in ISO8601 datetime, but found '${found}' instead.`);
      }
    } else if (scanner.peek() !== expected) {
      throw scanner.syntaxError(`Expected '${expected}' in ISO8601 datetime, but found '${found}' instead.`);
    }
    scanner.offset++;
  }
  const value = scanner.text.slice(start, scanner.offset);
  const parsed = new Date(value);
  // Date rolls 31 February over to March, so the text must come back as it went in.
  if (Number.isNaN(parsed.getTime()) || parsed.toISOString().slice(0, 19) !== value.slice(0, 19)) {
    throw new ConfigError('CONFIG_SYNTAX', `expected Zulu formatted DateTime, but got '${value}'`);
  }
  return {
    kind: 'datetime',
    value,
    source: value,
    fromEnvironment: false,
    position,
    weightBytes: value.length,
  };
}

function scanUnquoted(scanner: ConfScanner, start: number): ConfValue | VariableReference {
  const position = scanner.position(start);
  scanner.offset = start;
  let text = '';
  let runStart = start;
  let escaped = false;
  while (!endsValue(scanner) && scanner.peek() !== "'") {
    if (scanner.peek() !== '\\') {
      scanner.offset++;
      continue;
    }
    text += scanner.text.slice(runStart, scanner.offset) + scanEscape(scanner);
    runStart = scanner.offset;
    escaped = true;
  }
  text += scanner.text.slice(runStart, scanner.offset);
  if (scanner.peek() === "'") scanner.offset++;
  if (escaped) return stringValue(text, position);
  if (text.startsWith('$') && !text.startsWith(BCRYPT_PREFIX)) {
    return { kind: 'variable', name: decodeText(text.slice(1)), position };
  }
  const word = text.toLowerCase();
  if (TRUE_WORDS.has(word) || FALSE_WORDS.has(word)) {
    const value = TRUE_WORDS.has(word);
    return {
      kind: 'boolean',
      value,
      source: text,
      fromEnvironment: false,
      position,
      weightBytes: text.length,
    };
  }
  return stringValue(text, position);
}
