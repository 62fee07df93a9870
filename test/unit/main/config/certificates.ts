import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Self-signed certificates and keys in a temporary directory, and a key that fits none of them. */
export interface Certificates {
  directory: string;
  cert: string;
  key: string;
  /** Of another key type. */
  rsaKey: string;
  /** Of the same type as `key`, and not `cert`'s. */
  otherKey: string;
  junk: string;
  remove(): void;
}

export function makeCertificates(): Certificates {
  const directory = mkdtempSync(join(tmpdir(), 'natsd-config-'));
  const path = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'ignore' });
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const subject = ['-days', '30', '-subj', '/CN=localhost'];
  openssl('req', '-x509', ...curve, '-keyout', path('key.pem'), '-out', path('cert.pem'), ...subject);
  openssl('req', '-x509', ...curve, '-keyout', path('other.pem'), '-out', path('other-cert.pem'), ...subject);
  openssl('genrsa', '-out', path('rsa.pem'), '2048');
  writeFileSync(path('junk.pem'), 'junk\n');
  return {
    directory,
    cert: path('cert.pem'),
    key: path('key.pem'),
    rsaKey: path('rsa.pem'),
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
