import assert from 'node:assert/strict';
import { test } from 'node:test';

import { closest, placed } from '../src/places.js';

const places = {
  files: ['src/plugin.js', 'src/jobs.js'],
  pieces: [[1, 0, -1, 0], [1, 40, 0, 3], [1, 90, 0, 4], [2, 10, 1, 7], [2, 80, -1, 0]],
};

test('a stack has the places of the plugin\'s own files', () => {
  const stack = [
    'read@plugin.js:1:12', 'helper@plugin.js:2:10', 'start/<@plugin.js:1:95', 'answer@plugin.js:2:200',
    'export_step$start@/tmp/initializer.js:7819:29', '',
  ].join('\n');
  assert.deepEqual(placed(stack, places).split('\n'), [
    'read@plugin.js:1:12', 'helper@src/jobs.js:7', 'start/<@src/plugin.js:4', 'answer@plugin.js:2:200',
    'export_step$start@/tmp/initializer.js:7819:29', '',
  ]);
  assert.equal(closest(stack, places), 'src/jobs.js, line 7');
});

test('where no place is known the stack stays as it is', () => {
  const stack = 'start@plugin.js:1:50\n';
  assert.equal(placed(stack), stack);
  assert.equal(closest(stack), undefined);
  assert.equal(closest('', places), undefined);
  assert.equal(closest('read@plugin.js:1:12', places), undefined);
});
