/**
 * Certificates for TLS tests, made once per machine with the openssl command and kept in the temporary directory.
 *
 * Several test processes may ask at once: each makes its set in a directory of its own and renames it into place; the
 * first rename wins and the others use that set.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

export interface CertificatePair {
  certFile: string;
  keyFile: string;
  cert: string;
  key: string;
}

export interface Certificates {
  caFile: string;
  ca: string;
  /** For `localhost`, 127.0.0.1 and ::1. */
  server: CertificatePair;
  /** Signed by the CA; e-mail SAN `derek@example.com`. */
  client: CertificatePair;
  /** A client certificate of another CA. */
  stranger: CertificatePair;
}

const VALID_DAYS = '3650';
/** Part of the directory's name: raise it when the set changes. */
const SET_VERSION = 1;

/** The certificate set, made on first use. */
export function certificates(): Certificates {
  const home = join(tmpdir(), `natsd-test-certificates-${userInfo().uid}-${SET_VERSION}`);
  if (!existsSync(home)) make(home);
  const pair = (name: string): CertificatePair => {
    const certFile = join(home, `${name}.pem`);
    const keyFile = join(home, `${name}.key`);
    return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  };
  const caFile = join(home, 'ca.pem');
  return {
    caFile,
    ca: readFileSync(caFile, 'utf8'),
    server: pair('server'),
    client: pair('client'),
    stranger: pair('stranger'),
  };
}

function make(home: string): void {
  const work = mkdtempSync(`${home}-`);
  authority(work, 'ca');
  authority(work, 'other');
  signed(work, 'server', 'ca', 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1');
  signed(work, 'client', 'ca', 'subjectAltName=email:derek@example.com');
  signed(work, 'stranger', 'other', 'subjectAltName=email:stranger@example.com');
  try {
    renameSync(work, home);
  } catch {
    rmSync(work, { recursive: true, force: true });
  }
}

function openssl(directory: string, args: string[]): void {
  execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
}

const EC_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

function authority(directory: string, name: string): void {
  const subject = ['-subj', `/O=natsd test/CN=${name}`];
  openssl(directory, [
    ...['req', '-x509', ...EC_KEY, ...subject, '-days', VALID_DAYS],
    ...['-keyout', `${name}.key`, '-out', `${name}.pem`],
  ]);
}

function signed(directory: string, name: string, issuer: string, extension: string): void {
  writeFileSync(join(directory, `${name}.ext`), `${extension}\n`);
  openssl(directory, [
    ...['req', '-new', ...EC_KEY, '-subj', `/O=natsd test/CN=${name}`],
    ...['-keyout', `${name}.key`, '-out', `${name}.csr`],
  ]);
  openssl(directory, [
    ...['x509', '-req', '-in', `${name}.csr`, '-CA', `${issuer}.pem`, '-CAkey', `${issuer}.key`],
    ...['-CAcreateserial', '-days', VALID_DAYS, '-extfile', `${name}.ext`, '-out', `${name}.pem`],
  ]);
}
