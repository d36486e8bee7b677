// Bundles a plugin, and makes a component of the bundle. Started by `windlass plugin build` with Node.js.
//
//   bundle FOLDER ENTRY OUT           esbuild: the plugin with all that it imports, in one file, which knows its places
//   componentize FOLDER BUNDLE WIT WORLD OUT
//   describe FOLDER ENTRY OUT         the plugin's manifest, or why it cannot be loaded, as Node.js knows it: to OUT.json
//
// It lies in the plugin's node_modules while it runs, so that the tools are those of the plugin.

import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [mode, folder, ...args] = process.argv.slice(2);

/** Where in the bundle each line of the plugin's own files begins: the SDK tells places by it. */
function placesOf(map, folder, base) {
  const relative = map.sources.map((it) => path.relative(folder, path.resolve(base, it)));
  const isOwn = (it) => !it.startsWith('..') && !/(^|\/)(node_modules|windlass-sdk)\//.test(it) && it !== 'component.js';
  const files = relative.filter(isOwn);
  const pieces = [];
  let [source, line] = [0, 0];
  map.mappings.split(';').forEach((segments, row) => {
    let column = 0;
    for (const segment of segments.split(',').filter((it) => it !== '')) {
      const [toColumn, toSource, toLine] = numbersOf(segment);
      column += toColumn;
      source += toSource ?? 0;
      line += toLine ?? 0;
      const file = files.indexOf(relative[source]);
      const piece = [row + 1, column, file, file < 0 ? 0 : line + 1];
      const before = pieces.at(-1);
      if (before === undefined || before[2] !== piece[2] || before[3] !== piece[3]) pieces.push(piece);
    }
  });
  return { files, pieces };
}

/** The numbers of a segment of a source map: base 64 digits of five bits and one that says that more follow, the least first. */
function numbersOf(segment) {
  const numbers = [];
  let [number, shift] = [0, 0];
  for (const digit of segment) {
    const bits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.indexOf(digit);
    number |= (bits & 31) << shift;
    shift += 5;
    if (bits & 32) continue;
    numbers.push(number & 1 ? -(number >> 1) : number >> 1);
    [number, shift] = [0, 0];
  }
  return numbers;
}

if (mode === 'bundle') {
  const [entry, out] = args;
  const esbuild = (await import('esbuild')).default;
  await esbuild.build({
    stdin: {
      contents: `import plugin from ${JSON.stringify(`./${entry}`)};\nimport { step as exported } from '@windlass/sdk/component';\nexport const step = exported(plugin);\n`,
      resolveDir: folder,
      sourcefile: 'component.js',
    },
    absWorkingDir: folder,
    outfile: out,
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['import'],
    target: 'es2022',
    external: ['windlass:*', 'wasi:*'],
    // Comments say where each module lies, which is not the plugin's.
    minifyWhitespace: true,
    legalComments: 'none',
    charset: 'utf8',
    sourcemap: 'external',
    sourcesContent: false,
    logLevel: 'error',
  });
  const map = JSON.parse(await readFile(`${out}.map`, 'utf8'));
  await rm(`${out}.map`);
  const places = JSON.stringify(placesOf(map, folder, path.dirname(out)));
  await appendFile(out, `globalThis.__windlassPlaces=${places};\n`);
} else if (mode === 'describe') {
  // The component's engine tells places in the bundle, which nobody has seen, and only after half a minute.
  const [entry, out] = args;
  const esbuild = (await import('esbuild')).default;
  await esbuild.build({
    entryPoints: [entry],
    absWorkingDir: folder,
    outfile: out,
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['import'],
    target: 'es2022',
    external: ['windlass:*', 'wasi:*'],
    sourcemap: 'inline',
    logLevel: 'silent',
  });
  let described;
  try {
    const { default: plugin } = await import(pathToFileURL(out));
    described = { manifest: plugin?.manifest?.() };
  } catch (error) {
    const frames = String(error?.stack ?? '').split('\n').filter((it) => /^ +at /.test(it) && !/node:|node_modules|windlass-sdk/.test(it));
    // What only the component's engine has to import, Node.js cannot judge.
    if (error?.code !== 'ERR_UNSUPPORTED_ESM_URL_SCHEME') described = { fault: [String(error), ...frames.slice(0, 5)].join('\n') };
  }
  await writeFile(`${out}.json`, JSON.stringify(described ?? {}));
} else {
  const [bundle, witPath, worldName, out] = args;
  const { componentize } = await import('@bytecodealliance/componentize-js');
  const { component } = await componentize({ sourcePath: bundle, witPath, worldName });
  await writeFile(out, component);
}
