/** Terminals: sizes, raw mode, pseudo-terminals. */

import { AF_INET, O_NOCTTY, O_RDWR, SOCK_DGRAM } from "../constants.ts";
import { c, check } from "../libc.ts";
import { socket } from "./descriptor.ts";
import { close, open } from "./file.ts";

// <asm-generic/ioctls.h>, <linux/sockios.h>
const TCGETS = 0x5401;
const TCSETS = 0x5402;
const TIOCSCTTY = 0x540e;
const TIOCGWINSZ = 0x5413;
const TIOCSWINSZ = 0x5414;
const TIOCGPTN = 0x80045430;
const TIOCSPTLCK = 0x40045431;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;

export interface WindowSize {
  rows: number;
  columns: number;
}

/** The terminal's settings as termios(3) bytes; undefined where `fd` is no terminal. */
export function getTerminalAttributes(fd: number): Buffer | undefined {
  const termios = Buffer.alloc(36); // struct termios of the kernel
  return c.ioctl(fd, TCGETS, termios) === 0 ? termios : undefined;
}
export function setTerminalAttributes(fd: number, attributes: Uint8Array): void {
  check("ioctl", c.ioctl(fd, TCSETS, attributes), "TCSETS");
}
/** cfmakeraw(3) on a copy of the settings: every byte goes through as it is. */
export function toRaw(attributes: Uint8Array): Buffer {
  const raw = Buffer.from(attributes);
  const [input, output, control, local] = [0, 4, 8, 12].map((offset) => raw.readUInt32LE(offset)) as [
    number,
    number,
    number,
    number,
  ];
  raw.writeUInt32LE((input & ~0o2753) >>> 0, 0); // IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON
  raw.writeUInt32LE((output & ~0o1) >>> 0, 4); // OPOST
  raw.writeUInt32LE(((control & ~0o460) | 0o60) >>> 0, 8); // CSIZE PARENB; CS8
  raw.writeUInt32LE((local & ~0o100113) >>> 0, 12); // ECHO ECHONL ICANON ISIG IEXTEN
  raw[17 + 6] = 1; // VMIN
  raw[17 + 5] = 0; // VTIME
  return raw;
}

/** A copy of the settings in which nothing typed is shown, and each byte comes at once; ^C is a byte too. */
export function toSilent(attributes: Uint8Array): Buffer {
  const silent = Buffer.from(attributes);
  silent.writeUInt32LE((silent.readUInt32LE(12) & ~0o13) >>> 0, 12); // ECHO ICANON ISIG
  return silent;
}

export function getWindowSize(fd: number): WindowSize | undefined {
  const winsize = Buffer.alloc(8);
  if (c.ioctl(fd, TIOCGWINSZ, winsize) !== 0) return undefined;
  return { rows: winsize.readUInt16LE(0), columns: winsize.readUInt16LE(2) };
}
export function setWindowSize(fd: number, size: WindowSize): void {
  const winsize = Buffer.alloc(8);
  winsize.writeUInt16LE(size.rows, 0);
  winsize.writeUInt16LE(size.columns, 2);
  check("ioctl", c.ioctl(fd, TIOCSWINSZ, winsize), "TIOCSWINSZ");
}

/** A new pseudo-terminal of the devpts instance behind `ptmxPath`: the master, and the number N of its /dev/pts/N. */
export function openPty(ptmxPath: string): { masterFd: number; number: number } {
  const masterFd = open(ptmxPath, O_RDWR | O_NOCTTY);
  const word = new Int32Array(1);
  check("ioctl", c.ioctl(masterFd, TIOCSPTLCK, word), "TIOCSPTLCK");
  check("ioctl", c.ioctl(masterFd, TIOCGPTN, word), "TIOCGPTN");
  return { masterFd, number: word[0]! };
}
/** Makes `fd` the controlling terminal of this session leader. */
export function setControllingTerminal(fd: number): void {
  check("ioctl", c.ioctl(fd, TIOCSCTTY, null), "TIOCSCTTY");
}

/** Sets IFF_UP on an interface of the current network namespace: netdevice(7). */
export function setInterfaceUp(name: string): void {
  const request = Buffer.alloc(40); // struct ifreq
  request.write(name, 0, 15, "latin1");
  const fd = socket(AF_INET, SOCK_DGRAM);
  try {
    check("ioctl", c.ioctl(fd, SIOCGIFFLAGS, request), name);
    request.writeInt16LE(request.readInt16LE(16) | 1, 16);
    check("ioctl", c.ioctl(fd, SIOCSIFFLAGS, request), name);
  } finally {
    close(fd);
  }
}
