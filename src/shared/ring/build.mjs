// Writes dist/: the package as it is published, with compiled JavaScript, declarations and a package.json that points at them.
// In the workspace the exports name the TypeScript sources, which bundlers and test runners read as they are.
import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
rmSync(`${here}dist`, { recursive: true, force: true });
const compiler = fileURLToPath(new URL('./bin/tsc', import.meta.resolve('typescript/package.json')));
const options = [
  '--outDir dist --rootDir . --declaration --target ES2022 --lib ES2024 --types node --skipLibCheck',
  '--module NodeNext --moduleResolution NodeNext --strict --verbatimModuleSyntax --ignoreConfig',
  '--allowImportingTsExtensions --rewriteRelativeImportExtensions',
];
execFileSync(process.execPath, [compiler, 'ring.ts', 'doorbell.ts', ...options.join(' ').split(' ')], {
  cwd: here,
  stdio: 'inherit',
});

const manifest = JSON.parse(readFileSync(`${here}package.json`, 'utf8'));
delete manifest.scripts;
for (const [entry, source] of Object.entries(manifest.exports)) {
  const stem = source.replace(/\.ts$/, '');
  manifest.exports[entry] = { types: `${stem}.d.ts`, default: `${stem}.js` };
}
writeFileSync(`${here}dist/package.json`, `${JSON.stringify(manifest, null, 2)}\n`);
copyFileSync(`${here}README.md`, `${here}dist/README.md`);
