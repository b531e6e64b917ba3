/** Sizes, durations and ids as Docker prints them (docker/go-units). */

const decimalUnits = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/** `8.09MB`: units of 1000, `digits` significant digits (docker uses 3 in tables, 4 in progress). */
export function formatSize(sizeBytes: number, digits = 3): string {
  let size = sizeBytes;
  let unit = 0;
  while (size >= 1000 && unit < decimalUnits.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${Number(size.toPrecision(digits))}${decimalUnits[unit]}`;
}

const binaryUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** `7.65GiB`: units of 1024, for memory. */
export function formatBinarySize(sizeBytes: number): string {
  let size = sizeBytes;
  let unit = 0;
  while (size >= 1024 && unit < binaryUnits.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${Number(size.toPrecision(4))}${binaryUnits[unit]}`;
}

/** go-units' HumanDuration: `Less than a second`, `About a minute`, `5 weeks`. */
export function formatDuration(durationMs: number): string {
  const seconds = Math.trunc(durationMs / 1000);
  if (seconds < 1) return "Less than a second";
  if (seconds < 60) return seconds === 1 ? "1 second" : `${seconds} seconds`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 60) return minutes === 1 ? "About a minute" : `${minutes} minutes`;
  const hours = Math.trunc(durationMs / 3_600_000 + 0.5);
  if (hours < 48) return hours === 1 ? "About an hour" : `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.trunc(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.trunc(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.trunc(hours / 24 / 30)} months`;
  return `${Math.trunc(durationMs / 3_600_000 / 24 / 365)} years`;
}

/** `5 minutes ago`, from an RFC 3339 time; empty where there is none. */
export function formatAge(time: string | undefined, nowMs = Date.now()): string {
  return isTime(time) ? `${formatDuration(nowMs - Date.parse(time))} ago` : "";
}

/** Images may say anything. */
function isTime(text: string | undefined): text is string {
  return text !== undefined && !Number.isNaN(Date.parse(text));
}

/** Go's time.String: `2024-05-01 10:00:00 +0000 UTC`. */
export function formatTime(time: string | undefined): string {
  if (!isTime(time)) return "";
  return `${new Date(time).toISOString().slice(0, 19).replace("T", " ")} +0000 UTC`;
}

/** The first twelve hexadecimal digits of an id or digest. */
export function shortId(id: string): string {
  return id.replace(/^sha(256|512):/, "").slice(0, 12);
}
