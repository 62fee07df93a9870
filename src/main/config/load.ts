import type { ServerOptions } from '../../shared/base/options.ts';
import { type CommandFlags, MESSAGE_PREFIX } from './command-line.ts';
import { parseConfigFile } from './conf-parser.ts';
import { ConfigError } from './conf-value.ts';
import { configDigest } from './digest.ts';
import { type ConfigDraft, emptyDraft } from './draft.ts';
import { NOT_YET, NOT_YET_FLAGS } from './not-yet.ts';
import { OptionError } from './option-error.ts';
import { quote } from './quote.ts';
import { Reader } from './reader.ts';
import { resolveOptions } from './resolve.ts';
import { startProblems } from './start-checks.ts';
import { readTopLevel } from './top-level.ts';

/** From flags and file to options: parse, read every option, layer, check. Everything wrong is reported at once. */

export type LoadPurpose = 'start' | 'check' | 'reload';

export interface LoadContext {
  /** `check` (`-t`) fails on warnings and leaves out what only a start can know. Default `start`. */
  purpose?: LoadPurpose;
  /** Before a reload: the options in force, whose generated user stays the same. */
  previous?: ServerOptions;
}

export interface Loaded {
  options: ServerOptions;
  /** Misuse, one line each: printed to standard error as it is at the start, ignored at a reload. */
  warnings: string[];
  /** Options natsd goes on without, one line each; worth a warning in the log. */
  notices: string[];
}

/** Reads a file. Throws an Error whose `message` is the reason as Go words it: `open x: no such file or directory`. */
export type ReadFile = (path: string) => Uint8Array;

/**
 * Resolves the options of a server.
 *
 * @param env environment for `$VARIABLES` of the file
 * @returns the options, or what is wrong: one line each, warnings first, to be printed behind `nats-server: `
 */
export function loadOptions(
  flags: CommandFlags,
  env: Readonly<Record<string, string | undefined>>,
  readFile: ReadFile,
  context: LoadContext = {},
): Loaded | { errors: string[] } {
  const purpose = context.purpose ?? 'start';
  const reader = new Reader(readFile);
  const draft = emptyDraft();
  let digest = '';
  if (flags.configFile !== '') {
    const parsed = readConfig(reader, draft, flags.configFile, env);
    if (typeof parsed !== 'string') return parsed;
    digest = parsed;
  }
  reportFlags(reader, flags);
  const failures = purpose === 'check' ? [...reader.warnings, ...reader.errors] : reader.errors;
  if (failures.length > 0) return { errors: [...new Set([...reader.warnings, ...failures])] };
  try {
    const options = resolveOptions(
      {
        draft: flags.configFile === '' ? null : draft,
        configDigest: digest,
        flags,
        readFile,
        generatedUser: context.previous?.noAuthUserGenerated === true ? context.previous.noAuthUser : '',
      },
      draft,
    );
    const problems = purpose === 'check' ? [] : startProblems(options, draft, flags, purpose === 'reload');
    if (problems.length > 0) return { errors: [...reader.warnings, ...problems] };
    return { options, warnings: reader.warnings, notices: reader.notices };
  } catch (error) {
    if (error instanceof OptionError) return { errors: [...reader.warnings, error.message] };
    throw error;
  }
}

/** @returns the digest, or why the file couldn't be parsed */
function readConfig(
  reader: Reader,
  draft: ConfigDraft,
  path: string,
  env: Readonly<Record<string, string | undefined>>,
): string | { errors: string[] } {
  try {
    const tree = parseConfigFile(path, { env, readFile: reader.readFile });
    if (tree.entries.size === 0) reader.warnings.push(`${path}: config has no values or is empty`);
    readTopLevel(reader, tree, draft);
    return configDigest(tree);
  } catch (error) {
    if (error instanceof ConfigError) return { errors: [error.message] };
    throw error;
  }
}

function reportFlags(reader: Reader, flags: CommandFlags): void {
  for (const [name, option] of NOT_YET_FLAGS) {
    const notYet = NOT_YET.get(option);
    if (!flags.features.has(name) || notYet === undefined) continue;
    const what = `flag --${name}: option ${quote(option)} is not supported by natsd yet`;
    if (notYet.action === 'stop') reader.errors.push(`${what}: ${notYet.reason}`);
    else reader.notices.push(`${what} and is ignored: ${notYet.reason}`);
  }
}

/** What `-t` prints to standard error, and its exit code. */
export function checkConfiguration(
  flags: CommandFlags,
  env: Readonly<Record<string, string | undefined>>,
  readFile: ReadFile,
): { stderr: string; exitCode: 0 | 1 } {
  const loaded = loadOptions(flags, env, readFile, { purpose: 'check' });
  if ('errors' in loaded) return { stderr: formatErrors(loaded.errors), exitCode: 1 };
  const notices = loaded.notices.map((notice) => `${notice}\n`).join('');
  const verdict = `configuration file ${flags.configFile} is valid (${loaded.options.configDigest})`;
  return { stderr: `${notices}${MESSAGE_PREFIX}: ${verdict}\n`, exitCode: 0 };
}

/** Errors as printed to standard error before the process exits with 1. */
export function formatErrors(errors: readonly string[]): string {
  return `${MESSAGE_PREFIX}: ${errors.join('\n')}\n`;
}
