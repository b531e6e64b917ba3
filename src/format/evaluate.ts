/** Runs a template of `template.ts` on data, with Go's rules for truth, fields and printing. */

import { formatError, hintOf, UsageError } from "../errors.ts";
import { callFunction, functions, type GoFunction } from "./functions.ts";
import { formatValue, goType, isGoMap, isTrue } from "./go-values.ts";
import { type Node, type Operand, type Pipe, parseTemplate } from "./template.ts";

/**
 * A template ready to run. Plain objects are Go's structs: a field they lack is an error. Objects without prototype (`goMap`)
 * are Go's maps: a missing key is `<no value>`. Function values are methods: `{{.Label "name"}}`.
 */
export interface Template {
  /** `changed` replaces functions by others. Throws UsageError for a field that does not exist. */
  run(data: unknown, changed?: typeof functions): string;
  /** Throws for a field of the data itself that is not among `fields`: a misspelled name is found where there is no row, too. */
  check(fields: string[]): void;
}

/** `typeName` is what errors call the data: `container`. */
export function compileTemplate(text: string, typeName: string): Template {
  const nodes = parseTemplate(text, ["and", "or", ...Object.keys(functions)]);
  return {
    run: (data, changed) =>
      new Run(text, data, changed ? { ...functions, ...changed } : functions, typeName).document(nodes),
    check: (fields) => checkNodes(nodes, true, { text, fields, typeName }),
  };
}

/** How a list of nodes ended: at its end, or by one of these. */
type Jump = "break" | "continue" | undefined;

class Run {
  private readonly out: string[] = [];
  /** Innermost last. A name that is declared again hides the earlier one. */
  private readonly variables: { name: string; value: unknown }[];

  constructor(
    private readonly text: string,
    private readonly root: unknown,
    private readonly functions: Record<string, GoFunction>,
    private readonly typeName: string,
  ) {
    this.variables = [{ name: "$", value: root }];
  }

  document(nodes: Node[]): string {
    this.list(nodes, this.root);
    return this.out.join("");
  }

  /** Variables that are declared in a list end with it. */
  private list(nodes: Node[], dot: unknown): Jump {
    const depth = this.variables.length;
    let jump: Jump;
    for (const node of nodes) {
      jump = this.node(node, dot);
      if (jump) break;
    }
    this.variables.length = depth;
    return jump;
  }

  private node(node: Node, dot: unknown): Jump {
    if (node.kind === "break" || node.kind === "continue") return node.kind;
    if (node.kind === "text") {
      this.out.push(node.text);
      return undefined;
    }
    const depth = this.variables.length;
    const value = this.pipe(node.pipe, dot, node.kind === "range");
    if (node.kind === "print") {
      if (!node.pipe.variables.length) this.out.push(formatValue(value));
      return undefined; // a variable of this list stays
    }
    let jump: Jump;
    if (node.kind === "range") jump = this.range(node, value, dot);
    else if (isTrue(value)) jump = this.list(node.body, node.kind === "with" ? value : dot);
    else jump = this.list(node.otherwise, dot);
    this.variables.length = depth;
    return jump;
  }

  private range(node: Extract<Node, { pipe: Pipe; body: Node[] }>, value: unknown, dot: unknown): Jump {
    const entries = entriesOf(value);
    if (!entries.length) return this.list(node.otherwise, dot);
    const names = node.pipe.variables;
    for (const [key, element] of entries) {
      const depth = this.variables.length;
      if (names.length === 1) this.variables.push({ name: names[0]!, value: element });
      if (names.length === 2) this.variables.push({ name: names[0]!, value: key }, { name: names[1]!, value: element });
      const jump = this.list(node.body, element);
      this.variables.length = depth;
      if (jump === "break") break;
    }
    return undefined;
  }

  private pipe(pipe: Pipe, dot: unknown, leavesVariables = false): unknown {
    let value: unknown;
    let piped: unknown[] = [];
    for (const command of pipe.commands) {
      value = this.command(command, dot, piped);
      piped = [value];
    }
    const [name] = pipe.variables;
    if (name === undefined || leavesVariables) return value;
    if (pipe.declares) this.variables.push({ name, value });
    else this.variable(name).value = value;
    return value;
  }

  private command(operands: Operand[], dot: unknown, piped: unknown[]): unknown {
    const first = operands[0]!;
    if (first.kind === "function") return this.call(first, operands, dot, piped);
    if (operands.length === 1 && !piped.length) return this.operand(first, dot, []); // all that tables need, for each cell
    if (first.kind === "literal" || first.names.length === 0) {
      throw this.failure(first.start, operands, new UsageError("can't give argument to non-function"));
    }
    const args = operands.slice(1).map((operand) => this.operand(operand, dot, []));
    return this.operand(first, dot, [...args, ...piped]);
  }

  private call(called: Operand & { name: string }, operands: Operand[], dot: unknown, piped: unknown[]): unknown {
    const args = operands.slice(1);
    if (called.name === "and" || called.name === "or") return this.logical(called.name, args, dot, piped);
    const values = [...args.map((operand) => this.operand(operand, dot, [])), ...piped];
    try {
      return callFunction(called.name, this.functions[called.name]!, values);
    } catch (error) {
      throw this.failure(called.start, operands, error);
    }
  }

