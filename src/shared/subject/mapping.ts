/**
 * Subject mappings of an account (auth-accounts §9): published subjects that are replaced before permissions and
 * matching, possibly by one of several destinations drawn by weight.
 *
 * The first mapping whose source matches decides, once: a mapped subject is not mapped again. Weights that do not add up
 * to 100 leave the remainder unmapped, unless the source is itself a destination; then the author has already said how
 * much passes through, and the remainder is dropped.
 */
import type { MappingDestination, MappingOptions } from '../base/options.ts';
import { hasWildcard, isValidSubject } from './subject.ts';
import { compileTransform, sourceMatches, type Transform, TransformError } from './transform.ts';
import { wireText } from './wire-text.ts';

/** Why a mapping cannot be compiled; `message` is nats-server's text. */
export class MappingError extends Error {
  override readonly name = 'MappingError';
}

/** A destination and the upper end of its share of [0, 100). */
interface Share {
  readonly end: number;
  readonly transform: Transform;
}

interface Mapping {
  readonly shares: readonly Share[];
  /** Wire form. */
  readonly source: string;
  /** What becomes of draws beyond the last share: dropped or unchanged. */
  readonly remainder: '' | null;
}

/** The destinations for a server of the cluster: those scoped to it if there are any, else the unscoped ones. */
function destinationsFor(mapping: MappingOptions, cluster: string): MappingDestination[] {
  const scoped = mapping.destinations.filter(
    (destination) => destination.cluster !== '' && destination.cluster === cluster,
  );
  if (scoped.length > 0) return scoped;
  return mapping.destinations.filter((destination) => destination.cluster === '');
}

/**
 * What is wrong with a mapping, or null: the text that nats-server's configuration error has behind
 * `Error adding mapping for "x" : `. All destinations are checked, those of other clusters too.
 */
export function mappingProblem(mapping: MappingOptions): string | null {
  const source = wireText(mapping.source);
  const seen = new Set<string>();
  const totals = new Map<string, number>();
  for (const { subject, weight, cluster } of mapping.destinations) {
    if (seen.has(subject)) return `duplicate entry for "${subject}"`;
    seen.add(subject);
    const total = (totals.get(cluster) ?? 0) + weight;
    if (total > 100) return 'total weight needs to be <= 100';
    totals.set(cluster, total);
    const transform = compileTransform(source, wireText(subject));
    if (transform instanceof TransformError) return transform.message;
  }
  return null;
}

function compileMapping(mapping: MappingOptions, cluster: string): Mapping {
  const source = wireText(mapping.source);
  const shares: Share[] = [];
  let end = 0;
  let passesThrough = false;
  for (const { subject, weight } of destinationsFor(mapping, cluster)) {
    if (subject === mapping.source) passesThrough = true;
    const transform = compileTransform(source, wireText(subject));
    if (transform instanceof TransformError) throw transform;
    if (weight === 0) continue;
    end += weight;
    shares.push({ end, transform });
  }
  return { shares, source, remainder: passesThrough ? '' : null };
}

/** The compiled mappings of one account. */
export class MappingSet {
  readonly #mappings: readonly Mapping[];

  private constructor(mappings: readonly Mapping[]) {
    this.#mappings = mappings;
  }

  /**
   * Compiles the mappings of an account.
   *
   * @param cluster name of the cluster this server is in, empty when it is in none.
   */
  static compile(mappings: readonly MappingOptions[], cluster: string): MappingSet | MappingError {
    for (const mapping of mappings) {
      const { source } = mapping;
      if (!isValidSubject(source))
        return new MappingError(`Subject ${JSON.stringify(source)} is not a valid subject`);
      const problem = mappingProblem(mapping);
      if (problem !== null)
        return new MappingError(`Error adding mapping for ${JSON.stringify(source)} : ${problem}`);
    }
    return new MappingSet(mappings.map((mapping) => compileMapping(mapping, cluster)));
  }

  /** Number of mappings; with none, callers need not ask. */
  get size(): number {
    return this.#mappings.length;
  }

  /**
   * The subject a published one is replaced by: null when it stays what it is, the empty string when the message is
   * dropped.
   *
   * @param random uniform in [0, 1); asked for the draw between destinations and for `{{random(n)}}`.
   */
  map(subject: string, random: () => number): string | null {
    const mapping = this.#find(subject);
    if (mapping === undefined) return null;
    const { shares, remainder } = mapping;
    if (shares.length === 0) return remainder;
    // One whole share needs no draw, so a seeded run does not depend on how many of them there are.
    const draw = shares.length === 1 && shares[0]!.end === 100 ? 0 : random() * 100;
    const share = shares.find(({ end }) => draw < end);
    return share === undefined ? remainder : share.transform.apply(this.#hashed(mapping, subject), random);
  }

  /**
   * What a destination is made from. nats-server splits the subject only when it comes to a mapping with wildcards or to a
   * second one; a literal source that is the first has no tokens, and its `partition` hashes nothing. Its result is a
   * constant either way, but somebody may be subscribed to it.
   */
  #hashed(mapping: Mapping, subject: string): string {
    return mapping === this.#mappings[0] && !hasWildcard(mapping.source) ? '' : subject;
  }

  #find(subject: string): Mapping | undefined {
    return this.#mappings.find((mapping) => sourceMatches(subject, mapping.source));
  }
}
