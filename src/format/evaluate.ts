/** Runs a template of `template.ts` on data, with Go's rules for truth, fields and printing. */

import { UsageError } from "../errors.ts";
import { formatValue, functions, isGoMap, isTrue } from "./functions.ts";
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
  const nodes = parseTemplate(text, Object.keys(functions));
  return {
    run: (data, changed) => new Run(data, changed ? { ...functions, ...changed } : functions, typeName).document(nodes),
    check: (fields) => checkNodes(nodes, true, fields, typeName),
  };
}

class Run {
  private readonly out: string[] = [];
  /** Innermost last. A name that is declared again hides the earlier one. */
  private readonly variables: { name: string; value: unknown }[];

  constructor(
    private readonly root: unknown,
    private readonly functions: Record<string, (...args: never[]) => unknown>,
    private readonly typeName: string,
  ) {
    this.variables = [{ name: "$", value: root }];
  }

  document(nodes: Node[]): string {
    this.list(nodes, this.root);
    return this.out.join("");
  }

  /** Variables that are declared in a list end with it. */
  private list(nodes: Node[], dot: unknown): void {
    const depth = this.variables.length;
    for (const node of nodes) this.node(node, dot);
    this.variables.length = depth;
  }

  private node(node: Node, dot: unknown): void {
    if (node.kind === "text") {
      this.out.push(node.text);
      return;
    }
    const depth = this.variables.length;
    const value = this.pipe(node.pipe, dot, node.kind === "range");
    if (node.kind === "print") {
      if (!node.pipe.variables.length) this.out.push(formatValue(value));
      return; // a variable of this list stays
    }
    if (node.kind === "range") this.range(node, value, dot);
    else if (isTrue(value)) this.list(node.body, node.kind === "with" ? value : dot);
    else this.list(node.otherwise, dot);
    this.variables.length = depth;
  }

  private range(node: Extract<Node, { pipe: Pipe; body: Node[] }>, value: unknown, dot: unknown): void {
    const entries = entriesOf(value);
    if (!entries.length) this.list(node.otherwise, dot);
    const names = node.pipe.variables;
    for (const [key, element] of entries) {
      const depth = this.variables.length;
      if (names.length === 1) this.variables.push({ name: names[0]!, value: element });
      if (names.length === 2) this.variables.push({ name: names[0]!, value: key }, { name: names[1]!, value: element });
      this.list(node.body, element);
      this.variables.length = depth;
    }
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

  private command(command: Operand[], dot: unknown, piped: unknown[]): unknown {
    const first = command[0]!;
    if (command.length === 1 && !piped.length) return this.operand(first, dot, []); // all that tables need, for each cell
    const args = [...command.slice(1).map((operand) => this.operand(operand, dot, [])), ...piped];
    if (first.kind === "function") return this.call(first.name, args);
    if (first.kind === "literal" || first.names.length === 0)
      throw new UsageError("template: can't give argument to non-function");
    return this.operand(first, dot, args);
  }

  private call(name: string, args: unknown[]): unknown {
    try {
      return this.functions[name]!(...(args as never[]));
    } catch (error) {
      throw new UsageError(`template: error calling ${name}`, { cause: error });
    }
  }

  /** `args` belong to the last field, which is a method then. */
  private operand(operand: Operand, dot: unknown, args: unknown[]): unknown {
    if (operand.kind === "literal") return operand.value;
    if (operand.kind === "function") return this.call(operand.name, []);
    const base =
      operand.kind === "dot"
        ? dot
        : operand.kind === "variable"
          ? this.variable(operand.name).value
          : this.pipe(operand.pipe, dot);
    let value = base;
    let left = operand.names.length;
    for (const name of operand.names) {
      const found = this.field(value, name);
      const isLast = --left === 0;
      if (isLast && args.length && typeof found !== "function") {
        throw new UsageError(`template: ${name} has arguments but cannot be invoked as function`);
      }
      value = typeof found === "function" ? found(...(isLast ? args : [])) : found;
    }
    return value;
  }

  private field(value: unknown, name: string): unknown {
    if (value === null || value === undefined) throw new UsageError(`template: nil pointer evaluating <nil>.${name}`);
    if (typeof value === "object" && !Array.isArray(value)) {
      if (Object.hasOwn(value, name)) return (value as Record<string, unknown>)[name];
      if (isGoMap(value)) return undefined;
    }
    throw unknownField(
      name,
      value === this.root ? this.typeName : typeof value,
      this.root === value ? value : undefined,
    );
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
  if (isGoMap(value)) return Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  if (value === null || value === undefined) return [];
  throw new UsageError(`template: range can't iterate over ${formatValue(value)}`);
}

/** Follows where the dot is still the data itself. */
function checkNodes(nodes: Node[], dotIsRoot: boolean, fields: string[], typeName: string): void {
  for (const node of nodes) {
    if (node.kind === "text") continue;
    checkPipe(node.pipe, dotIsRoot, fields, typeName);
    if (node.kind === "print") continue;
    checkNodes(node.body, dotIsRoot && node.kind === "if", fields, typeName);
    checkNodes(node.otherwise, dotIsRoot, fields, typeName);
  }
}

function checkPipe(pipe: Pipe, dotIsRoot: boolean, fields: string[], typeName: string): void {
  for (const operand of pipe.commands.flat()) {
    if (operand.kind === "pipe") checkPipe(operand.pipe, dotIsRoot, fields, typeName);
    const isRoot = (operand.kind === "dot" && dotIsRoot) || (operand.kind === "variable" && operand.name === "$");
    const name = isRoot ? operand.names[0] : undefined;
    if (name !== undefined && !fields.includes(name)) throw unknownField(name, typeName, fields);
  }
}

function unknownField(name: string, typeName: string, known?: object | string[]): UsageError {
  const fields = Array.isArray(known) ? known : Object.keys(known ?? {});
  const hint = fields.length ? `the fields are ${fields.join(", ")}` : undefined;
  return new UsageError(`template: executing "" at <.${name}>: can't evaluate field ${name} in type ${typeName}`, {
    hint,
  });
}
