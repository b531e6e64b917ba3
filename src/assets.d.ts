/** Imported with `type: "file"`: the path of the embedded file. */
declare module "*.tar" {
  const path: string;
  export default path;
}