  /** The first argument that decides, or the last: what comes after it is not looked at. */
  private logical(name: "and" | "or", operands: Operand[], dot: unknown, piped: unknown[]): unknown {
    const thunks = [...operands.map((operand) => () => this.operand(operand, dot, [])), ...piped.map((v) => () => v)];
    if (!thunks.length) throw new UsageError(`template: wrong number of args for ${name}: want at least 1 got 0`);
    let value: unknown;
    for (const thunk of thunks) {
      value = thunk();
      if (isTrue(value) === (name === "or")) break;
    }
    return value;
  }

  private failure(at: number, operands: Operand[], cause: unknown): UsageError {
    return failureAt(place(this.text, at, operands[0]!.start, operands.at(-1)!.end), cause);
  }

  /** `args` belong to the last field, which is a method then. */
  private operand(operand: Operand, dot: unknown, args: unknown[]): unknown {
    if (operand.kind === "literal") return operand.value;
    if (operand.kind === "function") return this.call(operand, [operand], dot, []);
    let value =
      operand.kind === "dot"
        ? dot
        : operand.kind === "variable"
          ? this.variable(operand.name).value
          : this.pipe(operand.pipe, dot);
    let left = operand.names.length;
    for (const name of operand.names) {
      const isLast = --left === 0;
      try {
        const found = this.field(value, name);
        if (isLast && args.length && typeof found !== "function") {
          throw new UsageError(`${name} has arguments but cannot be invoked as function`);
        }
        value = typeof found === "function" ? found(...(isLast ? args : [])) : found;
      } catch (error) {
        throw this.failure(fieldStart(operand), [operand], error);
      }
    }
    return value;
  }

  private field(value: unknown, name: string): unknown {
    if (value === null || value === undefined) throw new UsageError(`nil pointer evaluating <nil>.${name}`);
    if (typeof value === "object" && !Array.isArray(value)) {
      if (Object.hasOwn(value, name)) return (value as Record<string, unknown>)[name];
      if (isGoMap(value)) return undefined;
      throw unknownField(name, value === this.root ? this.typeName : "struct", Object.keys(value));
    }
    throw new UsageError(`can't evaluate field ${name} in type ${goType(value)}`);
  }

  private variable(name: string): { value: unknown } {
    const found = this.variables.findLast((variable) => variable.name === name);
    if (!found)
      throw new UsageError(`template parsing error: template: :1: undefined variable ${JSON.stringify(name)}`);
    return found;
  }
}

function entriesOf(value: unknown): [unknown, unknown][] {
  if (Array.isArray(value)) return value.map((element, index) => [index, element]);
  if (typeof value === "number") return Array.from({ length: value }, (_, index) => [index, index]);
  if (isGoMap(value)) return Object.entries(value);
  if (value === null || value === undefined) return [];
  throw new UsageError(`template: range can't iterate over ${formatValue(value)}`);
}

/** What the data is known to have, before there is any. */
interface Known {
  text: string;
  fields: string[];
  typeName: string;
}

/** Follows where the dot is still the data itself. */
function checkNodes(nodes: Node[], dotIsRoot: boolean, known: Known): void {
  for (const node of nodes) {
    if (!("pipe" in node)) continue;
    checkPipe(node.pipe, dotIsRoot, known);
    if (node.kind === "print") continue;
    checkNodes(node.body, dotIsRoot && node.kind === "if", known);
    checkNodes(node.otherwise, dotIsRoot, known);
  }
}

function checkPipe(pipe: Pipe, dotIsRoot: boolean, known: Known): void {
  for (const operand of pipe.commands.flat()) {
    if (operand.kind === "pipe") checkPipe(operand.pipe, dotIsRoot, known);
    const isRoot = (operand.kind === "dot" && dotIsRoot) || (operand.kind === "variable" && operand.name === "$");
    const name = isRoot ? operand.names[0] : undefined;
    if (name === undefined || known.fields.includes(name)) continue;
    const where = place(known.text, fieldStart(operand), operand.start, operand.end);
    throw failureAt(where, unknownField(name, known.typeName, known.fields));
  }
}

/** Where Go says that a field stands: of `.A.B.C` it is `.B`, of `$x.A` it is `.A`. */
function fieldStart(operand: Operand): number {
  if (operand.kind === "variable") return operand.start + operand.name.length;
  return operand.kind === "dot" && operand.names.length > 1
    ? operand.start + operand.names[0]!.length + 1
    : operand.start;
}

/** The beginning of each error of Go's that a template meets when it runs. */
function place(text: string, at: number, start: number, end: number): string {
  const before = text.slice(0, at);
  const column = Buffer.byteLength(before.slice(before.lastIndexOf("\n") + 1));
  const words = text.slice(start, end);
  return `template: :${before.split("\n").length}:${column}: executing "" at <${words}>`;
}

function failureAt(where: string, cause: unknown): UsageError {
  return new UsageError(`${where}: ${formatError(cause)}`, { hint: hintOf(cause) });
}

function unknownField(name: string, typeName: string, known: string[]): UsageError {
  const hint = known.length ? `the fields are ${known.join(", ")}` : undefined;
  return new UsageError(`can't evaluate field ${name} in type ${typeName}`, { hint });
}
