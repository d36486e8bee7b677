// Where in the plugin's own files something happened, of places in the bundle that is in the component.

/**
 * Places of the plugin's files: `files`, and in the order of the bundle where each piece begins, `[line, column, file, line of
 * the file]`; `file` is -1 for what is not the plugin's. `windlass plugin build` puts it into the bundle.
 */
const table = () => globalThis.__windlassPlaces ?? { files: [], pieces: [] };

const IN_BUNDLE = /plugin\.js:(\d+):(\d+)$/;

/** `src/plugin.js:12`, of a line of a stack; undefined where it is none of the plugin's. */
function place(line, { files, pieces }) {
  const found = IN_BUNDLE.exec(line);
  if (found === null) return undefined;
  const [at, column] = [Number(found[1]), Number(found[2])];
  const piece = pieces.findLast(([row, from]) => row < at || (row === at && from <= column));
  return piece === undefined || piece[2] < 0 ? undefined : `${files[piece[2]]}:${piece[3]}`;
}

/** A stack with places in the plugin's own files, where they are known. */
export function placed(stack, places = table()) {
  return stack.split('\n').map((line) => {
    const own = place(line, places);
    return own === undefined ? line : line.replace(IN_BUNDLE, own);
  }).join('\n');
}

/** Where the plugin's own code came closest to what is on top of a stack: `src/plugin.js, line 12`. */
export function closest(stack, places = table()) {
  const own = stack.split('\n').map((line) => place(line, places)).find((it) => it !== undefined);
  return own?.replace(/:(\d+)$/, ', line $1');
}
