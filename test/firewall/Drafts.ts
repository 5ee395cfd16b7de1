/** The next version of a trie, a tree or a firewall, made in one go. */

interface Version<V, A> {
  draft(): { add(item: A): void; remove(item: A): void; finish(): V }
}

/** With all of `items`. */
export const adding = <V, A>(version: Version<V, A>, items: Iterable<A>): V => {
  const draft = version.draft()
  for (const item of items) draft.add(item)
  return draft.finish()
}

/** Without any of `items`. */
export const removing = <V, A>(version: Version<V, A>, items: Iterable<A>): V => {
  const draft = version.draft()
  for (const item of items) draft.remove(item)
  return draft.finish()
}
