import { describe, expect, test } from "bun:test";
import { formatError, hintOf } from "../../src/errors.ts";
import { compileTemplate } from "../../src/format/evaluate.ts";
import { goMap, headingFunctions } from "../../src/format/functions.ts";

const data = {
  ID: "abc",
  Names: "web,db",
  Count: 3,
  Running: true,
  Empty: "",
  Nothing: null,
  List: ["x", "y", "z"],
  None: [] as string[],
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
  "{{.Nothing}}": "<no value>",
  "{{/* nothing */}}x": "x",
  "a  {{- .ID -}}  b": "aabcb",
  '{{"}}"}}{{`raw\\n`}}{{"a\\tb"}}': "}}raw\\na\tb",
  "{{json .State}}": '{"Status":"running","Pid":12}',
  "{{.State | json}}": '{"Status":"running","Pid":12}',
  "{{json .Labels}}": '{"b":"2","a":"1","with.dot":"3"}',
  "{{json .Nothing}}": "null",
  "{{upper .ID}} {{.ID | upper | lower}} {{title .Names}}": "ABC abc Web,db",
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
  "{{.Nope}}": "can't evaluate field Nope in type container",
  "{{.State.Nope}}": "can't evaluate field Nope in type",
  "{{.ID.x}}": "can't evaluate field x in type string",
  "{{.Nothing.x}}": "nil pointer evaluating <nil>.x",
  "{{.ID": "template parsing error: template: :1: unclosed action",
  "{{if .ID}}": "unexpected EOF",
  "{{end}}": "unexpected {{end}}",
  "{{if true}}{{else}}{{else}}{{end}}": "unexpected {{else}}",
  "{{nope .ID}}": 'function "nope" not defined',
  "{{}}x{{.ID |}}": "missing value for command",
  "{{.ID | }}": "missing value for command",
  "{{(.ID}}": "unclosed left paren",
  "{{.ID)}}": 'unexpected ")"',
  "{{index .List 7}}": "error calling index: index out of range: 7",
  "{{range .Count}}{{end}}": "range can't iterate over 3",
  '{{"a" "b"}}': "can't give argument to non-function",
  '{{.ID "b"}}': "ID has arguments but cannot be invoked as function",
  "{{%}}": 'unexpected "%" in command',
};
describe("errors", () => {
  for (const [text, message] of Object.entries(errors)) {
    test(`${text}: ${message}`, () => {
      let error: unknown;
      try {
        run(text);
      } catch (thrown) {
        error = thrown;
      }
      expect(formatError(error)).toContain(message);
    });
  }

  const check = (text: string) => compileTemplate(text, "container").check(["ID", "List"]);
  for (const text of [
    "{{.Nope}}",
    "{{if .ID}}{{.Nope}}{{end}}",
    "{{range .List}}{{$.Nope}}{{end}}",
    "{{json (.Nope)}}",
  ]) {
    test(`${text} is found wrong without data`, () => expect(() => check(text)).toThrow("can't evaluate field Nope"));
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
