import { expect, test } from "bun:test";
import { parseChallenges } from "../../src/net/auth.ts";

test("a bearer challenge's parameters are read, quoted commas and all", () => {
  const header =
    'Bearer realm="https://auth.example/token",service="a, b",scope="repository:x/y:pull,push",error=invalid';
  expect(parseChallenges(header)).toEqual([
    {
      scheme: "bearer",
      parameters: {
        realm: "https://auth.example/token",
        service: "a, b",
        scope: "repository:x/y:pull,push",
        error: "invalid",
      },
    },
  ]);
});

test("several challenges in one header are told apart", () => {
  expect(parseChallenges('Negotiate, Basic realm="a \\"b\\"", Bearer realm = "https://t", service=s')).toEqual([
    { scheme: "negotiate", parameters: {} },
    { scheme: "basic", parameters: { realm: 'a "b"' } },
    { scheme: "bearer", parameters: { realm: "https://t", service: "s" } },
  ]);
});

test("no challenge is no challenge", () => {
  expect(parseChallenges("")).toEqual([]);
});
