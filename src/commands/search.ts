import { defineCommand } from "citty";
import { type OptionDefs, parseOptions } from "../args.ts";
import { applyFilters, type FilterTests, parseFlagFilter } from "../format/filters.ts";
import * as output from "../output.ts";
import { type SearchResult, search } from "../search.ts";
import { parseInteger } from "../values.ts";
import { filterOption, listFormat } from "./list-options.ts";

const args = {
  filter: filterOption(["is-automated", "is-official", "stars (at least so many)"]),
  format: listFormat,
  limit: { type: "string", valueHint: "int", parse: parseInteger, default: "25", description: "Max number of results" },
  "no-trunc": { type: "boolean", description: "Don't truncate output" },
  term: {
    type: "positional",
    description: "Words, or REGISTRY/WORDS to look through another registry than Docker Hub",
  },
} satisfies OptionDefs;

const style: output.ListStyle = {
  typeName: "search result",
  headings: {
    Name: "NAME",
    Description: "DESCRIPTION",
    StarCount: "STARS",
    IsOfficial: "OFFICIAL",
    IsAutomated: "AUTOMATED",
  },
  standard: "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
};

export default defineCommand({
  meta: { name: "search", description: "Search Docker Hub or another registry for images" },
  args,
  async run({ rawArgs }) {
    const { options, operands } = parseOptions(rawArgs, args);
    applyFilters([], options.filter, tests); // a wrong one is told before anybody is asked
    const found = await search(operands[0]!, options.limit, output.note);
    const rows = applyFilters(found, options.filter, tests).map((result) => toRow(result, options.noTrunc));
    output.list(rows, style, options.format);
  },
});

const tests: FilterTests<SearchResult> = {
  "is-automated": (value) => {
    const wanted = parseFlagFilter("is-automated", value);
    return ({ isAutomated }) => isAutomated === wanted;
  },
  "is-official": (value) => {
    const wanted = parseFlagFilter("is-official", value);
    return ({ isOfficial }) => isOfficial === wanted;
  },
  stars: (value) => {
    const least = parseInteger(value);
    return ({ stars }) => stars >= least;
  },
};

const descriptionLength = 45; // as docker search cuts it

function toRow({ name, description, stars, isOfficial, isAutomated }: SearchResult, full: boolean) {
  const characters = [...description.replace(/\s+/g, " ").trim()];
  const isCut = !full && characters.length > descriptionLength;
  const mark = (flag: boolean) => (flag ? "[OK]" : "");
  return {
    Name: name,
    Description: isCut ? `${characters.slice(0, descriptionLength - 1).join("")}…` : characters.join(""),
    StarCount: String(stars),
    IsOfficial: mark(isOfficial),
    IsAutomated: mark(isAutomated),
  };
}
