import { expect, test } from "bun:test";
import { applyChanges } from "../src/instructions.ts";

const base = { Env: ["PATH=/bin", "A=1"], Cmd: ["old"], WorkingDir: "/srv" };

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: these are a shell's variables
const cases: [string, object][] = [
  ['CMD ["a", "b c"]', { Cmd: ["a", "b c"] }],
  ["cmd echo $A", { Cmd: ["/bin/sh", "-c", "echo $A"] }],
  ['ENTRYPOINT ["/init"]', { Entrypoint: ["/init"], Cmd: null }],
  [
    "ENV B=2 C=\"x y\" D='$A' E=$A F=${NO:-z} G=a\\ b",
    { Env: [...base.Env, "B=2", "C=x y", "D=$A", "E=1", "F=z", "G=a b"] },
  ],
  ["ENV PATH=$PATH:/opt", { Env: ["PATH=/bin:/opt", "A=1"] }],
  ["ENV A two words", { Env: ["PATH=/bin", "A=two words"] }],
  ["EXPOSE 80 53/udp", { ExposedPorts: { "80/tcp": {}, "53/udp": {} } }],
  ["HEALTHCHECK NONE", { Healthcheck: { Test: ["NONE"] } }],
  [
    "HEALTHCHECK --interval=5s --retries=2 CMD curl -f $URL",
    { Healthcheck: { Test: ["CMD-SHELL", "curl -f $URL"], Interval: 5e9, Retries: 2 } },
  ],
  ['healthcheck CMD ["true"]', { Healthcheck: { Test: ["CMD", "true"] } }],
  ['LABEL a="b c" d=', { Labels: { a: "b c", d: "" } }],
  ["ONBUILD RUN true", { OnBuild: ["RUN true"] }],
  ["STOPSIGNAL SIGQUIT", { StopSignal: "SIGQUIT" }],
  ["USER 1000:1000", { User: "1000:1000" }],
  ['VOLUME ["/a", "/b"]', { Volumes: { "/a": {}, "/b": {} } }],
  ["VOLUME /a /b", { Volumes: { "/a": {}, "/b": {} } }],
  ["WORKDIR sub", { WorkingDir: "/srv/sub" }],
  ["WORKDIR /abs", { WorkingDir: "/abs" }],
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: see above
for (const [change, expected] of cases) {
  test(change, () => expect(applyChanges(base, [change])).toEqual({ ...base, ...expected }));
}

test("an entry point keeps the command that was set with it", () => {
  expect(applyChanges(base, ['CMD ["x"]', 'ENTRYPOINT ["y"]'])).toMatchObject({ Cmd: ["x"], Entrypoint: ["y"] });
});

for (const [change, words] of [
  ["HEALTHCHECK RUN x", 'Unknown type "RUN" in HEALTHCHECK (try CMD)'],
  ["HEALTHCHECK --often=1 CMD x", "unknown flag: often"],
  ["RUN true", "RUN is not a valid change command"],
  ["ENV", "ENV requires at least one argument"],
  ["ENV a=1 b", 'can\'t find = in "b"'],
  ["EXPOSE x", "invalid containerPort: x"],
  ["USER a b", "USER requires exactly one argument"],
]) {
  test(`${change} is an error`, () => expect(() => applyChanges(base, [change!])).toThrow(words));
}
