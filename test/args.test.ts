import { describe, expect, test } from "bun:test";
import { FlagError, HelpRequest, OperandError, type OptionDefs, parseOptions } from "../src/args.ts";
import { formatError, hintOf } from "../src/errors.ts";
import { parseBytes, parseInteger } from "../src/values.ts";

const runArgs = {
  detach: { type: "boolean", alias: "d" },
  env: { type: "string", alias: "e", multiple: true },
  hostname: { type: "string", alias: "h" },
  interactive: { type: "boolean", alias: "i" },
  memory: { type: "string", alias: "m", parse: parseBytes },
  name: { type: "string" },
  network: { type: "string", alias: "net", default: "bridge" },
  "sig-proxy": { type: "boolean", default: true },
  tty: { type: "boolean", alias: "t" },
  image: { type: "positional" },
  command: { type: "positional", required: false, multiple: true },
} satisfies OptionDefs;

const listArgs = {
  all: { type: "boolean", alias: "a" },
  last: { type: "string", alias: "n", default: "-1", parse: parseInteger },
  filter: { type: "string", alias: "f", multiple: true },
} satisfies OptionDefs;

const run = (...words: string[]) => parseOptions(words, runArgs, { stopAtFirstOperand: true });
const inspectArgs = {
  size: { type: "boolean", alias: "s" },
  name: { type: "positional", multiple: true },
} satisfies OptionDefs;
const inspect = (...words: string[]) => parseOptions(words, inspectArgs);

describe("values", () => {
  const forms: [string, string[]][] = [
    ["--name=x", ["--name=x"]],
    ["--name x", ["--name", "x"]],
  ];
  for (const [title, words] of forms) {
    test(`${title} sets a name`, () => expect(run(...words, "alpine").options.name).toBe("x"));
  }

  test("a short option takes its value joined, after =, or as the next word", () => {
    expect(run("-eA=1", "-e=B=2", "-e", "C=3", "alpine").options.env).toEqual(["A=1", "B=2", "C=3"]);
  });

  test("joined short options end with one that takes a value", () => {
    const { options } = run("-itdeA=1", "alpine");
    expect(options).toMatchObject({ interactive: true, tty: true, detach: true, env: ["A=1"] });
  });

  test("a repeated option keeps its last value, a collecting one all of them", () => {
    const { options } = run("--name=a", "--name=b", "-e", "X", "--env=Y", "alpine");
    expect(options).toMatchObject({ name: "b", env: ["X", "Y"] });
  });

  test("a value may look like an option", () => {
    expect(run("--name", "--tty", "alpine").options).toMatchObject({ name: "--tty", tty: false });
  });

  test("a value may be empty, or hold = and line breaks", () => {
    expect(run("--name=", "alpine").options.name).toBe("");
    expect(run("--env=A=b=c\nd", "alpine").options.env).toEqual(["A=b=c\nd"]);
  });

  test("what is not given has its default, or is undefined, false or empty", () => {
    expect(run("alpine").options).toEqual({
      detach: false,
      env: [],
      hostname: undefined,
      interactive: false,
      memory: undefined,
      name: undefined,
      network: "bridge",
      sigProxy: true,
      tty: false,
    });
  });

  test("a second long name is the same option", () => {
    expect(run("--net", "none", "alpine").options.network).toBe("none");
  });

  test("names are in camel case, and values typed", () => {
    const { options } = run("--sig-proxy=false", "-m", "64m", "alpine");
    const memory: number | undefined = options.memory;
    const sigProxy: boolean = options.sigProxy;
    expect({ memory, sigProxy }).toEqual({ memory: 64 * 1024 * 1024, sigProxy: false });
  });

  for (const [text, value] of Object.entries({ true: true, "1": true, T: true, false: false, "0": false, F: false })) {
    test(`--tty=${text} is ${value}`, () => expect(run(`--tty=${text}`, "alpine").options.tty).toBe(value));
  }
  test("-t=false switches off", () => expect(run("-t", "-t=false", "alpine").options.tty).toBe(false));
});

