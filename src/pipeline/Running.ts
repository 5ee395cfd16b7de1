/**
 * What runs, in the order in which it began: a list whose members know their neighbours, so that none is looked for.
 *
 * A `Set` or `Map` leaves its old table behind each time that it makes a new one, and V8 has the old one point at the
 * new: once one of them is old enough, every later one, with all that it held, lives until the next full collection.
 * Where members come and go by the thousand that was most of what the collector had to copy. For the same reason a
 * member that leaves keeps no neighbour.
 */

export class Running<Member extends Neighbour<Member>> {
  #first: Member | undefined
  #last: Member | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  add(member: Member): void {
    member.previous = this.#last
    if (this.#last === undefined) this.#first = member
    else this.#last.next = member
    this.#last = member
    this.#size++
  }

  has(member: Member): boolean {
    return member.previous !== undefined || this.#first === member
  }

  /** Takes a member out, which is in. */
  remove(member: Member): void {
    const { next, previous } = member
    if (previous === undefined) this.#first = next
    else previous.next = next
    if (next === undefined) this.#last = previous
    else next.previous = previous
    member.previous = undefined
    member.next = undefined
    this.#size--
  }

  /** Takes out the one that has been in for longest. */
  shift(): Member | undefined {
    const first = this.#first
    if (first !== undefined) this.remove(first)
    return first
  }

  /** Those that are in now. */
  all(): ReadonlyArray<Member> {
    const members: Array<Member> = []
    for (let member = this.#first; member !== undefined; member = member.next) members.push(member)
    return members
  }
}

/** For the list alone; a member is in one at most. */
export interface Neighbour<Member> {
  previous: Member | undefined
  next: Member | undefined
}
