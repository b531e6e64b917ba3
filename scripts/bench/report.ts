export interface Row {
  name: string;
  unit: string;
  pod: number;
  /** Missing where podman has no such thing. */
  podman?: number;
  /** A third program, where there is one that is close to the limit. */
  other?: number;
  otherName?: string;
}

/** A Markdown table with the ratios: below 1 pod is faster, or smaller; of a rate the name says that more is better. */
export function table(rows: Row[]): string {
  const head = ["", "pod", "podman", "pod/podman", "beside", "pod/beside"];
  const cells = rows.map(({ name, unit, pod, podman, other, otherName }) => [
    name,
    `${figure(pod)} ${unit}`,
    podman === undefined ? "" : `${figure(podman)} ${unit}`,
    podman === undefined ? "" : figure(pod / podman),
    other === undefined ? "" : `${otherName}: ${figure(other)} ${unit}`,
    other === undefined ? "" : figure(pod / other),
  ]);
  const align = ["---", "---:", "---:", "---:", "---:", "---:"];
  return [head, align, ...cells].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** Three significant digits, and no exponent. */
function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
