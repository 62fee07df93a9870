/**
 * `--signal <command>[=<pid>|<pid file>|<prefix>*]`: sends a signal to a running server.
 *
 * Which processes are servers? natsd runs as `node …/natsd.js`, so its name is not the executable's: processes are
 * known by a script or an argv[0] called natsd or nats-server. A real nats-server on the same machine is not ours:
 * its executable is its own, not Node.
 *
 * Unlike nats-server, a pid below 1 is refused: to kill(2) those mean "every process" and "my process group", and
 * `--signal reload=-1` as root sends SIGHUP to everything that runs.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { errnoText } from '../log/errno-text.ts';

const COMMANDS = new Map<string, NodeJS.Signals>([
  ['stop', 'SIGKILL'],
  ['quit', 'SIGINT'],
  ['term', 'SIGTERM'],
  ['reopen', 'SIGUSR1'],
  ['reload', 'SIGHUP'],
  ['ldm', 'SIGUSR2'],
]);

const MAX_PID = 2 ** 31 - 1;
const SERVER_NAMES = new Set(['natsd', 'nats-server']);
const SCRIPT_NAME = /^(natsd|nats-server)(\.(js|mjs|ts))?$/;
const NODE_NAME = /^(node|nodejs|natsd|bun|deno)([-.\d].*)?$/;
/** Node's flags whose value is an argument of its own, and so not the script. */
const NODE_VALUE_FLAGS = new Set(['-r', '--require', '--import', '--loader', '--experimental-loader', '-C']);

/** Another process, as far as it can be seen. */
export interface ProcessDescription {
  pid: number;
  argv: string[];
  /** Path of the executable; empty when it may not be read. */
  executable: string;
}

/** The operating system below the command; tests replace it. */
export interface SignalHost {
  selfPid: number;
  /** Pids of the other running servers; `null` when there is no way to tell. */
  serverPids(): number[] | null;
  /** Content of a file, `null` when it cannot be read. */
  readFile(path: string): string | null;
  /** Sends a signal; throws the system's error. */
  kill(pid: number, signal: NodeJS.Signals): void;
}

/**
 * Carries out the command. `null` is success (exit code 0, silence); else the error text, which main prints behind
 * `nats-server: ` before it exits with 1. Texts: spec "Signals".
 */
export function runSignalCommand(argument: string, host: SignalHost = systemHost()): string | null {
  const separator = argument.indexOf('=');
  const command = separator < 0 ? argument : argument.slice(0, separator);
  const target = resolveTarget(separator < 0 ? '' : argument.slice(separator + 1), host);
  const pids = resolvePids(target, host);
  if (typeof pids === 'string') return pids;
  const signal = COMMANDS.get(command);
  if (signal === undefined) return `unknown signal "${command}"`;
  let failures = '';
  for (const pid of pids) {
    try {
      host.kill(pid, signal);
    } catch (error) {
      failures += `\nsignal "${command}" ${pid}: ${errnoText(error)}`;
    }
  }
  return failures === '' ? null : failures;
}

/** A target that is no number and no glob may be a pid file: then its content counts. */
function resolveTarget(target: string, host: SignalHost): string {
  if (target === '' || /^[+-]?\d+$/.test(target) || target.endsWith('*')) return target;
  // nats-server refuses a trailing line end; `echo $pid > file` should work all the same.
  return host.readFile(target)?.trimEnd() ?? target;
}

/** The pids to signal, or an error text. */
function resolvePids(target: string, host: SignalHost): number[] | string {
  const isGlob = target.endsWith('*');
  if (target !== '' && !isGlob) {
    const pid = parsePid(target);
    return pid === null ? `invalid pid: ${target}` : [pid];
  }
  const prefix = target.slice(0, -1);
  if (isGlob && !/^\d*$/.test(prefix)) return `invalid pid: ${prefix}`;
  const running = host.serverPids();
  if (running === null) return 'unable to resolve pid, try providing one';
  const pids = running.filter((pid) => pid !== host.selfPid && String(pid).startsWith(prefix));
  if (pids.length === 0) return 'no nats-server processes running';
  if (!isGlob && pids.length > 1) return `multiple nats-server processes running:\n${pids.join('\n')}`;
  return pids;
}

function parsePid(text: string): number | null {
  if (!/^\+?\d+$/.test(text)) return null;
  const pid = Number(text);
  return pid >= 1 && pid <= MAX_PID ? pid : null;
}

/** Whether a process is a natsd server (see the head of this file). */
export function isServerProcess(description: ProcessDescription): boolean {
  const { argv, executable } = description;
  if (executable !== '' && !NODE_NAME.test(basename(executable.replace(/ \(deleted\)$/, '')))) return false;
  if (argv.length === 0 || argv.some((argument) => /^--?(signal|sl)(=|$)/.test(argument))) return false;
  if (SERVER_NAMES.has(basename(argv[0]!))) return true;
  const script = argv.find(
    (argument, index) => index > 0 && !argument.startsWith('-') && !NODE_VALUE_FLAGS.has(argv[index - 1]!),
  );
  return script !== undefined && SCRIPT_NAME.test(basename(script));
}

/** The real operating system. */
export function systemHost(): SignalHost {
  return {
    selfPid: process.pid,
    serverPids: () => (existsSync('/proc/self/cmdline') ? scanProc() : askPgrep()),
    readFile(path) {
      try {
        return readFileSync(path, 'utf8');
      } catch {
        return null;
      }
    },
    kill(pid, signal) {
      process.kill(pid, signal);
    },
  };
}

function scanProc(): number[] {
  const pids: number[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const argv = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0').slice(0, -1);
      if (isServerProcess({ pid: Number(name), argv, executable: readExecutable(name) }))
        pids.push(Number(name));
    } catch {
      // The process is gone or not ours to see.
    }
  }
  return pids.sort((a, b) => a - b);
}

function readExecutable(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return '';
  }
}

/** Systems without /proc: `null` when pgrep is missing too. */
function askPgrep(): number[] | null {
  try {
    const output = execFileSync('pgrep', ['-f', '(^|/)(natsd|nats-server)([.](js|mjs|ts))?( |$)'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return output.split('\n').filter(Boolean).map(Number);
  } catch (error) {
    // pgrep answers 1 when nothing matches.
    const isNoMatch = typeof error === 'object' && error !== null && 'status' in error && error.status === 1;
    return isNoMatch ? [] : null;
  }
}
