/**
 * The rules of the source tree (src/ARCHITECTURE.md, "Rooms") as pure functions: a path and a text in, violations out. They work on the syntax
 * tree, so that comments, strings and property names are not mistaken for code.
 */

import { posix } from 'node:path';
import { parseAst } from 'vitest/node';

const MAX_FILE_LINES = 600;
const MAX_FUNCTION_LINES = 70;

interface SyntaxNode {
  type: string;
  start: number;
  end: number;
  [field: string]: unknown;
}

interface Visit {
  node: SyntaxNode;
  parent: SyntaxNode | null;
  /** Field of the parent that holds the node. */
  field: string;
}

interface ImportedModule {
  specifier: string;
  /** Imported names; `*` for a namespace or a re-export of everything, `default` for the default export. */
  names: string[];
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && typeof (value as SyntaxNode).type === 'string';
}

/** Every node of the tree with its parent, in source order. */
function visits(path: string, text: string): Visit[] {
  const found: Visit[] = [];
  const walk = (node: SyntaxNode, parent: SyntaxNode | null, field: string): void => {
    found.push({ node, parent, field });
    for (const [name, value] of Object.entries(node)) {
      for (const child of Array.isArray(value) ? value : [value]) {
        if (isNode(child)) walk(child, node, name);
      }
    }
  };
  const program: unknown = parseAst(text, { lang: 'ts' }, path);
  if (!isNode(program)) throw new Error(`${path}: no syntax tree`);
  walk(program, null, '');
  return found;
}

function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}

function nameOf(value: unknown): string {
  if (!isNode(value)) return '';
  return typeof value.name === 'string' ? value.name : String(value.value ?? '');
}

/** Statements, types and calls that bring in another module. */
export function importsOf(path: string, text: string): ImportedModule[] {
  const modules: ImportedModule[] = [];
  for (const { node } of visits(path, text)) {
    const loads = /^(ImportDeclaration|ExportAllDeclaration|ExportNamedDeclaration|ImportExpression)$/;
    if (!loads.test(node.type) && node.type !== 'TSImportType') continue;
    const source = node.source;
    if (!isNode(source)) continue;
    const specifiers = (node.specifiers ?? []) as SyntaxNode[];
    const names = specifiers.map((specifier) => {
      if (specifier.type === 'ImportDefaultSpecifier') return 'default';
      if (specifier.type === 'ImportNamespaceSpecifier') return '*';
      return nameOf(specifier.imported ?? specifier.local);
    });
    const specifier = source.type === 'Literal' ? String(source.value) : '<computed>';
    modules.push({ specifier, names: node.type.endsWith('Declaration') && names.length > 0 ? names : ['*'] });
  }
  return modules;
}

/** Modules of Node that hold no handle, no clock and no randomness; of `node:crypto` only what computes. */
const PURE_NODE_MODULES = new Set([
  'node:buffer',
  'node:crypto',
  'node:string_decoder',
  'node:util',
  'node:zlib',
]);
const IMPURE_CRYPTO = /^(random|getRandom|generate|webcrypto$|subtle$|default$|\*$)/;
const IMPURE_ZLIB = /^(?!constants$|crc32$).*(?<!Sync)$/;
/** What `src/shared/protocol/<x>` may use of `src/shared` besides itself. */
const BELOW_PROTOCOL = ['src/shared/subject/', 'src/shared/base/', 'src/shared/auth/'];

/** Folder that bounds what a file may see: `src/main/`, `src/workers/<role>/`, `src/shared/<area>/`, `src/shared/protocol/<x>/`. */
function roomOf(path: string): string {
  const [top = '', room = '', area = '', part = ''] = path.split('/');
  if (room === 'main') return `${top}/${room}/`;
  if (room === 'shared' && area === 'protocol') return `${top}/${room}/${area}/${part}/`;
  return `${top}/${room}/${area}/`;
}

