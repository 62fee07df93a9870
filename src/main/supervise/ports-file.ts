/**
 * The ports file: how a test harness learns which random ports a server got.
 *
 * The name is `nats-server_<pid>.ports` whatever the executable is called: that is what existing harnesses look for.
 * It appears by rename, so nobody reads half of it. Source: spec "Files and logs"; order checked against 2.15.1.
 */

import { renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { fileErrorText } from '../log/errno-text.ts';

/** URLs by kind of listener; a kind without URLs is left out of the file. */
export interface Ports {
  nats: string[];
  monitoring: string[];
  cluster: string[];
  profile: string[];
  websocket: string[];
}

export type InterfaceTable = NodeJS.Dict<NetworkInterfaceInfo[]>;

const UNSPECIFIED = new Set(['', '0.0.0.0', '::', '[::]']);

/** `scheme://host:port` for a listener; an unspecified host becomes one URL for every address of the machine. */
export function listenerUrls(
  scheme: string,
  host: string,
  port: number,
  interfaces: InterfaceTable = networkInterfaces(),
): string[] {
  const hosts = UNSPECIFIED.has(host)
    ? Object.values(interfaces).flatMap((addresses) => (addresses ?? []).map(({ address }) => address))
    : [host];
  return hosts.map((name) => `${scheme}://${isIPv6(name) ? `[${name}]` : name}:${port}`);
}

/** Path of the ports file of a process. */
function portsFilePath(directory: string, pid: number): string {
  return join(directory, `nats-server_${pid}.ports`);
}

/**
 * Writes the file and returns its path. Throws an Error with nats-server's whole log text
 * (`Error writing ports file (<path>): …`), which is logged, not fatal.
 */
export function writePortsFile(directory: string, pid: number, ports: Ports): string {
  const path = portsFilePath(directory, pid);
  const temporary = `${path}.tmp`;
  const filled = Object.entries(ports).filter(([, urls]) => urls.length > 0);
  try {
    writeFileSync(temporary, JSON.stringify(Object.fromEntries(filled)), { mode: 0o666 });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new Error(`Error writing ports file (${path}): ${fileErrorText('open', path, error)}`);
  }
  return path;
}

/** Removes the file at shutdown. Throws an Error with nats-server's whole log text. */
export function removePortsFile(directory: string, pid: number): void {
  const path = portsFilePath(directory, pid);
  try {
    unlinkSync(path);
  } catch (error) {
    throw new Error(`Error cleaning up ports file ${path}: ${fileErrorText('remove', path, error)}`);
  }
}
