/**
 * The page at `/`: links to the endpoints that exist, in nats-server's order and with its relative targets. The others of
 * nats-server's (accountz, accstatz, routez, leafz, gatewayz, raftz, debug/vars) come with their features.
 */

const LINKS: readonly [string, string][] = [
  ['General', 'varz'],
  ['JetStream', 'jsz'],
  ['Connections', 'connz'],
  ['Subscriptions', 'subsz'],
  ['Health Probe', 'healthz'],
];
const HELP_URL = 'https://docs.nats.io/running-a-nats-service/nats_admin/monitoring';

const STYLE = `
      :root { color-scheme: light dark; font: 16px/1.6 system-ui, sans-serif }
      body { margin: 2rem; max-width: 40rem }
      a { display: block; color: inherit; text-decoration: none }
      a:hover { text-decoration: underline }
      code { opacity: .6; margin-left: .5rem }`;

/** `basePath` with its leading slash (`/nats`), empty without one: links are relative to the page's own address. */
export function renderRootPage(page: { basePath: string; version: string; natsdVersion: string }): string {
  const base = escapeHtml(encodeURI(page.basePath));
  const links = LINKS.map(
    ([title, path]) => `    <a href=.${base}/${path}>${title}<code>/${path}</code></a>`,
  ).join('\n');
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>natsd</title>
    <style>${STYLE}
    </style>
  </head>
  <body>
    <h1>natsd ${escapeHtml(page.natsdVersion)}</h1>
    <p>compatible with nats-server v${escapeHtml(page.version)}</p>
${links}
    <a href=${HELP_URL} class="help">Help</a>
  </body>
</html>
`;
}

const ENTITIES = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&#34;'],
  ["'", '&#39;'],
]);

/** Makes a text safe inside HTML and inside quoted attribute values. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES.get(character) ?? character);
}
