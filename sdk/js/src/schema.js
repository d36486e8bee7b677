// Types of inputs and outputs: JSON Schemas that a program can read values with.

/** A type: `schema` is its JSON Schema; `read` checks a value and fills defaults in. */
export class Type {
  constructor(schema, optional = false) {
    this.schema = schema;
    this.isOptional = optional;
    Object.freeze(this);
  }

  /** What it is for, for people. */
  describe(description) { return new Type({ description, ...this.schema }, this.isOptional); }

  /** May be left out. */
  optional() { return new Type(this.schema, true); }

  /** May be left out, and then is this. */
  default(value) { return new Type({ ...this.schema, default: value }, true); }

  /** May be null. */
  nullable() {
    const { description, ...schema } = this.schema;
    const either = { anyOf: [schema, { type: 'null' }] };
    return new Type(description === undefined ? either : { description, ...either }, this.isOptional);
  }

  /** The value with defaults; throws a `Mismatch` that names the field. */
  read(value) {
    if (value instanceof Promise) throw new Mismatch('', 'it is a Promise: an `await` is missing');
    return read(this.schema, value, '');
  }
}

/** A value that is not as its type says. */
export class Mismatch extends Error {
  constructor(path, problem) {
    super(path === '' ? problem : `${path}: ${problem}`);
    this.name = 'Mismatch';
  }
}

/** A value's place and what is wrong with it, or the value. Only what the functions of `t` make is known. */
function read(schema, value, path) {
  const wrong = (problem) => { throw new Mismatch(path, problem); };
  if (schema.anyOf) {
    for (const alternative of schema.anyOf) {
      if (alternative.type === 'null' ? value === null : value !== null) return read(alternative, value, path);
    }
  }
  if (schema.enum && !schema.enum.includes(value)) wrong(`${show(value)} is none of ${schema.enum.map(show).join(', ')}`);
  if (schema.type && !isOfType(schema.type, value)) wrong(`${show(value)} is no ${schema.type}`);
  if (typeof value === 'string') {
    const length = [...value].length;
    if (length < (schema.minLength ?? 0)) wrong(`has fewer than ${schema.minLength} characters`);
    if (length > (schema.maxLength ?? Infinity)) wrong(`has more than ${schema.maxLength} characters`);
    if (schema.pattern && !new RegExp(schema.pattern, 'u').test(value)) wrong(`does not match ${schema.pattern}`);
  }
  if (typeof value === 'number') {
    if (value < (schema.minimum ?? -Infinity)) wrong(`is less than ${schema.minimum}`);
    if (value > (schema.maximum ?? Infinity)) wrong(`is more than ${schema.maximum}`);
  }
  if (schema.type === 'array') {
    if (value.length < (schema.minItems ?? 0)) wrong(`has fewer than ${schema.minItems} items`);
    if (value.length > (schema.maxItems ?? Infinity)) wrong(`has more than ${schema.maxItems} items`);
    return value.map((item, index) => read(schema.items, item, `${path}[${index}]`));
  }
  if (schema.type === 'object') {
    const below = (name) => (path === '' ? name : `${path}.${name}`);
    const result = {};
    for (const [name, property] of Object.entries(schema.properties ?? {})) {
      const given = Object.hasOwn(value, name) ? value[name] : undefined;
      if (given !== undefined) result[name] = read(property, given, below(name));
      else if (schema.required?.includes(name)) wrong(`the field \`${name}\` is missing`);
      else if (property.default !== undefined) result[name] = structuredClone(property.default);
    }
    for (const [name, item] of Object.entries(value)) {
      if (Object.hasOwn(schema.properties ?? {}, name) || item === undefined) continue;
      if (schema.additionalProperties === false) wrong(`there is no field \`${name}\``);
      result[name] = typeof schema.additionalProperties === 'object' ? read(schema.additionalProperties, item, below(name)) : item;
    }
    return result;
  }
  return value;
}

function isOfType(type, value) {
  switch (type) {
    case 'null': return value === null;
    case 'array': return Array.isArray(value);
    case 'object': return typeof value === 'object' && value !== null && !Array.isArray(value);
    case 'integer': return Number.isInteger(value);
    default: return typeof value === type;
  }
}

function show(value) {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** The type, or what it is instead; `where` says whose it should be. */
function typed(type, where) {
  if (type instanceof Type) return type;
  throw new TypeError(`${where} is ${show(type)}, which is no type: write for example t.string()`);
}

function object(properties, additionalProperties) {
  const schemas = {};
  const required = [];
  for (const [name, type] of Object.entries(properties)) {
    typed(type, `the field \`${name}\``);
    schemas[name] = type.schema;
    if (!type.isOptional) required.push(name);
  }
  return new Type({ type: 'object', properties: schemas, required, additionalProperties });
}

/** What bounds a value of a type, in the words of JSON Schema. */
const BOUNDS = {
  string: ['minLength', 'maxLength', 'pattern'],
  number: ['minimum', 'maximum'],
  array: ['minItems', 'maxItems'],
};

/** Bounds of which each means something: of a misspelt one nothing would ever be said again. */
function bounded(type, bounds) {
  const known = BOUNDS[type === 'integer' ? 'number' : type];
  const unknown = Object.keys(bounds).find((it) => !known.includes(it));
  if (unknown !== undefined) throw new TypeError(`t.${type} has no \`${unknown}\`; it has ${known.join(', ')}`);
  return { type, ...bounds };
}

/** Types. */
export const t = {
  string: (bounds = {}) => new Type(bounded('string', bounds)),
  number: (bounds = {}) => new Type(bounded('number', bounds)),
  integer: (bounds = {}) => new Type(bounded('integer', bounds)),
  boolean: () => new Type({ type: 'boolean' }),
  enum: (...values) => new Type({ enum: values }),
  array: (items, bounds = {}) => new Type({ ...bounded('array', bounds), items: typed(items, 'the type of an array\'s items').schema }),
  /** An object with these fields and no others: a typo is an error. */
  object: (properties) => object(properties, false),
  /** An object with these fields, whatever else it has: what another system answers. */
  open: (properties) => object(properties, true),
  /** An object with any names. */
  record: (values) => new Type({ type: 'object', additionalProperties: typed(values, 'the type of a record\'s values').schema }),
  /** Anything. */
  any: () => new Type({}),
};