function forbiddenFile(path: string, target: string): string | null {
  const from = roomOf(path);
  const to = roomOf(target);
  if (!target.startsWith('src/')) return 'imports from outside src';
  if (from === to) return null;
  if (from.startsWith('src/main/')) {
    if (to.startsWith('src/shared/') || /^src\/workers\/[^/]+\/contract\.ts$/.test(target)) return null;
    return 'main imports from workers only their contract.ts';
  }
  if (!to.startsWith('src/shared/')) {
    return from.startsWith('src/workers/')
      ? 'a worker role imports shared, never main or another role'
      : 'shared imports neither main nor workers';
  }
  if (from === 'src/shared/ring/') return 'the ring package imports nothing outside itself';
  if (from === 'src/shared/base/') return 'base imports base alone';
  if (from.startsWith('src/shared/protocol/') && !BELOW_PROTOCOL.includes(to)) {
    return 'a protocol imports subject, base and auth, never another protocol';
  }
  if (from === 'src/shared/broker/' && to === 'src/shared/jetstream/')
    return 'broker never imports jetstream';
  if (from === 'src/shared/jetstream/' && to === 'src/shared/broker/')
    return 'jetstream never imports broker';
  return null;
}

function forbiddenModule(path: string, module: ImportedModule): string | null {
  if (!path.startsWith('src/shared/')) return null;
  const { specifier, names } = module;
  if (path.startsWith('src/shared/ring/')) return 'the ring package imports nothing outside itself';
  if (!PURE_NODE_MODULES.has(specifier))
    return 'shared imports no packages and only modules of Node that compute';
  const impure = { 'node:crypto': IMPURE_CRYPTO, 'node:zlib': IMPURE_ZLIB }[specifier];
  const name = impure && names.find((candidate) => impure.test(candidate));
  return name === undefined ? null : `shared may not use "${name}" of ${specifier}`;
}

/** Violations of the import rules by one file; paths are relative to the repository, with forward slashes. */
export function importViolations(path: string, text: string): string[] {
  return importsOf(path, text).flatMap((module) => {
    const relative = module.specifier.startsWith('.');
    const reason = relative
      ? forbiddenFile(path, posix.join(posix.dirname(path), module.specifier))
      : forbiddenModule(path, module);
    return reason === null ? [] : [`${path}: imports "${module.specifier}": ${reason}`];
  });
}

const IMPURE_GLOBALS = new Set([
  'Promise',
  'XMLHttpRequest',
  'clearImmediate',
  'clearInterval',
  'clearTimeout',
  'console',
  'crypto',
  'fetch',
  'globalThis',
  'performance',
  'process',
  'queueMicrotask',
  'setImmediate',
  'setInterval',
  'setTimeout',
]);

/** True for names of properties, which say nothing about the global of the same name. */
function isPropertyName({ node, parent, field }: Visit): boolean {
  if (parent === null || parent.computed === true) return false;
  if (field === 'property' && parent.type === 'MemberExpression') return true;
  if (field === 'right' && parent.type === 'TSQualifiedName') return true;
  if (field === 'key') return parent.shorthand !== true && node.type === 'Identifier';
  return field === 'label' || field === 'imported' || field === 'exported';
}

/** Names the file itself declares: a parameter called `process` is not Node's. */
function declaredNames(all: Visit[]): Set<string> {
  const names = new Set<string>();
  for (const { node, parent, field } of all) {
    if (node.type === 'ObjectPattern') {
      for (const property of node.properties as SyntaxNode[]) names.add(nameOf(property.value));
    }
    if (node.type !== 'Identifier' || parent === null) continue;
    const declares =
      field === 'params' ||
      field === 'local' ||
      (field === 'id' && parent.type !== 'TSTypeAliasDeclaration') ||
      (field === 'elements' && parent.type === 'ArrayPattern') ||
      (field === 'left' && parent.type === 'AssignmentPattern') ||
      (field === 'argument' && parent.type === 'RestElement');
    if (declares) names.add(nameOf(node));
  }
  return names;
}

