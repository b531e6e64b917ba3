/** Random numbers that a test can repeat. */

/** POD_TEST_SEED repeats a run; tests that use it have it in their name. */
export const seed = Number(process.env.POD_TEST_SEED || Math.floor(Math.random() * 2 ** 32));

/** Mulberry32, by Tommy Ettinger: the same numbers for the same seed. */
export function randomNumbers(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
