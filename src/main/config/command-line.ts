import { COMPATIBLE_VERSION } from '../../shared/base/version.ts';
import { type Flag, findFlag } from './flag-table.ts';
import { quote } from './quote.ts';
import { SCALARS, type ScalarValues } from './scalars.ts';
import { tlsUsageText, usageText } from './usage.ts';

/**
 * The command line, by the rules of Go's flag package, which scripts around nats-server rely on: one dash or two, `-x v`
 * or `-x=v`, booleans only with `=`, and the end at the first argument that is no flag.
 *
 * Messages begin with `nats-server:` although the program is natsd: tools match them.
 */

/** Prefix of everything the command line prints to standard error about itself. */
export const MESSAGE_PREFIX = 'nats-server';

/** What the flags say. They win over the configuration file, after a reload too. */
export interface CommandFlags {
  /** Empty: no file. */
  configFile: string;
  scalars: Partial<ScalarValues>;
  user: string;
  password: string;
  token: string;
  tls: TlsFlags;
  /** Flags given (by their long name) that stand for features natsd may not have yet, with their values. */
  features: ReadonlyMap<string, string>;
}

export interface TlsFlags {
  /** `null`: not given. */
  enabled: boolean | null;
  verify: boolean;
  certFile: string;
  keyFile: string;
  caFile: string;
}

export type Command =
  | { kind: 'run'; flags: CommandFlags }
  | { kind: 'check'; flags: CommandFlags }
  /** Help and version: print and exit 0. */
  | { kind: 'print'; stdout: string }
  /** `--signal`: `target` is empty, a pid, a prefix with `*`, or a pid file. */
  | { kind: 'signal'; command: string; target: string }
  | { kind: 'error'; stderr: string; stdout: string; exitCode: 0 | 1 };

type Values = Map<Flag, string | number | boolean>;

/**
 * Reads the arguments (without interpreter and script).
 *
 * @param program name for the usage line
 */
export function parseCommandLine(argv: readonly string[], program = 'natsd'): Command {
  const parsed = parseFlags(argv);
  if ('error' in parsed) {
    // Exit code 0 for a wrong flag is nats-server's.
    return { kind: 'error', stderr: `${parsed.error}\n`, stdout: usageText(program), exitCode: 0 };
  }
  const { values, rest } = parsed;
  const isOn = (name: string) => values.get(findFlag(name)!) === true;
  if (isOn('version')) return { kind: 'print', stdout: versionText() };
  if (isOn('help')) return { kind: 'print', stdout: usageText(program) };
  if (isOn('help_tls')) return { kind: 'print', stdout: tlsUsageText() };
  const positional = positionalCommand(rest, program);
  if (positional !== null) return positional;
  const signal = values.get(findFlag('signal')!);
  if (typeof signal === 'string' && signal !== '') {
    const at = signal.indexOf('=');
    return at < 0
      ? { kind: 'signal', command: signal, target: '' }
      : { kind: 'signal', command: signal.slice(0, at), target: signal.slice(at + 1) };
  }
  const flags = commandFlags(values);
  const problem = scalarProblem(flags.scalars);
  if (problem !== null) return failure(problem);
  if (!isOn('t')) return { kind: 'run', flags };
  if (flags.configFile !== '') return { kind: 'check', flags };
  return failure('must specify [-c, --config] option to check configuration file syntax');
}

function failure(reason: string): Command {
  return { kind: 'error', stderr: `${MESSAGE_PREFIX}: ${reason}\n`, stdout: '', exitCode: 1 };
}

function versionText(): string {
  return `${MESSAGE_PREFIX}: v${COMPATIBLE_VERSION}\n`;
}

function positionalCommand(rest: readonly string[], program: string): Command | null {
  for (const argument of rest) {
    const word = argument.toLowerCase();
    if (word === 'version') return { kind: 'print', stdout: versionText() };
    if (word === 'help') return { kind: 'print', stdout: usageText(program) };
    return failure(`unrecognized command: ${quote(argument)}`);
  }
  return null;
}

