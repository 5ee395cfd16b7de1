/** A reader of the text format, written from its description alone: what it gives back is what a person can rely on. */

/** The pairs of `key=value key="a \"quoted\" value"`; throws on anything else. */
export const parsePairs = (text: string): Array<[key: string, value: string]> => {
  const pairs: Array<[string, string]> = []
  const pair = /(?:^| )([A-Za-z0-9_.-]+)=("(?:[^"\\]|\\.)*"|[^ "=\\]*)(?= |$)/y
  while (pair.lastIndex < text.length) {
    const at = pair.lastIndex
    const match = pair.exec(text)
    if (match === null) throw new Error(`no pair at ${at} of ${text}`)
    const [, key, value] = match
    pairs.push([key!, value!.startsWith('"') ? (JSON.parse(value!) as string) : value!])
  }
  return pairs
}

/** `TIME LEVEL message key=value…`, the message bare or a JSON string. */
export const parseTextRecord = (line: string) => {
  const match = /^(\S+) ([A-Z]+) *(?: ("(?:[^"\\]|\\.)*"|[^"=\\]+?))((?: [^ "=\\]+=.*)?)$/.exec(line)
  if (match === null) throw new Error(`no record: ${line}`)
  const [, time, level, message, rest] = match
  return {
    time: time!,
    level: level!.toLowerCase(),
    message: message!.startsWith('"') ? (JSON.parse(message!) as string) : message!,
    fields: parsePairs(rest!.slice(1))
  }
}

/** Everything that ends a line somewhere, moves a cursor, or hides or reorders what is beside it. */
export const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]|\p{Cs}/u
