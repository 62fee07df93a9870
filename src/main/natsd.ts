#!/usr/bin/env node
import { basename } from 'node:path';
import { MESSAGE_PREFIX, parseCommandLine } from './config/command-line.ts';
import { checkConfiguration } from './config/load.ts';
import { readSystemFile } from './config/read-file.ts';
import { runService } from './service.ts';

/** Entry of the `natsd` command: reads the command line and does what it says. */

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
