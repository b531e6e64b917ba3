/** What commands print: data on stdout, notes on stderr. Loaded after the user's namespace was entered. */

import type { ConsolaInstance } from "consola/core";
import { config } from "./config.ts";
import { formatError, hasCode, hintOf } from "./errors.ts";
import { compileTemplate } from "./format/evaluate.ts";
import { headingFunctions } from "./format/functions.ts";
import { alignTabs } from "./format/table.ts";
import { writeSync } from "./ns/sys/fs.ts";
import { getTerminalAttributes } from "./ns/sys/terminal.ts";

export type Stream = "stdout" | "stderr";
const fdOf = { stdout: 1, stderr: 2 };

/** One line of data. */
export function line(text: string): void {
  write("stdout", `${text}\n`);
}

/** All of it, waiting where the reader is slow. EPIPE is thrown: the reader has gone. */
export function write(stream: Stream, data: string | Uint8Array): void {
  writeTo(fdOf[stream], typeof data === "string" ? Buffer.from(data) : data);
}

/** The same to any descriptor. */
export function writeTo(fd: number, bytes: Uint8Array): void {
  let rest = bytes;
  while (rest.length) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if (!hasCode(error, "EAGAIN")) throw error; // another program has made our terminal or pipe non-blocking
      Bun.sleepSync(2);
    }
  }
}

/** Text in the place of what was there before; where that is no terminal it follows it. */
export function redraw(text: string): void {
  write("stdout", isTerminal("stdout") ? `\x1b[H\x1b[2J${text}` : text);
}

/** Whether cursor movement makes sense there. */
export function isTerminal(stream: Stream): boolean {
  return isTerminalFd(fdOf[stream]) && config.term !== "dumb";
}

/** Whether it is a terminal, of whatever kind: no place for archives. */
export function isTerminalFd(fd: number): boolean {
  return getTerminalAttributes(fd) !== undefined;
}

/** Select Graphic Rendition, ECMA-48 8.3.117. consola's own colours load node:tty, which costs two milliseconds. */
const renditions = { bold: 1, dim: 2, green: 32, yellow: 33 };

/** Bold or coloured where the stream is a terminal and NO_COLOR is unset. */
export function paint(stream: Stream, style: keyof typeof renditions, text: string): string {
  return isTerminal(stream) && !config.noColor ? `\x1b[${renditions[style]}m${text}\x1b[0m` : text;
}

let consola: ConsolaInstance | undefined;

/** Loaded where there is something to note, which is rare. */
function notes(): ConsolaInstance {
  const { createConsola }: typeof import("consola/core") = require("consola/core");
  consola ??= createConsola({
    reporters: [
      {
        log: ({ type, args }) => {
          const label = type === "warn" ? paint("stderr", "yellow", "warning:") : "note:";
          write("stderr", `${label} ${args.join(" ")}\n`);
        },
      },
    ],
  });
  return consola;
}

/** `warning: …` on stderr: something is not as the user may think. */
export function warn(text: string): void {
  notes().warn(text);
}

/** An error that does not keep the rest from being done. */
export function warnOf(error: Error): void {
  const hint = hintOf(error);
  warn(hint ? `${formatError(error)}\nhint: ${hint}` : formatError(error));
}

/** `note: …` on stderr: something was done that the user did not ask for in so many words. */
export function note(text: string): void {
  notes().info(text);
}

/** How the rows of one kind of object are listed. */
export interface ListStyle {
  /** What errors call a row: `container`. */
  typeName: string;
  /** Every field with its heading: `{ ID: "CONTAINER ID" }`; of a method what it gives for its argument. */
  headings: Record<string, string | ((argument: string) => string)>;
  /** The template of the usual table, cells separated by tabs. */
  standard: string;
}

/** A list as `--format` asks: nothing or `table` (the usual table), `table TEMPLATE`, `json` (one object a line), `TEMPLATE`. */
export function list(rows: object[], style: ListStyle, format = "table"): void {
  write("stdout", formatList(rows, style, format));
}

/** The text that `list` prints. Throws UsageError for a template that is wrong, also where there are no rows. */
export function formatList(rows: object[], { typeName, headings, standard }: ListStyle, format = "table"): string {
  if (format === "json") return rows.map((row) => `${JSON.stringify(sortKeys(row))}\n`).join("");
  const [, table, custom] = format.match(/^(table(?=\s|$)\s*)?([\s\S]*)$/)!;
  const text = (custom || standard).replaceAll("\\t", "\t").replaceAll("\\n", "\n");
  const template = compileTemplate(text, typeName);
  template.check([...new Set([...Object.keys(headings), ...Object.keys(rows[0] ?? {})])]);
  const data = custom?.includes("json") ? rows.map(sortKeys) : rows; // elsewhere the order of fields does not show
  const lines = data.map((row) => `${template.run(row)}\n`);
  return table ? alignTabs([`${template.run(headings, headingFunctions)}\n`, ...lines].join("")) : lines.join("");
}

/** Go writes the keys of a row in alphabetical order. */
function sortKeys(row: object): object {
  return Object.fromEntries(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** What `inspect`, `info` and `version` print: a template, `json`, or the whole in indented JSON. */
export function formatObject(value: object, format: string, typeName: string): string {
  if (format === "json") return JSON.stringify(value);
  return compileTemplate(format.replaceAll("\\t", "\t").replaceAll("\\n", "\n"), typeName).run(value);
}
