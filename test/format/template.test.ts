import { describe, expect, test } from "bun:test";
import { formatError, hintOf } from "../../src/errors.ts";
import { compileTemplate } from "../../src/format/evaluate.ts";
import { headingFunctions } from "../../src/format/functions.ts";
import { goMap, listOrNil, mapOrNil } from "../../src/format/go-values.ts";

const data = {
  ID: "abc",
  Names: "web,db",
  Count: 3,
  Running: true,
  Empty: "",
  Nothing: null,
  List: ["x", "y", "z"],
  None: [] as string[],
  NoList: listOrNil<string>(null),
  NoMap: mapOrNil<string>(null),
  State: { Status: "running", Pid: 12 },
  Labels: goMap({ b: "2", a: "1", "with.dot": "3" }),
  Mounts: [
    { Source: "/a", RW: true },
    { Source: "/b", RW: false },
  ],
  Label: (name: string) => `label ${name}`,
};
const run = (text: string) => compileTemplate(text, "container").run(data);

const results: Record<string, string> = {
  "plain text": "plain text",
  "{{.ID}}": "abc",
  "a{{ .ID }}b{{.Count}}": "aabcb3",
  "{{.State.Status}}": "running",
  "{{$.ID}} {{$.State.Pid}}": "abc 12",
  "{{.Nothing}} {{.Labels.no}}": "<nil> <no value>",
  "{{/* nothing */}}x": "x",
  "a  {{- .ID -}}  b": "aabcb",
  '{{"}}"}}{{`raw\\n`}}{{"a\\tb"}}': "}}raw\\na\tb",
  "{{json .State}}": '{"Status":"running","Pid":12}',
  "{{.State | json}}": '{"Status":"running","Pid":12}',
  "{{json .Labels}}": '{"a":"1","b":"2","with.dot":"3"}',
  "{{json .Nothing}}": "null",
  "{{upper .ID}} {{.ID | upper | lower}} {{title .Names}}": "ABC abc Web,Db",
  '{{join .List "-"}}': "x-y-z",
  '{{index (split .Names ",") 1}}': "db",
  '{{split .Names ","}}': "[web db]",
  "[{{pad .ID 2 1}}]": "[  abc ]",
  "{{truncate .ID 2}}{{truncate .ID 9}}": "ababc",
  "{{println .ID .Count}}": "abc 3\n",
  '{{printf "%s-%05d|%-4s|%q|%v|%%" .ID .Count .ID .ID .List}}': 'abc-00003|abc |"abc"|[x y z]|%',
  "{{len .List}} {{len .ID}} {{len .Labels}}": "3 3 3",
  "{{index .List 1}} {{index .Mounts 0 }}": "y {/a true}",
  '{{index .Labels "with.dot"}}[{{index .Labels "no"}}]': "3[]",
  "{{.Labels.a}} {{.Labels.no}}": "1 <no value>",
  '{{.Label "x"}} {{"y" | .Label}}': "label x label y",
  "{{if .Running}}up{{else}}down{{end}}": "up",
  "{{if .Empty}}a{{else if eq .Count 3}}b{{else}}c{{end}}": "b",
  "{{if and .Running (not .Empty) (gt .Count 2)}}yes{{end}}": "yes",
  '{{or .Empty "default"}}': "default",
  '{{if eq .ID "x" "abc"}}one of them{{end}}': "one of them",
  '{{if ne .ID "x"}}other{{end}}': "other",
  "{{if lt 1 2}}{{le 2 2}}{{ge 1 2}}{{end}}": "truefalse",
  "{{range .List}}<{{.}}>{{end}}": "<x><y><z>",
  "{{range .None}}x{{else}}none{{end}}": "none",
  "{{range $i, $v := .List}}{{$i}}={{$v}} {{end}}": "0=x 1=y 2=z ",
  "{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}": "a=1 b=2 with.dot=3 ",
  "{{range .Mounts}}{{.Source}}{{if .RW}} rw{{end}};{{end}}": "/a rw;/b;",
  "{{range .List}}{{$.ID}}{{end}}": "abcabcabc",
  "{{with .State}}{{.Pid}}{{end}}{{with .Empty}}x{{else}}empty{{end}}": "12empty",
  "{{with $s := .State}}{{$s.Status}}{{end}}": "running",
  '{{$n := "a"}}{{if true}}{{$n = "b"}}{{end}}{{$n}}': "b",
  "{{(index .Mounts 1).Source}}": "/b",
  "{{.Labels}}": "map[a:1 b:2 with.dot:3]",
  "{{.List}}": "[x y z]",
  "{{slice .ID 1 2}}": "b",
  "{{1.5}} {{-2}} {{true}}": "1.5 -2 true",
  "{{0x1f}} {{0b101}} {{0o17}} {{1_000}} {{1e3}} {{'a'}}": "31 5 15 1000 1000 97",
  "{{print .ID .Count .Count .ID}} {{print 1 2 true}}": "abc3 3abc 1 2 true",
  '{{printf "%d %5.2f %x %X %o %b %c %t %q" 7 1.5 255 255 8 5 65 true .List}}':
    '7  1.50 ff FF 10 101 A true ["x" "y" "z"]',
  '{{printf "%+d|%6d|%-6d|%06d|%.2s|%T" 7 7 7 -7 .ID .ID}}': "+7|     7|7     |-00007|ab|string",
  '{{printf "%d %s" "x" 1}}': "%!d(string=x) %!s(int=1)",
  '{{printf "%s"}} {{printf "" 1}}': "%!s(MISSING) %!(EXTRA int=1)",
  "{{if and .Nothing .Nothing.x}}a{{else}}short{{end}}": "short",
  "{{if or .ID .Nothing.x}}short{{end}} {{.ID | and true}} {{or false 0}}": "short abc 0",
  "{{range 3}}{{.}}{{end}}": "012",
  '{{range .List}}{{if eq . "y"}}{{continue}}{{end}}{{.}}{{end}}': "xz",
  '{{range .List}}{{if eq . "y"}}{{break}}{{end}}{{.}}{{end}}': "x",
  "{{range $m := .Mounts}}{{range $.List}}{{$m.Source}}{{.}} {{end}}{{end}}": "/ax /ay /az /bx /by /bz ",
  "{{with .Empty}}a{{else with .ID}}{{.}}{{end}}": "abc",
  '{{lt "a" "b"}} {{gt 1.5 1}} {{eq .Nothing nil}}': "true true true",
  "{{.NoList}} {{json .NoList}} {{len .NoList}} {{json .NoMap}} {{.NoMap}}": "[] null 0 null map[]",
  '{{index .ID 0}} {{slice .List 1}} {{slice "äb" 2}}': "97 [y z] b",
  "{{- /* a comment */ -}} x": "x",
  "{{not .Empty}} {{(.State).Status | printf `%s!`}}": "true running!",
};
describe("templates", () => {
  for (const [text, result] of Object.entries(results)) test(text, () => expect(run(text)).toBe(result));

  test("a variable ends with its block", () => {
    expect(() => run("{{if true}}{{$x := 1}}{{end}}{{$x}}")).toThrow('undefined variable "$x"');
  });
  test("headings are left as they are by json, upper and truncate", () => {
    const template = compileTemplate("{{json .ID}} {{truncate .Names 3}} {{lower .ID}}", "container");
    expect(template.run({ ID: "CONTAINER ID", Names: "NAMES" }, headingFunctions)).toBe(
      "CONTAINER ID NAMES CONTAINER ID",
    );
  });
});

