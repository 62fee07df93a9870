import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificate, makeKey } from '../../../support/make-certificate.ts';

/** Self-signed certificates and keys in a temporary directory, and a key that fits none of them. */
export interface Certificates {
  directory: string;
  cert: string;
  key: string;
  /** Of another key type. */
  ecKey: string;
  /** Of the same type as `key`, and not `cert`'s. */
  otherKey: string;
  junk: string;
  remove(): void;
}

export function makeCertificates(): Certificates {
  const directory = mkdtempSync(join(tmpdir(), 'natsd-config-'));
  const path = (name: string) => join(directory, name);
  const own = makeCertificate({ commonName: 'localhost', validDays: 30 });
  writeFileSync(path('cert.pem'), own.cert);
  writeFileSync(path('key.pem'), own.key);
  writeFileSync(path('other.pem'), makeKey());
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeFileSync(path('ec.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(path('junk.pem'), 'junk\n');
  return {
    directory,
    cert: path('cert.pem'),
    key: path('key.pem'),
    ecKey: path('ec.pem'),
    otherKey: path('other.pem'),
    junk: path('junk.pem'),
    remove: () => rmSync(directory, { recursive: true }),
  };
}

/** Files of a test: the given texts, then the disk; a missing one fails as Go words it. */
export function fileReader(files: Record<string, string>): (path: string) => Uint8Array {
  const texts = new Map(Object.entries(files));
  return (path) => {
    const text = texts.get(path);
    if (text !== undefined) return Buffer.from(text);
    try {
      return readFileSync(path);
    } catch {
      throw new Error(`open ${path}: no such file or directory`);
    }
  };
}
