/**
 * The last of a list, or undefined.
 *
 * `list[list.length - 1]` of an empty list asks for a property named "-1", and makes that place in the code a slow look-up by name
 * for good.
 */
export function lastOf<T>(list: readonly T[]): T | undefined {
  const { length } = list;
  return length === 0 ? undefined : list[length - 1];
}