const errors: Record<string, string> = {
  "{{.Nope}}": `template: :1:2: executing "" at <.Nope>: can't evaluate field Nope in type container`,
  "a\nb {{.State.Nope}}": `template: :2:10: executing "" at <.State.Nope>: can't evaluate field Nope in type`,
  "{{$.State.Nope}}": `template: :1:3: executing "" at <$.State.Nope>`,
  "{{.ID.x}}": "can't evaluate field x in type string",
  "{{.Nothing.x}}": "nil pointer evaluating <nil>.x",
  "{{.ID": "template parsing error: template: :1: unclosed action",
  "{{if .ID}}": "unexpected EOF",
  "{{end}}": "unexpected {{end}}",
  "{{break}}": "{{break}} outside {{range}}",
  "{{if true}}{{else}}{{else}}{{end}}": "unexpected {{else}}",
  "{{nope .ID}}": 'function "nope" not defined',
  "{{}}x{{.ID |}}": "missing value for command",
  "{{.ID | }}": "missing value for command",
  "{{(.ID}}": "unclosed left paren",
  "{{.ID)}}": 'unexpected ")"',
  "{{08}}": 'bad number syntax: "08"',
  "{{index .List 7}}": `executing "" at <index .List 7>: error calling index: index out of range: 7`,
  "{{slice .ID 2 1}}": "error calling slice: invalid slice index: 2 > 1",
  "{{range .ID}}{{end}}": "range can't iterate over abc",
  '{{"a" "b"}}': "can't give argument to non-function",
  '{{.ID "b"}}': "ID has arguments but cannot be invoked as function",
  "{{%}}": 'unexpected "%" in command',
  "{{split .ID}}": "wrong number of args for split: want 2 got 1",
  "{{eq}}": "wrong number of args for eq: want at least 1 got 0",
  "{{eq 1}}": "error calling eq: missing argument for comparison",
  "{{upper .Count}}": "wrong type for value; expected string; got int",
  '{{eq .ID 1}}{{lt "a" 1}}': "incompatible types for comparison",
  "{{lt true false}}": "error calling lt: invalid type for comparison",
  "{{len .Count}}": "error calling len: len of type int",
};
describe("errors", () => {
  for (const [text, message] of Object.entries(errors)) {
    test(`${text}: ${message}`, () => expect(textOf(() => run(text))).toContain(message));
  }

  const check = (text: string) => compileTemplate(text, "container").check(["ID", "List"]);
  for (const text of [
    "{{.Nope}}",
    "{{if .ID}}{{.Nope}}{{end}}",
    "{{range .List}}{{$.Nope}}{{end}}",
    "{{json (.Nope)}}",
  ]) {
    test(`${text} is found wrong without data`, () => {
      expect(textOf(() => check(text))).toContain("can't evaluate field Nope");
    });
  }
  for (const text of ["{{.ID}}", "{{range .List}}{{.Source}}{{end}}", "{{with .ID}}{{.x}}{{end}}"]) {
    test(`${text} may be right`, () => expect(() => check(text)).not.toThrow());
  }
  test("the hint lists the fields", () => {
    try {
      check("{{.Nope}}");
    } catch (error) {
      expect(hintOf(error)).toBe("the fields are ID, List");
    }
    expect.assertions(1);
  });
});

function textOf(action: () => void): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return formatError(error);
  }
}
