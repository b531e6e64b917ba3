import { describe, expect, test } from "bun:test";
import { choosePlatform, formatPlatform, parsePlatform, satisfies } from "../src/platform.ts";
import { hostPlatform, type Index } from "../src/spec.ts";

const index = (...platforms: string[]): Index => ({
  schemaVersion: 2,
  manifests: platforms.map((text, position) => {
    const [os = "", architecture = "", variant] = text.split("/");
    return {
      mediaType: "",
      digest: String(position),
      size: 1,
      platform: { os, architecture, ...(variant && { variant }) },
    };
  }),
});
const chosen = (wanted: string, ...platforms: string[]) =>
  platforms[Number(choosePlatform(index(...platforms), parsePlatform(wanted)).digest)];

describe("--platform", () => {
  test("other systems' names of an architecture are understood", () => {
    expect(formatPlatform(parsePlatform("linux/x86_64"))).toBe("linux/amd64");
    expect(formatPlatform(parsePlatform("linux/aarch64"))).toBe("linux/arm64");
    expect(formatPlatform(parsePlatform("linux/arm64/v8"))).toBe("linux/arm64");
    expect(formatPlatform(parsePlatform("linux/armhf"))).toBe("linux/arm/v7");
    expect(formatPlatform(parsePlatform("arm64"))).toBe("linux/arm64");
  });
  test("nothing given means this machine", () => {
    expect(parsePlatform(undefined)).toEqual(hostPlatform());
    expect(parsePlatform("linux")).toEqual(hostPlatform());
  });
  test("what is no platform is refused", () => {
    for (const text of ["linux/", "a/b/c/d", "linux/../x", "linux amd64"]) {
      expect(() => parsePlatform(text)).toThrow("invalid platform");
    }
  });
});

describe("the manifest of an index", () => {
  test("is the platform's own", () => {
    expect(chosen("linux/arm64", "linux/amd64", "linux/arm64/v8", "windows/arm64")).toBe("linux/arm64/v8");
    expect(chosen("linux/amd64", "unknown/unknown", "linux/amd64/v3", "linux/amd64")).toBe("linux/amd64");
  });
  test("has the variant that is asked for", () => {
    expect(chosen("linux/arm/v6", "linux/arm/v7", "linux/arm/v6")).toBe("linux/arm/v6");
    expect(chosen("linux/arm", "linux/arm/v6", "linux/arm/v7")).toBe("linux/arm/v7");
  });
  test("is missed in Docker's words, and the hint tells what there is", () => {
    const choose = () => choosePlatform(index("linux/amd64", "unknown/unknown"), parsePlatform("linux/arm64"));
    expect(choose).toThrow("no matching manifest for linux/arm64 in the manifest list entries");
    expect(choose).toThrow(expect.objectContaining({ hint: "it is there for linux/amd64" }));
  });
});

test("an image for a variant satisfies who asks for none", () => {
  expect(satisfies({ os: "linux", architecture: "arm64", variant: "v8" }, parsePlatform("linux/arm64"))).toBe(true);
  expect(satisfies({ os: "linux", architecture: "amd64" }, parsePlatform("linux/arm64"))).toBe(false);
});