describe("operands", () => {
  test("of run end the options", () => {
    const { options, operands } = run("-i", "alpine", "sh", "-c", "x", "--name", "y");
    expect(operands).toEqual(["alpine", "sh", "-c", "x", "--name", "y"]);
    expect(options).toMatchObject({ interactive: true, name: undefined });
  });
  test("of run keep a -- that comes after the first", () => {
    expect(run("alpine", "--", "-x").operands).toEqual(["alpine", "--", "-x"]);
  });
  test("of other commands stand anywhere", () => {
    expect(inspect("a", "-s", "b")).toEqual({ options: { size: true }, operands: ["a", "b"] });
  });
  test("-- ends the options", () => expect(inspect("--", "-s", "--", "b").operands).toEqual(["-s", "--", "b"]));
  test("a single - is an operand", () => expect(inspect("-").operands).toEqual(["-"]));
});

describe("errors in Docker's words", () => {
  const cases: [string[], string, string?][] = [
    [["--foo", "alpine"], "unknown flag: --foo"],
    [["--nmae=x", "alpine"], "unknown flag: --nmae", "did you mean --name?"],
    [["--inter", "alpine"], "unknown flag: --inter", "did you mean --interactive?"],
    [["-qx", "alpine"], "unknown shorthand flag: 'q' in -qx"],
    [["-itq", "alpine"], "unknown shorthand flag: 'q' in -q"],
    [["-name=x", "alpine"], "unknown shorthand flag: 'n' in -name=x", "did you mean --name?"],
    [["-T", "alpine"], "unknown shorthand flag: 'T' in -T", "did you mean -t?"],
    [["--name"], "flag needs an argument: --name"],
    [["-it", "-e"], "flag needs an argument: 'e' in -e"],
    [["--=x"], "bad flag syntax: --=x"],
    [["---x"], "bad flag syntax: ---x"],
    [["-m", "much", "alpine"], `invalid argument "much" for "-m, --memory" flag: invalid size: 'much'`],
    [
      ["--tty=maybe", "alpine"],
      `invalid argument "maybe" for "-t, --tty" flag: strconv.ParseBool: parsing "maybe": invalid syntax`,
    ],
  ];
  for (const [words, text, hint] of cases) {
    test(`pod run ${words.join(" ")}: ${text}`, () => {
      const error = thrownBy(() => run(...words));
      expect(error).toBeInstanceOf(FlagError);
      expect(formatError(error)).toBe(text);
      expect(hintOf(error)).toBe(hint);
    });
  }

  const one = { x: { type: "positional" } } satisfies OptionDefs;
  const two = { ...one, y: { type: "positional" } } satisfies OptionDefs;
  const oneOrTwo = { ...one, y: { type: "positional", required: false } } satisfies OptionDefs;
  const atMostOne = { x: { type: "positional", required: false } } satisfies OptionDefs;
  const counts: [OptionDefs, string[], string][] = [
    [runArgs, [], "requires at least 1 argument"],
    [listArgs, ["a"], "accepts no arguments"],
    [one, ["a", "b"], "requires 1 argument"],
    [two, ["a"], "requires 2 arguments"],
    [oneOrTwo, [], "requires at least 1 and at most 2 arguments"],
    [atMostOne, ["a", "b"], "requires at most 1 argument"],
  ];
  for (const [args, words, text] of counts) {
    test(`${words.length} operands: ${text}`, () => {
      const error = thrownBy(() => parseOptions(words, args));
      expect(error).toBeInstanceOf(OperandError);
      expect((error as Error).message).toBe(text);
    });
  }
});

describe("help", () => {
  test("is asked for by --help", () => expect(() => run("--help")).toThrow(HelpRequest));
  test("is asked for by -h where no option has that letter", () => {
    expect(() => parseOptions(["-ah"], listArgs)).toThrow(HelpRequest);
    expect(run("-h", "web", "alpine").options.hostname).toBe("web");
  });
  test("is not asked for by the container's command", () => {
    expect(run("alpine", "df", "--help").operands).toEqual(["alpine", "df", "--help"]);
  });
  test("does not hide an unknown flag", () => expect(() => run("--help", "--foo")).toThrow("unknown flag: --foo"));
});

function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}
