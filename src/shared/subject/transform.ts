/**
 * Subject transforms (auth-accounts §9.1): what account mappings, stream transforms, republish and imports are made of.
 *
 * A transform is compiled once into parts, one per token of the destination, and applied to subjects that the source
 * matches. A token of the destination is a function only as a whole (`x{{wildcard(1)}}` is text). Subjects and patterns
 * are in wire form, so lengths and the partition hash are in bytes.
 *
 * Indexes are lenient in one direction, as nats-server's are and as configurations may rely on: an index above the number
 * of wildcards is an error, while 0 and negative ones stand for the first token of the subject.
 */
import { hasWildcard, isSubsetMatch, isValidSubscribeSubject } from './subject.ts';
import { textOfWire } from './wire-text.ts';

/** Why a transform cannot be compiled; `message` is nats-server's text. */
export class TransformError extends Error {
  override readonly name = 'TransformError';
}

/** The subject being transformed, and the chance that needs. */
interface Source {
  readonly subject: string;
  readonly tokens: readonly string[];
  readonly random: () => number;
}

/** One token of a destination. */
type Part =
  | { kind: 'text'; text: string }
  | { kind: 'token'; token: number }
  | { kind: 'partition'; count: number; tokens: number[] }
  | { kind: 'random'; count: number }
  | { kind: 'split'; token: number; delimiter: string }
  | { kind: SizeFunction; token: number; size: number }
  | { kind: 'rest'; token: number };

type SizeFunction =
  | 'splitFromLeft'
  | 'splitFromRight'
  | 'sliceFromLeft'
  | 'sliceFromRight'
  | 'left'
  | 'right';

type FunctionName = SizeFunction | 'wildcard' | 'partition' | 'random' | 'split';

/** A parsed function token: which one, and its arguments as text. */
interface Call {
  name: FunctionName;
  args: string[];
}

/** The first letter of each word of a name may be of either case. */
const FUNCTIONS: readonly (readonly [FunctionName, RegExp])[] = [
  ['wildcard', /\{\{\s*[wW]ildcard\s*\((.*)\)\s*\}\}/],
  ['partition', /\{\{\s*[pP]artition\s*\((.*)\)\s*\}\}/],
  ['random', /\{\{\s*[rR]andom\s*\((.*)\)\s*\}\}/],
  ['splitFromLeft', /\{\{\s*[sS]plit[fF]rom[lL]eft\s*\((.*)\)\s*\}\}/],
  ['splitFromRight', /\{\{\s*[sS]plit[fF]rom[rR]ight\s*\((.*)\)\s*\}\}/],
  ['sliceFromLeft', /\{\{\s*[sS]lice[fF]rom[lL]eft\s*\((.*)\)\s*\}\}/],
  ['sliceFromRight', /\{\{\s*[sS]lice[fF]rom[rR]ight\s*\((.*)\)\s*\}\}/],
  ['split', /\{\{\s*[sS]plit\s*\((.*)\)\s*\}\}/],
  ['left', /\{\{\s*[lL]eft\s*\((.*)\)\s*\}\}/],
  ['right', /\{\{\s*[rR]ight\s*\((.*)\)\s*\}\}/],
];

function destinationError(detail: string): TransformError {
  return new TransformError(`invalid mapping destination: ${detail}`);
}

const TOO_FEW = 'not enough arguments passed to the function';
const TOO_MANY = 'too many arguments passed to the function';
const BAD_ARGUMENT = 'function argument is invalid or in the wrong format';
const OUT_OF_RANGE = 'wildcard index out of range';

/** A problem of one token of the destination. */
function tokenError(problem: string, token: string, index?: number): TransformError {
  const where = token === '' ? '' : ` in ${textOfWire(token)}`;
  return destinationError(`${problem}${where}${index === undefined ? '' : `: [${index}]`}`);
}

function isFunctionToken(token: string): boolean {
  return token.length > 4 && token.startsWith('{{') && token.endsWith('}}');
}

