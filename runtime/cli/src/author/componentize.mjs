// Bundles a plugin, and makes a component of the bundle. Started by `windlass plugin build` with Node.js.
//
//   bundle FOLDER ENTRY OUT           esbuild: the plugin with all that it imports, in one file
//   componentize FOLDER BUNDLE WIT WORLD OUT
//   explain FOLDER ENTRY OUT          why the plugin cannot be loaded, with places in its own files, if Node.js knows it
//
// It lies in the plugin's node_modules while it runs, so that the tools are those of the plugin.

import { writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';

const [mode, folder, ...args] = process.argv.slice(2);

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
    logLevel: 'error',
  });
} else if (mode === 'explain') {
  // The component's engine tells places in the bundle, which nobody has seen.
  const [entry, out] = args;
  const esbuild = (await import('esbuild')).default;
  const made = await esbuild.build({
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
  }).catch(() => undefined);
  if (made !== undefined) {
    await import(pathToFileURL(out)).catch((error) => {
      const frames = String(error?.stack ?? '').split('\n').filter((it) => /^ +at /.test(it) && !/node:|node_modules|windlass-sdk/.test(it));
      console.log([String(error), ...frames.slice(0, 5)].join('\n'));
    });
  }
} else {
  const [bundle, witPath, worldName, out] = args;
  const { componentize } = await import('@bytecodealliance/componentize-js');
  const { component } = await componentize({ sourcePath: bundle, witPath, worldName });
  await writeFile(out, component);
}
