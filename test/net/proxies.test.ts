import { afterEach, beforeEach, expect, test } from "bun:test";
import { config } from "../../src/config.ts";
import { proxyFor } from "../../src/net/proxies.ts";

const before = { ...config };
let environment: Record<string, string>;

beforeEach(() => {
  environment = { HTTPS_PROXY: "http://secure.example:3128", http_proxy: "plain.example:8080" };
  config.variable = (name) => environment[name];
});
afterEach(() => {
  Object.assign(config, before);
});

const proxy = (url: string) => proxyFor(new URL(url));

test("each scheme has its proxy, named in upper or lower case, http:// where none is said", () => {
  expect(proxy("https://quay.io/v2/")).toBe("http://secure.example:3128");
  expect(proxy("http://quay.io/v2/")).toBe("http://plain.example:8080");
  environment.HTTP_PROXY = "http://upper.example";
  expect(proxy("http://quay.io/v2/")).toBe("http://upper.example");
});

test("this machine is not reached through a proxy", () => {
  for (const host of ["localhost:5000", "127.0.0.1", "127.9.9.9:1", "[::1]:5000"]) {
    expect(proxy(`http://${host}/`)).toBeUndefined();
  }
});

test.each([
  ["*", ["quay.io", "10.1.2.3"], []],
  ["example.com", ["example.com", "EXAMPLE.com:5000", "a.b.example.com"], ["badexample.com", "example.com.evil"]],
  [".example.com", ["a.example.com"], ["example.com"]],
  ["*.example.com", ["a.example.com"], ["example.com", "badexample.com"]],
  ["10.0.0.0/8, quay.io", ["10.1.2.3", "10.9.9.9:5000", "quay.io"], ["11.1.2.3"]],
  ["example.com:5000", ["example.com:5000"], ["example.com", "example.com:5001"]],
  ["example.com:443", ["example.com"], ["example.com:5000"]],
  ["[fd00::1]:5000,fd00::2", ["[fd00::1]:5000", "[fd00::2]:7"], ["[fd00::1]", "[fd00::3]"]],
  ["", [], ["quay.io"]],
])("NO_PROXY=%p excepts what Go excepts", (value, excepted, others) => {
  environment.NO_PROXY = value;
  for (const host of excepted) expect({ host, proxy: proxy(`https://${host}/`) }).toEqual({ host, proxy: undefined });
  for (const host of others) expect({ host, proxy: proxy(`https://${host}/`) }).not.toMatchObject({ proxy: undefined });
});