function impureUse(visit: Visit, declared: Set<string>): string | null {
  const { node } = visit;
  if (node.async === true) return 'async';
  if (node.type === 'AwaitExpression' || node.await === true) return 'await';
  if (node.type === 'ImportExpression') return 'import()';
  if (node.type === 'NewExpression' || node.type === 'CallExpression') {
    const built = nameOf(node.callee) === 'Date' && (node.arguments as unknown[]).length === 0;
    if (built || (nameOf(node.callee) === 'Date' && node.type === 'CallExpression')) return 'new Date()';
  }
  if (node.type === 'MemberExpression') {
    const member = `${nameOf(node.object)}.${nameOf(node.property)}`;
    if (member === 'Date.now' || member === 'Math.random') return member;
  }
  if (node.type === 'Identifier' && !isPropertyName(visit)) {
    const name = nameOf(node);
    if (IMPURE_GLOBALS.has(name) && !declared.has(name)) return name;
  }
  return null;
}

/** Clocks, timers, randomness, promises and ambient handles in a file of `src/shared`. */
export function purityViolations(path: string, text: string): string[] {
  if (!path.startsWith('src/shared/')) return [];
  const all = visits(path, text);
  const declared = declaredNames(all);
  return all.flatMap((visit) => {
    const use = impureUse(visit, declared);
    return use === null ? [] : [`${path}:${lineOf(text, visit.node.start)}: uses ${use}`];
  });
}

/** Files and functions that are too long, and syntax the project does without. */
export function styleViolations(path: string, text: string): string[] {
  const violations: string[] = [];
  const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
  if (lines > MAX_FILE_LINES) violations.push(`${path}: ${lines} lines, at most ${MAX_FILE_LINES}`);
  for (const { node } of visits(path, text)) {
    const line = lineOf(text, node.start);
    if (/^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)) {
      const length = lineOf(text, node.end) - line + 1;
      if (length > MAX_FUNCTION_LINES) {
        violations.push(`${path}:${line}: a function of ${length} lines, at most ${MAX_FUNCTION_LINES}`);
      }
    }
    if (node.type === 'TSAnyKeyword') violations.push(`${path}:${line}: any`);
    if (node.type === 'TSEnumDeclaration') violations.push(`${path}:${line}: enum`);
    // V8 calls its runtime for each use of one, 10 ns or more.
    const isAccessor = node.type === 'MethodDefinition' && (node.kind === 'get' || node.kind === 'set');
    if (isAccessor && isPrivate(node.key)) violations.push(`${path}:${line}: a private ${node.kind}ter`);
  }
  return violations;
}

function isPrivate(key: unknown): boolean {
  return isNode(key) && key.type === 'PrivateIdentifier';
}

/** File names that say nothing, and files that only pass on what others export. */
export function namingViolations(path: string, text: string): string[] {
  const violations: string[] = [];
  const shapeless = path.split('/').some((part) => /(^|[-_.])(utils?|helpers?|misc)([-_.]|$)/i.test(part));
  if (shapeless) violations.push(`${path}: name the file after what it holds`);
  const body = visits(path, text)[0]?.node.body as SyntaxNode[];
  const passesOn = (node: SyntaxNode): boolean => node.type.startsWith('Export') && isNode(node.source);
  if (body.length > 0 && body.every(passesOn)) violations.push(`${path}: a barrel file`);
  return violations;
}

const TOP_LEVEL = new Set(
  'package.json package-lock.json tsconfig.json LICENSE README.md src test perf deploy'.split(' '),
);

/** Entries of the repository's top level that are neither allowed there, nor dot-files, nor ignored by git. */
export function topLevelViolations(entries: string[], gitignore: string): string[] {
  const ignored = gitignore
    .split('\n')
    .map((line) => line.trim().replace(/^\/|\/$/g, ''))
    .filter((pattern) => pattern !== '' && !pattern.startsWith('#') && !pattern.includes('/'))
    .map((pattern) => new RegExp(`^${pattern.replace(/[.+?^$()|[\]{}\\]/g, '\\$&').replaceAll('*', '.*')}$`));
  return entries.filter(
    (entry) =>
      !TOP_LEVEL.has(entry) && !entry.startsWith('.') && !ignored.some((pattern) => pattern.test(entry)),
  );
}
