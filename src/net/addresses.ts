/** Hosts as configuration files name them. */

/** `host`, perhaps with a port, is this machine: certificates and proxies are not for it. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(host);
}

/** The IPv4 address lies in a network like `10.0.0.0/8`. */
export function inNetwork(address: string, network: string): boolean {
  const match = /^([\d.]+)\/(\d{1,2})$/.exec(network);
  const [base, value] = [toNumber(match?.[1]), toNumber(address)];
  if (!match || base === undefined || value === undefined) return false;
  const blockSize = 2 ** (32 - Number(match[2]));
  return Math.floor(base / blockSize) === Math.floor(value / blockSize);
}

function toNumber(address: string | undefined): number | undefined {
  const parts = address?.split(".").map(Number);
  if (parts?.length !== 4 || !parts.every((part) => part >= 0 && part <= 255)) return undefined;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}
