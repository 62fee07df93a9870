import { dashed, FLAG_GROUPS, type Flag } from './flag-table.ts';
import { CURVE_GROUPS, SECURE_SUITES, TLS13_SUITES } from './tls-names.ts';

const HELP_COLUMN = 38;

/** The help text of the command line, beginning with a blank line. @param program name the server was started by */
export function usageText(program: string): string {
  const lines = ['', `Usage: ${program} [options]`, ''];
  for (const group of FLAG_GROUPS) {
    lines.push(`${group.title}:`);
    for (const flag of group.flags) lines.push(flagLine(flag));
    lines.push('');
  }
  return `${lines.join('\n')}\n`;
}

function flagLine(flag: Flag): string {
  const names = flag.names.map(dashed).join(', ');
  const indent = dashed(flag.names[0]!).startsWith('--') ? '        ' : '    ';
  const head = `${indent}${names}${flag.argument === '' ? '' : ` ${flag.argument}`}`;
  return head.length < HELP_COLUMN
    ? `${head.padEnd(HELP_COLUMN)}${flag.help}`
    : `${head}\n${' '.repeat(HELP_COLUMN)}${flag.help}`;
}

/** What `--help_tls` prints: an example, and the names that lists take. */
export function tlsUsageText(): string {
  const suites = [...TLS13_SUITES, ...SECURE_SUITES.keys()].map((name) => `    ${name}`);
  const curves = [...CURVE_GROUPS.keys()].map((name) => `    ${name}`);
  return `
TLS is configured in the tls block of a configuration file:

    tls {
        cert_file: "./certs/server.pem"
        key_file:  "./certs/server-key.pem"
        ca_file:   "./certs/ca.pem"
        verify:    true

        cipher_suites:     ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
        curve_preferences: ["X25519", "CurveP256"]
    }

Available cipher suites include:
${suites.join('\n')}

Available curve preferences include:
${curves.join('\n')}

`;
}
