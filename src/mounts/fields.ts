/** One line of comma-separated values, as Go's encoding/csv reads it: a field in quotes may hold commas. */

import { UsageError } from "../errors.ts";

export function splitFields(text: string): string[] {
  if (text.trim() === "") throw new UsageError("value is empty");
  const fields: string[] = [];
  let rest = text;
  for (;;) {
    const [whole, quoted, plain] = /^(?:"((?:[^"]|"")*)"(?=,|$)|([^",]*)(?=,|$))/.exec(rest) ?? [];
    if (whole === undefined) {
      const column = text.length - rest.length + rest.indexOf('"') + 1;
      const kind = rest.startsWith('"') ? 'extraneous or missing " in quoted-field' : 'bare " in non-quoted-field';
      throw new UsageError(`parse error on line 1, column ${column}: ${kind}`);
    }
    fields.push(quoted?.replaceAll('""', '"') ?? plain ?? "");
    if (whole.length === rest.length) return fields;
    rest = rest.slice(whole.length + 1);
  }
}
