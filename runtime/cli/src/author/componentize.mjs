// Bundles a plugin, and makes a component of the bundle. Started by `windlass plugin build` with Node.js.
//
//   bundle FOLDER ENTRY OUT           esbuild: the plugin with all that it imports, in one file
//   componentize FOLDER BUNDLE WIT WORLD OUT
//
// It lies in the plugin's node_modules while it runs, so that the tools are those of the plugin.

import { writeFile } from 'node:fs/promises';

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
} else {
  const [bundle, witPath, worldName, out] = args;
  const { componentize } = await import('@bytecodealliance/componentize-js');
  const { component } = await componentize({ sourcePath: bundle, witPath, worldName });
  await writeFile(out, component);
}