/** The function of a `{{…}}` token, or null when there is none of the name. */
function parseCall(token: string): Call | null {
  for (const [name, pattern] of FUNCTIONS) {
    const match = pattern.exec(token);
    if (match !== null) return { name, args: (match[1] ?? '').split(/,\s*/) };
  }
  return null;
}

/** A decimal integer that fits `bits`, or null. Signs and surrounding blanks are fine. */
function parseInteger(text: string, bits: 32 | 64): number | null {
  const digits = text.trim();
  if (!/^[+-]?\d+$/.test(digits)) return null;
  const value = BigInt(digits.startsWith('+') ? digits.slice(1) : digits);
  return BigInt.asIntN(bits, value) === value ? Number(value) : null;
}

/** The number in `$n`, or null when the token is not of that form. */
function legacyIndex(token: string): number | null {
  return /^\$[+-]?\d+$/.test(token) ? parseInteger(token.slice(1), 64) : null;
}

/** Compiles the tokens of one destination against one source. */
class Compiler {
  readonly #source: string;
  /** Position in the source of its n-th wildcard, at n - 1. */
  readonly #wildcards: number[] = [];
  readonly #used = new Set<number>();
  readonly #lastToken: number;

  constructor(source: string) {
    this.#source = source;
    const tokens = source.split('.');
    for (const [position, token] of tokens.entries()) if (token === '*') this.#wildcards.push(position);
    this.#lastToken = tokens.length - 1;
  }

  get usesAllWildcards(): boolean {
    return this.#wildcards.every((position) => this.#used.has(position));
  }

  part(token: string): Part | TransformError {
    if (token === '>') return { kind: 'rest', token: this.#lastToken };
    const legacy = legacyIndex(token);
    if (legacy !== null)
      return this.#wildcard(token, legacy, (position) => ({ kind: 'token', token: position }));
    if (!isFunctionToken(token)) return { kind: 'text', text: token };
    const call = parseCall(token);
    if (call === null) return tokenError('unknown function', token);
    return this.#function(token, call);
  }

  #function(token: string, { name, args }: Call): Part | TransformError {
    switch (name) {
      case 'wildcard':
        return this.#wildcardFunction(token, args);
      case 'partition':
        return this.#partition(token, args);
      case 'random':
        return randomPart(token, args);
      case 'split':
        return this.#split(token, args);
      default:
        return this.#sized(token, name, args);
    }
  }

  /** Position of a wildcard by its number; an error when there are fewer. */
  #position(token: string, index: number): number | TransformError {
    if (index > this.#wildcards.length) {
      return hasWildcard(this.#source)
        ? tokenError(OUT_OF_RANGE, token, index)
        : tokenError(OUT_OF_RANGE, token);
    }
    const position = this.#wildcards[index - 1];
    if (position === undefined) return 0;
    this.#used.add(position);
    return position;
  }

  #wildcard(token: string, index: number, build: (position: number) => Part): Part | TransformError {
    if (!hasWildcard(this.#source)) return tokenError(OUT_OF_RANGE, token);
    const position = this.#position(token, index);
    return typeof position === 'number' ? build(position) : position;
  }

  #wildcardFunction(token: string, args: string[]): Part | TransformError {
    if (args.length === 1 && args[0] === '') return tokenError(TOO_FEW, token);
    if (args.length > 1) return tokenError(TOO_MANY, token);
    const index = parseInteger(args[0]!, 64);
    if (index === null) return tokenError(BAD_ARGUMENT, token);
    return this.#wildcard(token, index, (position) => ({ kind: 'token', token: position }));
  }

