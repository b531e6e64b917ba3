/** Columns as Go's text/tabwriter sets them for Docker: at least 10 wide if nothing else is said, 3 spaces apart, nothing after the last cell. */

const padding = 3;

/** Lines with tabs between cells become lines with spaces. A column is a run of lines that have a cell followed by a tab there. */
export function alignTabs(text: string, minWidth = 10): string {
  const lines = text.split("\n").map((line) => line.split("\t"));
  alignColumn(lines, { from: 0, to: lines.length, column: 0, minWidth });
  return lines.map((cells) => cells.join("")).join("\n");
}

interface Block {
  from: number;
  to: number;
  column: number;
  minWidth: number;
}

function alignColumn(lines: string[][], { from, to, column, minWidth }: Block): void {
  for (let start = from; start < to; start++) {
    if (!hasColumn(lines[start]!, column)) continue;
    let end = start;
    while (end < to && hasColumn(lines[end]!, column)) end++;
    const block = lines.slice(start, end);
    const width = Math.max(minWidth, ...block.map((cells) => characters(cells[column]!) + padding));
    for (const cells of block) cells[column] += " ".repeat(width - characters(cells[column]!));
    alignColumn(lines, { from: start, to: end, column: column + 1, minWidth });
    start = end - 1;
  }
}

function hasColumn(cells: string[], column: number): boolean {
  return column < cells.length - 1;
}

/** tabwriter counts characters, not bytes. */
function characters(text: string): number {
  return Buffer.byteLength(text) === text.length ? text.length : [...text].length; // ASCII: no need to look at each
}
