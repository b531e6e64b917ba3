/** Go's text/template as `--format` needs it: parsing. `evaluate.ts` runs the result. Reference: pkg.go.dev/text/template. */

import { UsageError } from "../errors.ts";

export type Node =
  | { kind: "text"; text: string }
  | { kind: "print"; pipe: Pipe }
  | { kind: "break" }
  | { kind: "continue" }
  | { kind: "if" | "with" | "range"; pipe: Pipe; body: Node[]; otherwise: Node[] };
/** `$a, $b := command | command`. */
export interface Pipe {
  variables: string[];
  declares: boolean;
  commands: Operand[][];
}
/** `names` are the fields taken from it: `$x.Name.First`. `start` and `end` tell where it stands in the text. */
export type Operand = { start: number; end: number } & (
  | { kind: "dot"; names: string[] }
  | { kind: "variable"; name: string; names: string[] }
  | { kind: "pipe"; pipe: Pipe; names: string[] }
  | { kind: "literal"; value: unknown }
  | { kind: "function"; name: string }
);

/** Docker's own function names are added to Go's by `functions.ts`; the parser only has to know which exist. */
export function parseTemplate(text: string, functionNames: Iterable<string>): Node[] {
  return new Parser(tokenize(text), new Set(functionNames)).document();
}

interface Token {
  kind: "text" | "open" | "close" | "word";
  text: string;
  /** Where it ends in the template. */
  end: number;
}

const wordPattern =
  /"(?:\\.|[^"\\\n])*"|`[^`]*`|'(?:\\.|[^'\\])'|[+-]?(?:0[xXoObB][\da-fA-F_]+|\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?)|:=|[=|(,]|\)(?:\.\w+)*|\$\w*(?:\.\w+)*|(?:\.[A-Za-z_]\w*)+|\.|[A-Za-z_]\w*/y;

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < text.length; ) {
    const open = text.indexOf("{{", at);
    const plain = text.slice(at, open === -1 ? undefined : open);
    const trimsBefore = open !== -1 && /^-\s/.test(text.slice(open + 2, open + 4));
    pushText(tokens, trimsBefore ? plain.trimEnd() : plain);
    if (open === -1) break;
    tokens.push({ kind: "open", text: "{{", end: open + 2 });
    at = tokenizeAction(text, open + (trimsBefore ? 3 : 2), tokens);
  }
  return tokens;
}

/** Returns where the text after the action begins: past the spaces where the action ends in ` -}}`. */
function tokenizeAction(text: string, start: number, tokens: Token[]): number {
  for (let at = start; ; ) {
    const rest = text.slice(at);
    const close = rest.match(/^(?:\s+-}}\s*|\s*}})/);
    if (close) {
      tokens.push({ kind: "close", text: "}}", end: at });
      return at + close[0].length;
    }
    const skipped = rest.match(/^(?:\s+|\/\*[\s\S]*?\*\/)/);
    if (skipped) {
      at += skipped[0].length;
      continue;
    }
    wordPattern.lastIndex = at;
    const word = wordPattern.exec(text)?.[0];
    if (!word) throw syntax(rest ? `unexpected ${JSON.stringify(rest[0])} in command` : "unclosed action");
    at += word.length;
    tokens.push({ kind: "word", text: word, end: at });
  }
}

function pushText(tokens: Token[], text: string): void {
  if (text) tokens.push({ kind: "text", text, end: 0 });
}

class Parser {
  private at = 0;
  /** How many `range` are open around this place. */
  private ranges = 0;

  constructor(
    private readonly tokens: Token[],
    private readonly functionNames: Set<string>,
  ) {}

  document(): Node[] {
    const { nodes, ended } = this.list();
    if (ended) throw syntax(`unexpected {{${ended}}}`);
    return nodes;
  }

  /** Nodes up to `end`, `else` or the end of the text; the word is taken, not what follows it. */
  private list(): { nodes: Node[]; ended?: string } {
    const nodes: Node[] = [];
    for (let token = this.tokens[this.at++]; token; token = this.tokens[this.at++]) {
      if (token.kind === "text") {
        nodes.push({ kind: "text", text: token.text });
        continue;
      }
      const word = this.peek();
      if (word === "end" || word === "else") {
        this.at++;
        return { nodes, ended: word };
      }
      if (word === "if" || word === "with" || word === "range") nodes.push(this.block(word));
      else if (word === "break" || word === "continue") nodes.push(this.jump(word));
      else if (word !== undefined) nodes.push({ kind: "print", pipe: this.actionPipe() });
      else this.close(); // a comment
    }
    return { nodes };
  }

  private jump(kind: "break" | "continue"): Node {
    if (!this.ranges) throw syntax(`{{${kind}}} outside {{range}}`);
    this.at++;
    this.close();
    return { kind };
  }