function parseFlags(
  argv: readonly string[],
): { values: Values; rest: readonly string[] } | { error: string } {
  const values: Values = new Map();
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i]!;
    if (argument.length < 2 || !argument.startsWith('-')) return { values, rest: argv.slice(i) };
    if (argument === '--') return { values, rest: argv.slice(i + 1) };
    const body = argument.slice(argument.startsWith('--') ? 2 : 1);
    if (body === '' || body.startsWith('-') || body.startsWith('=')) {
      return { error: `bad flag syntax: ${argument}` };
    }
    const equals = body.indexOf('=');
    const name = equals < 0 ? body : body.slice(0, equals);
    let text = equals < 0 ? null : body.slice(equals + 1);
    const flag = findFlag(name);
    if (flag === undefined) return { error: `flag provided but not defined: -${name}` };
    if (text === null && flag.kind !== 'boolean') {
      if (i + 1 >= argv.length) return { error: `flag needs an argument: -${name}` };
      text = argv[++i]!;
    }
    const value = flagValue(flag, text);
    if ('problem' in value) {
      const what = flag.kind === 'boolean' ? 'invalid boolean value' : 'invalid value';
      const link = flag.kind === 'boolean' ? 'for' : 'for flag';
      return { error: `${what} ${quote(text!)} ${link} -${name}: ${value.problem}` };
    }
    values.set(flag, value.value);
  }
  return { values, rest: [] };
}

const TRUE_WORDS = ['1', 't', 'T', 'TRUE', 'true', 'True'];
const FALSE_WORDS = ['0', 'f', 'F', 'FALSE', 'false', 'False'];
const GO_INTEGER = /^[+-]?(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO]?(?:_?[0-7])*|[1-9](?:_?\d)*)$/;

function flagValue(
  flag: Flag,
  text: string | null,
): { value: string | number | boolean } | { problem: string } {
  if (flag.kind === 'string') return { value: text ?? '' };
  if (flag.kind === 'boolean') {
    if (text === null || TRUE_WORDS.includes(text)) return { value: true };
    return FALSE_WORDS.includes(text) ? { value: false } : { problem: 'parse error' };
  }
  if (text === null || !GO_INTEGER.test(text)) return { problem: 'parse error' };
  const value = goInteger(text);
  if (value > 2n ** 63n - 1n || value < -(2n ** 63n)) return { problem: 'value out of range' };
  return { value: Number(value) };
}

/** An integer literal of Go: `0x1F`, `0b1`, `0o17`, `017`, `1_000`. */
function goInteger(text: string): bigint {
  const digits = text.replace(/^[+-]/, '').replaceAll('_', '');
  const magnitude = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits);
  return text.startsWith('-') ? -magnitude : magnitude;
}

function commandFlags(values: Values): CommandFlags {
  const text = (name: string): string => {
    const value = values.get(findFlag(name)!);
    return typeof value === 'string' ? value : '';
  };
  const scalars: Record<string, unknown> = Object.create(null);
  const features = new Map<string, string>();
  for (const [flag, value] of values) {
    // Zero and empty are "not given", as in nats-server; a boolean counts whatever it says.
    const isGiven = typeof value === 'boolean' || (value !== 0 && value !== '');
    if (flag.scalar !== undefined && isGiven) scalars[flag.scalar] = value;
    if (isGiven && value !== false) features.set(flag.names.at(-1)!, String(value));
  }
  const isOn = (name: string) => values.get(findFlag(name)!) === true;
  if (isOn('DV') || isOn('DVV')) scalars.debug = true;
  if (isOn('DV') || isOn('DVV') || isOn('VV')) scalars.trace = true;
  if (isOn('DVV') || isOn('VV')) scalars.trace_verbose = true;
  const enabled = values.get(findFlag('tls')!);
  return {
    configFile: text('config'),
    scalars: scalars as Partial<ScalarValues>,
    user: text('user'),
    password: text('pass'),
    token: text('auth'),
    tls: {
      enabled: typeof enabled === 'boolean' ? enabled : null,
      verify: isOn('tlsverify'),
      certFile: text('tlscert'),
      keyFile: text('tlskey'),
      caFile: text('tlscacert'),
    },
    features,
  };
}

function scalarProblem(scalars: Partial<ScalarValues>): string | null {
  for (const name of Object.keys(scalars) as (keyof ScalarValues)[]) {
    const problem = checkScalar(name, scalars);
    if (problem !== null) return problem;
  }
  return null;
}

function checkScalar<Name extends keyof ScalarValues>(
  name: Name,
  scalars: Partial<ScalarValues>,
): string | null {
  return SCALARS[name].problem?.(scalars[name] as ScalarValues[Name]) ?? null;
}

/** No flags at all: for starts from code. */
export function noFlags(): CommandFlags {
  return commandFlags(new Map());
}
