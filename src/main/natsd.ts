#!/usr/bin/env node
import { basename } from 'node:path';
import v8 from 'node:v8';
import { MESSAGE_PREFIX, parseCommandLine } from './config/command-line.ts';
import { checkConfiguration } from './config/load.ts';
import { readSystemFile } from './config/read-file.ts';
import { runService } from './service.ts';

/**
 * Entry of the `natsd` command: reads the command line and does what it says.
 *
 * Main accepts many connections but keeps none, so its garbage dies at once: a small young generation saves 2 KB of resident
 * memory for each of many connections. It has to be set before the first thread starts.
 */
v8.setFlagsFromString('--max-semi-space-size=1');

const command = parseCommandLine(
  process.argv.slice(2),
  basename(process.argv[1] ?? 'natsd').replace(/\.m?js$/, ''),
);
switch (command.kind) {
  case 'print':
    process.stdout.write(command.stdout);
    break;
  case 'error':
    process.stderr.write(command.stderr);
    process.stdout.write(command.stdout);
    process.exitCode = command.exitCode;
    break;
  case 'check': {
    const { stderr, exitCode } = checkConfiguration(command.flags, process.env, readSystemFile);
    process.stderr.write(stderr);
    process.exitCode = exitCode;
    break;
  }
  case 'signal': {
    const { runSignalCommand } = await import('./supervise/signal-command.ts');
    const target = command.target === '' ? command.command : `${command.command}=${command.target}`;
    const problem = runSignalCommand(target);
    if (problem !== null) process.stderr.write(`${MESSAGE_PREFIX}: ${problem}\n`);
    process.exitCode = problem === null ? 0 : 1;
    break;
  }
  case 'run':
    await runService(command.flags);
}
