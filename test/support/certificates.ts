/**
 * Certificates for TLS tests, made once per machine and kept in the temporary directory.
 *
 * Several test processes may ask at once: each makes its set in a directory of its own and renames it into place; the
 * first rename wins and the others use that set.
 */
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { type MadeCertificate, makeCertificate } from './make-certificate.ts';

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

/** Part of the directory's name: raise it when the set changes. */
const SET_VERSION = 2;

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
  const save = (name: string, made: MadeCertificate): MadeCertificate => {
    writeFileSync(join(work, `${name}.pem`), made.cert);
    writeFileSync(join(work, `${name}.key`), made.key);
    return made;
  };
  const ca = save('ca', makeCertificate({ commonName: 'ca', isAuthority: true }));
  const other = save('other', makeCertificate({ commonName: 'other', isAuthority: true }));
  save(
    'server',
    makeCertificate({ commonName: 'server', issuer: ca, dns: ['localhost'], ips: ['127.0.0.1', '::1'] }),
  );
  save('client', makeCertificate({ commonName: 'client', issuer: ca, emails: ['derek@example.com'] }));
  save(
    'stranger',
    makeCertificate({ commonName: 'stranger', issuer: other, emails: ['stranger@example.com'] }),
  );
  try {
    renameSync(work, home);
  } catch {
    rmSync(work, { recursive: true, force: true });
  }
}
