import assert from 'node:assert/strict';
import { test } from 'node:test';

import { t } from '@windlass/sdk';

const Build = t.object({
  job: t.string({ minLength: 1, pattern: '^[a-z]+$' }),
  retries: t.integer({ minimum: 0, maximum: 3 }).default(1),
  labels: t.record(t.string()).optional(),
  parts: t.array(t.object({ name: t.string().nullable() }), { maxItems: 2 }).optional(),
});

test('a type is a JSON Schema', () => {
  assert.deepEqual(t.object({ a: t.string().describe('A.'), b: t.boolean().optional() }).schema, {
    type: 'object',
    properties: { a: { type: 'string', description: 'A.' }, b: { type: 'boolean' } },
    required: ['a'],
    additionalProperties: false,
  });
});

test('values get their defaults', () => {
  assert.deepEqual(Build.read({ job: 'a', parts: [{ name: null }] }), { job: 'a', retries: 1, parts: [{ name: null }] });
  assert.deepEqual(t.open({ a: t.string() }).read({ a: 'x', more: 1 }), { a: 'x', more: 1 });
});

test('what is not as its type says names the place', () => {
  for (const [value, message] of [
    [7, '7 is no object'],
    [{}, 'the field `job` is missing'],
    [{ job: '' }, 'job: has fewer than 1 characters'],
    [{ job: 'A' }, 'job: does not match ^[a-z]+$'],
    [{ job: 'a', retries: 1.5 }, 'retries: 1.5 is no integer'],
    [{ job: 'a', retries: 4 }, 'retries: is more than 3'],
    [{ job: 'a', labels: { x: 1 } }, 'labels.x: 1 is no string'],
    [{ job: 'a', parts: [{ name: 'x' }, { name: 1 }] }, 'parts[1].name: 1 is no string'],
    [{ job: 'a', parts: [1, 2, 3] }, 'parts: has more than 2 items'],
    [{ job: 'a', jbo: 1 }, 'there is no field `jbo`'],
  ]) {
    assert.throws(() => Build.read(value), { name: 'Mismatch', message }, JSON.stringify(value));
  }
});

test('a bound that means nothing is refused', () => {
  assert.throws(() => t.integer({ minimun: 0 }), /t\.integer has no `minimun`; it has minimum, maximum/);
  assert.throws(() => t.string({ minLenght: 1 }), /t\.string has no `minLenght`/);
  assert.throws(() => t.array(t.any(), { minLength: 1 }), /t\.array has no `minLength`; it has minItems, maxItems/);
});

test('what is no type is refused where it is declared', () => {
  assert.throws(() => t.object({ name: 'string' }), /the field `name` is "string", which is no type: write for example t\.string\(\)/);
  assert.throws(() => t.open({ name: t.string }), /the field `name`/);
  assert.throws(() => t.array(), /an array's items is undefined/);
  assert.throws(() => t.record(String), /a record's values/);
});
