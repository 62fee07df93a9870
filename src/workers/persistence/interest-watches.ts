import type { InterestWatch } from '../../shared/jetstream/effects.ts';
import { hasWildcard, subjectMatches } from '../../shared/subject/subject.ts';

/**
 * Who wants to know when interest on a subject comes or goes. A change is told after what the turn took in, once: the one who is
 * told looks for itself, so it doesn't matter what happened in between.
 */
export class InterestWatches {
  /** By account and subject. */
  readonly #watches = new Map<string, Map<string, Set<InterestWatch>>>();
  readonly #changed = new Set<InterestWatch>();

  add(watch: InterestWatch): void {
    let subjects = this.#watches.get(watch.account);
    if (subjects === undefined) {
      subjects = new Map();
      this.#watches.set(watch.account, subjects);
    }
    const watches = subjects.get(watch.subject);
    if (watches === undefined) subjects.set(watch.subject, new Set([watch]));
    else watches.add(watch);
  }

  delete(watch: InterestWatch): void {
    this.#changed.delete(watch);
    const subjects = this.#watches.get(watch.account);
    const watches = subjects?.get(watch.subject);
    if (watches === undefined || !watches.delete(watch)) return;
    if (watches.size === 0) subjects!.delete(watch.subject);
  }

  /** Interest on the subject, which may have wildcards, is more or less than it was. */
  changed(account: string, subject: string): void {
    const subjects = this.#watches.get(account);
    if (subjects === undefined || subjects.size === 0) return;
    if (!hasWildcard(subject)) {
      for (const watch of subjects.get(subject) ?? []) this.#changed.add(watch);
      return;
    }
    for (const [watched, watches] of subjects) {
      if (!subjectMatches(watched, subject)) continue;
      for (const watch of watches) this.#changed.add(watch);
    }
  }

  /** A thread is gone with all its interest. */
  allChanged(): void {
    for (const subjects of this.#watches.values()) {
      for (const watches of subjects.values()) for (const watch of watches) this.#changed.add(watch);
    }
  }

  tell(): void {
    if (this.#changed.size === 0) return;
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const watch of changed) watch.interestChanged();
  }
}
