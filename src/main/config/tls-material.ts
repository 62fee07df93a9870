import { createRequire } from 'node:module';
import type { TlsOptions } from '../../shared/base/options.ts';
import { OptionError } from './option-error.ts';
import { TLS13_SUITES } from './tls-names.ts';

/**
 * Certificates, keys and authorities behind a `tls` block: read once by the configuration layer, so that the threads that
 * serve TLS need no files and a broken pair stops the start instead of every handshake.
 *
 * OpenSSL keeps one certificate per key type and takes an RSA key beside an EC certificate without a word; so the pair is
 * compared here, not left to the secure context. node:crypto and node:tls load on the first `tls` block only.
 */

const load = createRequire(import.meta.url);

interface PemPair {
  cert: string;
  key: string;
  certFile: string;
  keyFile: string;
}

export type ReadFile = (path: string) => Uint8Array;

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/;
const ANY_PEM = /-----BEGIN [A-Z0-9 ]+-----/;

/**
 * Reads a certificate chain and its key.
 *
 * @param label what the message calls the pair: empty, or ` 1/2` in an array
 * @throws OptionError `error parsing X509 certificate/key pair: …`
 */
export function readPair(readFile: ReadFile, certFile: string, keyFile: string, label = ''): PemPair {
  const fail = (reason: string) =>
    new OptionError(`error parsing X509 certificate/key pair${label}: ${reason}`);
  let cert: string;
  let key: string;
  try {
    cert = decode(readFile(certFile));
    key = decode(readFile(keyFile));
  } catch (error) {
    throw fail(reasonOf(error));
  }
  const reason = pairProblem(cert, key);
  if (reason !== null) throw fail(reason);
  return { cert, key, certFile, keyFile };
}

/** Reads a bundle of authorities. @throws OptionError `failed to parse root ca certificate`, or why the file can't be read */
export function readAuthorities(readFile: ReadFile, caFile: string): string {
  let ca: string;
  try {
    ca = decode(readFile(caFile));
  } catch (error) {
    throw new OptionError(reasonOf(error));
  }
  const certificates = ca.match(CERTIFICATE) ?? [];
  const { X509Certificate } = load('node:crypto') as typeof import('node:crypto');
  try {
    for (const certificate of certificates) new X509Certificate(certificate);
  } catch {
    throw new OptionError('failed to parse root ca certificate');
  }
  if (certificates.length === 0) throw new OptionError('failed to parse root ca certificate');
  return ca;
}

/** Whether the OpenSSL of this runtime has the cipher or, for TLS 1.2 names, can be set to it. */
export function supportsCipher(opensslName: string): boolean {
  const { getCiphers } = load('node:tls') as typeof import('node:tls');
  return getCiphers().includes(opensslName.toLowerCase());
}

/** Whether the OpenSSL of this runtime has the key exchange group. */
export function supportsGroup(group: string): boolean {
  const { createSecureContext } = load('node:tls') as typeof import('node:tls');
  try {
    createSecureContext({ ecdhCurve: group });
    return true;
  } catch {
    return false;
  }
}

/**
 * Proves that the threads will be able to build their secure context of these options.
 *
 * @throws OptionError with OpenSSL's reason
 */
function checkSecureContext(tls: TlsOptions): void {
  const { createSecureContext } = load('node:tls') as typeof import('node:tls');
  try {
    createSecureContext({
      cert: tls.certs.map((pair) => pair.cert),
      key: tls.certs.map((pair) => pair.key),
      ...(tls.ca === '' ? {} : { ca: tls.ca }),
      ...(tls.ciphers === '' ? {} : { ciphers: tls.ciphers }),
      ...(tls.curves === '' ? {} : { ecdhCurve: tls.curves }),
      minVersion: tls.minVersion,
    });
  } catch (error) {
    throw new OptionError(`error in tls configuration: ${reasonOf(error)}`);
  }
}

/** The cipher list of a secure context: TLS 1.3's suites are always in it, since leaving them out would switch 1.3 off. */
export function cipherList(tls12Ciphers: readonly string[]): string {
  return [...TLS13_SUITES, ...tls12Ciphers].join(':');
}

function pairProblem(cert: string, key: string): string | null {
  const certificates = cert.match(CERTIFICATE);
  if (certificates === null) {
    if (PRIVATE_KEY.test(cert)) {
      return 'tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched';
    }
    return ANY_PEM.test(cert)
      ? 'tls: failed to find "CERTIFICATE" PEM block in certificate input'
      : 'tls: failed to find any PEM data in certificate input';
  }
  if (!PRIVATE_KEY.test(key)) {
    if (key.match(CERTIFICATE) !== null) {
      return 'tls: found a certificate rather than a key in the PEM for the private key';
    }
    return ANY_PEM.test(key)
      ? 'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input'
      : 'tls: failed to find any PEM data in key input';
  }
  const { X509Certificate, createPrivateKey } = load('node:crypto') as typeof import('node:crypto');
  try {
    const leaf = new X509Certificate(certificates[0]!);
    const privateKey = createPrivateKey(key);
    if (leaf.publicKey.asymmetricKeyType !== privateKey.asymmetricKeyType) {
      return 'tls: private key type does not match public key type';
    }
    return leaf.checkPrivateKey(privateKey) ? null : 'tls: private key does not match public key';
  } catch (error) {
    return `tls: ${reasonOf(error)}`;
  }
}

function decode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What keeps a TLS block from serving. */
export function contextProblems(tls: TlsOptions): string[] {
  // nats-server starts with such a block and then fails every handshake.
  if (tls.certs.length === 0) return ['TLS Server certificate must be present and valid'];
  try {
    checkSecureContext(tls);
    return [];
  } catch (error) {
    if (error instanceof OptionError) return [error.message];
    throw error;
  }
}
