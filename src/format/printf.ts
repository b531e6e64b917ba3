/** Go's fmt.Sprintf, with the verbs that fit the values of templates: pkg.go.dev/fmt. */

import { formatValue, goType } from "./go-values.ts";

/** Flags `-`, `+`, `0`, `#` and blank, a width and a precision before each verb. What does not fit is told in the text, as Go does. */
export function printf(format: string, values: unknown[]): string {
  const rest = [...values];
  const text = format.replace(
    /%([-+#0 ]*)(\d*)(?:\.(\d*))?([a-zA-Z%])/g,
    (_, flags: string, width: string, precision: string | undefined, verb: string) => {
      if (verb === "%") return "%";
      if (!rest.length) return `%!${verb}(MISSING)`;
      const part = formatVerb(verb, flags, rest.shift(), precision === undefined ? undefined : Number(precision));
      return padded(part, flags, Number(width), verb);
    },
  );
  const extra = rest.map((value) => `${goType(value)}=${formatValue(value)}`);
  return extra.length ? `${text}%!(EXTRA ${extra.join(", ")})` : text;
}

function formatVerb(verb: string, flags: string, value: unknown, precision: number | undefined): string {
  if (verb === "v") return formatValue(value ?? null);
  if (verb === "T") return goType(value);
  if (verb === "t" && typeof value === "boolean") return String(value);
  const text =
    typeof value === "number" ? formatNumber(verb, value, precision) : formatText(verb, value, precision, flags);
  if (text === undefined) return `%!${verb}(${value === null ? "" : `${goType(value)}=`}${formatValue(value)})`;
  return typeof value === "number" && flags.includes("+") && value >= 0 ? `+${text}` : text;
}

const bases: Record<string, number> = { b: 2, o: 8, d: 10, x: 16 };

function formatNumber(verb: string, value: number, precision = 6): string | undefined {
  if (Number.isInteger(value)) {
    if (verb === "X") return value.toString(16).toUpperCase();
    if (verb === "c") return String.fromCodePoint(value);
    return bases[verb] === undefined ? undefined : value.toString(bases[verb]);
  }
  if (verb === "f" || verb === "F") return value.toFixed(precision);
  if (verb === "e") return value.toExponential(precision).replace(/e([+-])(\d)$/, "e$10$2");
  return verb === "g" ? String(value) : undefined;
}

function formatText(verb: string, value: unknown, precision: number | undefined, flags: string): string | undefined {
  if (Array.isArray(value)) return `[${value.map((each) => formatVerb(verb, flags, each, precision)).join(" ")}]`;
  if (typeof value !== "string") return undefined;
  const text = [...value].slice(0, precision).join("");
  if (verb === "s") return text;
  if (verb === "q") return flags.includes("#") && !text.includes("`") ? `\`${text}\`` : JSON.stringify(text);
  const hex = Buffer.from(text).toString("hex");
  return verb === "x" ? hex : verb === "X" ? hex.toUpperCase() : undefined;
}

function padded(text: string, flags: string, width: number, verb: string): string {
  const missing = Math.max(0, width - [...text].length);
  if (flags.includes("-")) return text + " ".repeat(missing);
  const isNumber = flags.includes("0") && !"sqvT".includes(verb);
  const sign = isNumber && /^[+-]/.test(text) ? text[0]! : "";
  return sign + (isNumber ? "0" : " ").repeat(missing) + text.slice(sign.length);
}
