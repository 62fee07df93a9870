/** Makes X.509 certificates for tests, without any command of the machine: npm's packages are all that a test needs. */
import { generateKeyPairSync } from 'node:crypto';
import forge from 'node-forge';

export interface MadeCertificate {
  /** PEM. */
  cert: string;
  key: string;
}

export interface CertificateRequest {
  commonName: string;
  organization?: string;
  /** Subject alternative names. */
  dns?: string[];
  ips?: string[];
  emails?: string[];
  /** Absent: self-signed. */
  issuer?: MadeCertificate;
  isAuthority?: boolean;
  validDays?: number;
}

const KEY_BITS = 2048;
const SAN_EMAIL = 1;
const SAN_DNS = 2;
const SAN_IP = 7;
let serial = Date.now();

/** An RSA private key in PEM (PKCS #8). */
export function makeKey(): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: KEY_BITS });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}

/** A certificate with a key of its own, signed by the issuer or by itself. */
export function makeCertificate(request: CertificateRequest): MadeCertificate {
  const { commonName, organization = 'natsd test', issuer, validDays = 3650 } = request;
  const key = makeKey();
  const privateKey = forge.pki.privateKeyFromPem(key);
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.setRsaPublicKey(privateKey.n, privateKey.e);
  certificate.serialNumber = `0${(serial++).toString(16)}`;
  const dayMs = 86_400_000;
  certificate.validity.notBefore = new Date(Date.now() - dayMs);
  certificate.validity.notAfter = new Date(Date.now() + validDays * dayMs);
  const subject = [
    { shortName: 'O', value: organization },
    { shortName: 'CN', value: commonName },
  ];
  certificate.setSubject(subject);
  certificate.setIssuer(
    issuer === undefined ? subject : forge.pki.certificateFromPem(issuer.cert).subject.attributes,
  );
  certificate.setExtensions(extensions(request));
  certificate.sign(
    issuer === undefined ? privateKey : forge.pki.privateKeyFromPem(issuer.key),
    forge.md.sha256.create(),
  );
  return { cert: forge.pki.certificateToPem(certificate), key };
}

function extensions({ dns = [], ips = [], emails = [], isAuthority = false }: CertificateRequest): object[] {
  const altNames = [
    ...dns.map((value) => ({ type: SAN_DNS, value })),
    ...ips.map((ip) => ({ type: SAN_IP, ip })),
    ...emails.map((value) => ({ type: SAN_EMAIL, value })),
  ];
  return [
    { name: 'basicConstraints', cA: isAuthority, critical: true },
    ...(altNames.length > 0 ? [{ name: 'subjectAltName', altNames }] : []),
  ];
}
