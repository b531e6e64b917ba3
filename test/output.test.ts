import { describe, expect, test } from "bun:test";
import { alignTabs } from "../src/format/table.ts";
import { layerLine } from "../src/layer-output.ts";
import { formatList, formatObject } from "../src/output.ts";

const style = {
  typeName: "container",
  headings: { ID: "CONTAINER ID", Names: "NAMES", Status: "STATUS" },
  standard: "{{.ID}}\t{{.Status}}\t{{.Names}}",
};
const rows = [
  { Names: "web", Status: "Up 5 minutes", ID: "0123456789ab" },
  { Names: "a-much-longer-name", Status: "Created", ID: "ba9876543210" },
];

describe("tables", () => {
  test("have columns of at least 10, three spaces apart, and no spaces after the last", () => {
    expect(alignTabs("A\tBB\tC\n1234567\t12345678\t3\n")).toBe("A         BB         C\n1234567   12345678   3\n");
  });
  test("count characters, not bytes", () => {
    expect(alignTabs('"sh -c \'…"\tx\nabc\ty\n')).toBe('"sh -c \'…"   x\nabc          y\n');
  });
  test("set a column anew after a line without it", () => {
    expect(alignTabs("a-very-long-cell\tb\nplain\nx\ty\n")).toBe("a-very-long-cell   b\nplain\nx         y\n");
  });
});

describe("lists", () => {
  test("are the usual table", () => {
    expect(formatList(rows, style, "table")).toBe(
      [
        "CONTAINER ID   STATUS         NAMES",
        "0123456789ab   Up 5 minutes   web",
        "ba9876543210   Created        a-much-longer-name",
        "",
      ].join("\n"),
    );
  });
  test("without rows are the headings alone", () => {
    expect(formatList([], style, "table")).toBe("CONTAINER ID   STATUS    NAMES\n");
  });
  test("take a table of their own, with \\t as the shell hands it on", () => {
    expect(formatList(rows.slice(0, 1), style, "table {{.Names}}\\t{{upper .ID}}")).toBe(
      "NAMES     CONTAINER ID\nweb       0123456789AB\n",
    );
  });
  test("take a template for each row", () => {
    expect(formatList(rows, style, "{{.Names}}")).toBe("web\na-much-longer-name\n");
  });
  test("as json are one object a line, keys sorted", () => {
    expect(formatList(rows.slice(0, 1), style, "json")).toBe(
      '{"ID":"0123456789ab","Names":"web","Status":"Up 5 minutes"}\n',
    );
    expect(formatList(rows.slice(0, 1), style, "{{json .}}")).toBe(formatList(rows.slice(0, 1), style, "json"));
  });
  test("refuse an unknown field, with rows and without", () => {
    for (const some of [rows, []]) {
      expect(() => formatList(some, style, "{{.Nope}}")).toThrow("can't evaluate field Nope in type container");
    }
  });
});

test("an object prints as json or by template", () => {
  const value = { Client: { Version: "1" } };
  expect(formatObject(value, "json", "version")).toBe('{"Client":{"Version":"1"}}');
  expect(formatObject(value, "{{.Client.Version}}", "version")).toBe("1");
});

describe("layer lines", () => {
  const layer = { id: "e756f3fdd6a3", status: "Downloading" as const, currentBytes: 1_500_000, totalBytes: 9_000_000 };
  test("have a bar that fits the terminal", () => {
    const text = layerLine(layer, 80);
    expect(text).toMatch(/^e756f3fdd6a3: Downloading \[=+> +\] {4}1\.5MB\/9MB$/);
    expect(text.length).toBeLessThan(80);
  });
  test("have numbers alone where the terminal is narrow", () => {
    expect(layerLine(layer, 45)).toBe("e756f3fdd6a3: Downloading 1.5MB/9MB");
  });
  test("are full at the end", () => {
    expect(layerLine({ ...layer, currentBytes: 9_000_000 }, 200)).toContain(`[${"=".repeat(50)}>]`);
  });
  test("without a size show the state", () => {
    expect(layerLine({ id: layer.id, status: "Pull complete" }, 80)).toBe("e756f3fdd6a3: Pull complete");
  });
});