  #partition(token: string, args: string[]): Part | TransformError {
    const numbers: number[] = [];
    for (const argument of args) {
      const value = parseInteger(argument, 32);
      if (value === null) return tokenError(BAD_ARGUMENT, token);
      numbers.push(value);
    }
    const [count, ...indexes] = numbers as [number, ...number[]];
    // A literal source has nothing to pick from: whatever the indexes are, the whole subject is hashed.
    if (!hasWildcard(this.#source)) return { kind: 'partition', count, tokens: [] };
    const tokens: number[] = [];
    for (const index of indexes) {
      const position = this.#position(token, index);
      if (typeof position !== 'number') return position;
      tokens.push(position);
    }
    return { kind: 'partition', count, tokens };
  }

  #split(token: string, args: string[]): Part | TransformError {
    if (args.length < 2) return tokenError(TOO_FEW, token);
    if (args.length > 2) return tokenError(TOO_MANY, token);
    const index = parseInteger(args[0]!, 64);
    const delimiter = args[1]!;
    if (index === null || /[ .]/.test(delimiter)) return tokenError(BAD_ARGUMENT, token);
    return this.#wildcard(token, index, (position) => ({ kind: 'split', token: position, delimiter }));
  }

  #sized(token: string, kind: SizeFunction, args: string[]): Part | TransformError {
    if (args.length < 2) return tokenError(TOO_FEW, token);
    if (args.length > 2) return tokenError(TOO_MANY, token);
    const index = parseInteger(args[0]!, 32);
    const size = parseInteger(args[1]!, 32);
    if (index === null || size === null) return tokenError(BAD_ARGUMENT, token);
    return this.#wildcard(token, index, (position) => ({ kind, token: position, size }));
  }
}

function randomPart(token: string, args: string[]): Part | TransformError {
  if (args.length > 1) return tokenError(TOO_FEW, token);
  const count = parseInteger(args[0]!, 32);
  return count === null ? tokenError(BAD_ARGUMENT, token) : { kind: 'random', count };
}

/** FNV-1a of 32 bits over wire text. */
function fnv1a(hash: number, bytes: string): number {
  let result = hash;
  for (let i = 0; i < bytes.length; i++) result = Math.imul(result ^ bytes.charCodeAt(i), 0x01000193);
  return result;
}

function partition(source: Source, count: number, tokens: readonly number[]): number {
  if (count === 0) return 0;
  let hash = 0x811c9dc5;
  if (tokens.length === 0) hash = fnv1a(hash, source.subject);
  for (const token of tokens) hash = fnv1a(hash, source.tokens[token] ?? '');
  // A negative count wraps, as unsigned arithmetic has it.
  return (hash >>> 0) % (count >>> 0);
}

