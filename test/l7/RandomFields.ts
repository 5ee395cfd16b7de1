/** Field lists as clients may send them, drawn for properties. */
import * as fc from "fast-check"
import type { Fields } from "../../src/l7/Message.ts"

/** A field as a pair, so that a list of them can be shuffled and filtered. */
export type Field = readonly [name: string, value: string]

export const flat = (fields: ReadonlyArray<Field>): Array<string> => fields.flat()

export const pairs = (fields: Fields): Array<Field> =>
  Array.from({ length: fields.length / 2 }, (_, i) => [fields[2 * i]!, fields[2 * i + 1]!])

const WORD = "abcdefghijklmnopqrstuvwxyz0123456789-"

/** A name that means nothing to HTTP. */
export const customName = fc
  .string({ unit: fc.constantFrom(...WORD), minLength: 1, maxLength: 12 })
  .map((word) => `x-custom-${word}`)

/** Visible ASCII with single spaces inside, and now and then a letter of Latin-1. */
export const fieldValue = fc
  .string({ unit: fc.constantFrom(...'abcXYZ019 =;/"ü'), maxLength: 20 })
  .map((text) => text.trim())

/** The same name in some mix of capitals. */
export const anyCase = (name: string): fc.Arbitrary<string> =>
  fc
    .array(fc.boolean(), { minLength: name.length, maxLength: name.length })
    .map((capitals) => [...name].map((letter, i) => (capitals[i] === true ? letter.toUpperCase() : letter)).join(""))

export const customField: fc.Arbitrary<Field> = fc.tuple(customName, fieldValue)
