declare const POD_COMMIT: string; // put in by scripts/build.ts

/** The git commit that this program was built from, with `-dirty` where files had changed; `""` where it is not known. */
export const commit = typeof POD_COMMIT === "string" ? POD_COMMIT : "";
