/** Text that comes from others: archives, registries, the command line. */

/** As a terminal can be given it: control characters but tabs and line ends become `\x1b` and the like, so that none acts. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}