  private block(kind: "if" | "with" | "range"): Node {
    this.at++;
    const pipe = this.actionPipe();
    if (kind === "range") this.ranges++;
    const body = this.list();
    if (kind === "range") this.ranges--;
    let otherwise: Node[] = [];
    if (body.ended === "else") {
      const next = this.peek();
      if (next !== undefined && next === kind && kind !== "range")
        return { kind, pipe, body: body.nodes, otherwise: [this.block(next)] };
      this.close();
      const last = this.list();
      if (last.ended !== "end") throw syntax(last.ended ? `unexpected {{${last.ended}}}` : "unexpected EOF");
      otherwise = last.nodes;
    } else if (body.ended !== "end") {
      throw syntax("unexpected EOF");
    }
    this.close();
    return { kind, pipe, body: body.nodes, otherwise };
  }

  private actionPipe(): Pipe {
    const pipe = this.pipe();
    this.close();
    return pipe;
  }

  private pipe(): Pipe {
    const ahead = this.tokens.slice(this.at, this.at + 4).map((token) => token.text);
    const count = ahead[1] === "," ? 2 : 1;
    const operator = ahead[count === 2 ? 3 : 1];
    const assigns = ahead[0]!.startsWith("$") && (operator === ":=" || operator === "=");
    const variables = assigns ? (count === 2 ? [ahead[0]!, ahead[2]!] : [ahead[0]!]) : [];
    if (assigns) this.at += count === 2 ? 4 : 2;
    const commands = [this.command()];
    while (this.peek() === "|") {
      this.at++;
      commands.push(this.command());
    }
    return { variables, declares: operator === ":=", commands };
  }

  private command(): Operand[] {
    const operands: Operand[] = [];
    for (let word = this.peek(); word !== undefined && word !== "|" && !word.startsWith(")"); word = this.peek()) {
      const start = this.tokens[this.at]!.end - word.length;
      this.at++;
      const operand = this.operand(word);
      operands.push({ ...operand, start, end: this.tokens[this.at - 1]!.end } as Operand);
    }
    if (!operands.length) throw syntax("missing value for command");
    return operands;
  }

  private operand(word: string): DistributiveOmit<Operand, "start" | "end"> {
    if (word === "(") {
      const pipe = this.pipe();
      const end = this.peek();
      if (!end?.startsWith(")")) throw syntax("unclosed left paren");
      this.at++;
      return { kind: "pipe", pipe, names: end.split(".").slice(1) };
    }
    if (word.startsWith(".")) return { kind: "dot", names: word.split(".").slice(1).filter(Boolean) };
    if (word.startsWith("$")) {
      const [name = "$", ...names] = word.split(".");
      return { kind: "variable", name, names };
    }
    if (/^[-+\d]/.test(word)) return { kind: "literal", value: parseNumber(word) };
    if (word.startsWith('"')) return { kind: "literal", value: unquote(word) };
    if (word.startsWith("`")) return { kind: "literal", value: word.slice(1, -1) };
    if (word.startsWith("'")) return { kind: "literal", value: unquote(`"${word.slice(1, -1)}"`).codePointAt(0) };
    if (word === "true" || word === "false") return { kind: "literal", value: word === "true" };
    if (word === "nil") return { kind: "literal", value: null };
    if (!this.functionNames.has(word)) throw syntax(`function ${JSON.stringify(word)} not defined`);
    return { kind: "function", name: word };
  }

  /** The next word of this action; undefined at its end. */
  private peek(): string | undefined {
    const token = this.tokens[this.at];
    return token?.kind === "word" ? token.text : undefined;
  }

  private close(): void {
    const token = this.tokens[this.at++];
    if (token?.kind !== "close") throw syntax(token ? `unexpected ${JSON.stringify(token.text)}` : "unclosed action");
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

function parseNumber(word: string): number {
  const digits = word.replace(/^[+-]/, "").replaceAll("_", "");
  const value = /^0\d/.test(digits) ? Number(`0o${digits}`) : Number(digits); // Go reads 010 as octal
  if (Number.isNaN(value)) throw syntax(`bad number syntax: ${JSON.stringify(word)}`);
  return word.startsWith("-") ? -value : value;
}

const escapes: Record<string, string> = { n: "\n", t: "\t", r: "\r", a: "\x07", b: "\b", f: "\f", v: "\v" };

/** A Go string literal in double quotes. */
function unquote(word: string): string {
  return word.slice(1, -1).replace(/\\(?:x([\da-f]{2})|u([\da-f]{4})|(.))/gi, (_, hex, unicode, letter) => {
    if (hex ?? unicode) return String.fromCodePoint(Number.parseInt(hex ?? unicode, 16));
    return escapes[letter] ?? letter;
  });
}

function syntax(text: string): UsageError {
  return new UsageError(`template parsing error: template: :1: ${text}`);
}