/** Bytes that belong together as one UTF-8 character, or a byte alone. */
const CHARACTER = /[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|[\s\S]/g;

function split(text: string, delimiter: string): string {
  const pieces = delimiter === '' ? (text.match(CHARACTER) ?? []) : text.split(delimiter);
  return pieces.filter((piece) => piece !== '').join('.');
}

/** Cuts the text into pieces of `size`, the first of them `firstSize` long. */
function slices(text: string, firstSize: number, size: number): string {
  const pieces = [text.slice(0, firstSize)];
  for (let at = firstSize; at < text.length; at += size) pieces.push(text.slice(at, at + size));
  return pieces.join('.');
}

function sized(kind: SizeFunction, text: string, size: number): string {
  const length = text.length;
  if (size <= 0 || size >= length) return text;
  switch (kind) {
    case 'splitFromLeft':
      return `${text.slice(0, size)}.${text.slice(size)}`;
    case 'splitFromRight':
      return `${text.slice(0, length - size)}.${text.slice(length - size)}`;
    case 'sliceFromLeft':
      return slices(text, size, size);
    case 'sliceFromRight':
      return slices(text, length % size || size, size);
    case 'left':
      return text.slice(0, size);
    case 'right':
      return text.slice(length - size);
  }
}

function render(part: Part, source: Source): string {
  switch (part.kind) {
    case 'text':
      return part.text;
    case 'token':
      return source.tokens[part.token] ?? '';
    case 'rest':
      return source.tokens.slice(part.token).join('.');
    case 'partition':
      return String(partition(source, part.count, part.tokens));
    case 'random':
      return part.count === 0 ? '0' : String(Math.floor(source.random() * Math.abs(part.count)));
    case 'split':
      return split(source.tokens[part.token] ?? '', part.delimiter);
    default:
      return sized(part.kind, source.tokens[part.token] ?? '', part.size);
  }
}

/**
 * Whether a published subject is one the source of a transform stands for. Wildcard tokens of the subject are covered by
 * equal or wider wildcards only, and a subject with an empty token is covered by nothing.
 */
export function sourceMatches(subject: string, source: string): boolean {
  return subject === source || isSubsetMatch(subject, source);
}

/** A compiled source and destination. */
export class Transform {
  /** Wire form. */
  readonly source: string;
  /** Wire form. */
  readonly destination: string;
  readonly #parts: readonly Part[];
  /** The result when it is the same for every subject. */
  readonly #constant: string | null;

  constructor(source: string, destination: string, parts: readonly Part[]) {
    this.source = source;
    this.destination = destination;
    this.#parts = parts;
    this.#constant = parts.every((part) => part.kind === 'text') ? destination : null;
  }

  /**
   * The destination for a subject that the source matches. The result may be no valid subject (`split` of delimiters
   * alone is empty); such a subject matches nothing.
   *
   * @param random uniform in [0, 1), asked once for each `random` of the destination.
   */
  apply(subject: string, random: () => number): string {
    if (this.#constant !== null) return this.#constant;
    const source: Source = { subject, tokens: subject.split('.'), random };
    return this.#parts.map((part) => render(part, source)).join('.');
  }
}

/** Checks the tokens of a destination one by one, before it is held against a source. */
function destinationProblem(tokens: readonly string[]): TransformError | null {
  let rest = false;
  for (const token of tokens) {
    if (token === '' || rest) return tokenError('invalid transform', token);
    if (isFunctionToken(token)) {
      if (parseCall(token) === null) return tokenError('unknown function', token);
    } else if (/[ \t\n\f\r]/.test(token)) return destinationError('invalid transform');
    else if (token === '>') rest = true;
  }
  return null;
}

/** What an import asks of a transform: that it can be turned round. */
function strictProblem(
  parts: readonly Part[],
  tokens: readonly string[],
  compiler: Compiler,
): TransformError | null {
  const strange = parts.findIndex((part) => !['text', 'token', 'rest'].includes(part.kind));
  if (strange !== -1) {
    const rule = 'the only mapping function allowed for import transforms is {{Wildcard()}}';
    return tokenError(rule, tokens[strange]!);
  }
  if (compiler.usesAllWildcards) return null;
  return tokenError('not using all of the token wildcard(s)', tokens.join('.'));
}

/**
 * Compiles a transform.
 *
 * @param source pattern in wire form; empty means `>`.
 * @param destination in wire form.
 * @param strict for imports: only wildcards, and all of them.
 */
export function compileTransform(
  source: string,
  destination: string,
  strict = false,
): Transform | TransformError {
  const pattern = source === '' ? '>' : source;
  const tokens = destination.split('.');
  const problem = destinationProblem(tokens);
  if (problem !== null) return problem;
  const bare = tokens.includes('*');
  const rest = tokens[tokens.length - 1] === '>';
  const sourceRest = pattern === '>' || pattern.endsWith('.>');
  if (!isValidSubscribeSubject(pattern) || bare || rest !== sourceRest)
    return new TransformError('invalid subject');
  const compiler = new Compiler(pattern);
  const parts: Part[] = [];
  for (const token of tokens) {
    const part = compiler.part(token);
    if (part instanceof TransformError) return part;
    parts.push(part);
  }
  const strictness = strict ? strictProblem(parts, tokens, compiler) : null;
  return strictness ?? new Transform(pattern, destination, parts);
}
