/**
 * What runs on a connection, as a list whose members know their place in it, so that none is looked for.
 *
 * A `Set` leaves its old table behind each time that it makes a new one, and V8 has the old one point at the new: once
 * one of them is old enough, every later one, with all that it held, lives until the next full collection. Where
 * members come and go by the thousand that was most of what the collector had to copy.
 */

export class Running<Member extends Placed> {
  readonly #members: Array<Member> = []

  get size(): number {
    return this.#members.length
  }

  add(member: Member): void {
    member.place = this.#members.push(member) - 1
  }

  /** Takes a member out, which is in. */
  remove(member: Member): void {
    const last = this.#members.pop()
    if (last === undefined || last === member) return
    this.#members[member.place] = last
    last.place = member.place
  }

  /** Those that are in now, in any order. */
  all(): ReadonlyArray<Member> {
    return this.#members.slice()
  }
}

/** `place` is for the list alone. */
export interface Placed {
  place: number
}
