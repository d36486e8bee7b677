package windlass

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Types of inputs and outputs are structs with tags beside `json`:
//
//	doc:"What people call it."    what it is for
//	enum:"low,normal,high"        the values of a string
//	default:"normal"              may be left out, and then is this
//	min:"0" max:"3"               bounds of a number; of the length of a string or slice
//
// A field is required unless it has a default, is a pointer, or says `omitempty` or `omitzero`.

type field struct {
	name     string
	index    int
	optional bool
	tag      reflect.StructTag
}

func fieldsOf(kind reflect.Type) []field {
	var fields []field
	for index := range kind.NumField() {
		it := kind.Field(index)
		name, options, _ := strings.Cut(it.Tag.Get("json"), ",")
		if !it.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = it.Name
		}
		_, hasDefault := it.Tag.Lookup("default")
		optional := hasDefault || it.Type.Kind() == reflect.Pointer || strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		fields = append(fields, field{name, index, optional, it.Tag})
	}
	return fields
}

// schemaOf is the JSON Schema of a type in which there are no problems.
func schemaOf(kind reflect.Type, tag reflect.StructTag) map[string]any {
	schema := map[string]any{}
	switch kind.Kind() {
	case reflect.Pointer:
		return schemaOf(kind.Elem(), tag)
	case reflect.String:
		schema["type"] = "string"
		bound(schema, tag, "minLength", "maxLength")
		if values, ok := tag.Lookup("enum"); ok {
			schema = map[string]any{"enum": strings.Split(values, ",")}
		}
	case reflect.Bool:
		schema["type"] = "boolean"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		schema["type"] = "integer"
		bound(schema, tag, "minimum", "maximum")
	case reflect.Float32, reflect.Float64:
		schema["type"] = "number"
		bound(schema, tag, "minimum", "maximum")
	case reflect.Slice:
		schema["type"] = "array"
		schema["items"] = schemaOf(kind.Elem(), "")
		bound(schema, tag, "minItems", "maxItems")
	case reflect.Map:
		schema["type"] = "object"
		schema["additionalProperties"] = schemaOf(kind.Elem(), "")
	case reflect.Interface:
	case reflect.Struct:
		properties, required := map[string]any{}, []string{}
		for _, it := range fieldsOf(kind) {
			properties[it.name] = schemaOf(kind.Field(it.index).Type, it.tag)
			if !it.optional {
				required = append(required, it.name)
			}
		}
		schema["type"], schema["properties"], schema["required"] = "object", properties, required
		schema["additionalProperties"] = false
	default:
		panic(fmt.Sprintf("windlass: %v has no JSON Schema", kind))
	}
	if doc, ok := tag.Lookup("doc"); ok {
		schema["description"] = doc
	}
	if _, ok := tag.Lookup("default"); ok {
		schema["default"] = defaultOf(kind, tag)
	}
	return schema
}

func bound(schema map[string]any, tag reflect.StructTag, min, max string) {
	for tagName, keyword := range map[string]string{"min": min, "max": max} {
		if text, ok := tag.Lookup(tagName); ok {
			schema[keyword], _ = strconv.ParseFloat(text, 64)
		}
	}
}

func defaultOf(kind reflect.Type, tag reflect.StructTag) any {
	text := tag.Get("default")
	for kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	if kind.Kind() == reflect.String {
		return text
	}
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		panic(fmt.Sprintf("windlass: `default:%q` is no JSON: %v", text, err))
	}
	return value
}

// decode reads JSON into a value; strict refuses fields that a struct has not. The error names the place.
func decode(text []byte, into any, strict bool) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return fmt.Errorf("no JSON: %w", err)
	}
	if decoder.More() {
		return fmt.Errorf("no JSON: there is more after the end")
	}
	target := reflect.ValueOf(into).Elem()
	return set(target, value, "", "", strict)
}

// decodeTagged reads the JSON of a field with a tag.
func decodeTagged(text []byte, target reflect.Value, tag reflect.StructTag) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return err
	}
	return set(target, value, tag, "", true)
}

func set(target reflect.Value, value any, tag reflect.StructTag, place string, strict bool) error {
	wrong := func(format string, arguments ...any) error {
		problem := fmt.Sprintf(format, arguments...)
		if place == "" {
			return fmt.Errorf("%s", problem)
		}
		return fmt.Errorf("%s: %s", place, problem)
	}
	kind := target.Type()
	switch kind.Kind() {
	case reflect.Pointer:
		if value == nil {
			return nil
		}
		target.Set(reflect.New(kind.Elem()))
		return set(target.Elem(), value, tag, place, strict)
	case reflect.Interface:
		if value != nil {
			target.Set(reflect.ValueOf(plain(value)))
		}
		return nil
	case reflect.String:
		text, ok := value.(string)
		if !ok {
			return wrong("%s is no string", show(value))
		}
		if values, ok := tag.Lookup("enum"); ok && !contains(strings.Split(values, ","), text) {
			return wrong("%s is none of %s", show(value), values)
		}
		if problem := outside(float64(utf8.RuneCountInString(text)), tag); problem != "" {
			return wrong("has %s characters", problem)
		}
		target.SetString(text)
	case reflect.Bool:
		truth, ok := value.(bool)
		if !ok {
			return wrong("%s is no boolean", show(value))
		}
		target.SetBool(truth)
	case reflect.Slice:
		items, ok := value.([]any)
		if !ok {
			return wrong("%s is no array", show(value))
		}
		if problem := outside(float64(len(items)), tag); problem != "" {
			return wrong("has %s items", problem)
		}
		target.Set(reflect.MakeSlice(kind, len(items), len(items)))
		for at, item := range items {
			if err := set(target.Index(at), item, "", fmt.Sprintf("%s[%d]", place, at), strict); err != nil {
				return err
			}
		}
	case reflect.Map:
		object, ok := value.(map[string]any)
		if !ok {
			return wrong("%s is no object", show(value))
		}
		target.Set(reflect.MakeMap(kind))
		for name, item := range object {
			element := reflect.New(kind.Elem()).Elem()
			if err := set(element, item, "", below(place, name), strict); err != nil {
				return err
			}
			target.SetMapIndex(reflect.ValueOf(name).Convert(kind.Key()), element)
		}
	case reflect.Struct:
		object, ok := value.(map[string]any)
		if !ok {
			return wrong("%s is no object", show(value))
		}
		return setStruct(target, object, place, strict, wrong)
	default:
		return setNumber(target, value, tag, wrong)
	}
	return nil
}

func setStruct(target reflect.Value, object map[string]any, place string, strict bool, wrong func(string, ...any) error) error {
	kind, known := target.Type(), map[string]bool{}
	for _, it := range fieldsOf(kind) {
		known[it.name] = true
		value, given := object[it.name]
		if !given {
			if _, ok := it.tag.Lookup("default"); ok {
				written, _ := json.Marshal(defaultOf(kind.Field(it.index).Type, it.tag))
				decoder := json.NewDecoder(bytes.NewReader(written))
				decoder.UseNumber()
				if err := decoder.Decode(&value); err != nil {
					return wrong("the default of `%s`: %v", it.name, err)
				}
			} else if it.optional {
				continue
			} else {
				return wrong("the field `%s` is missing", it.name)
			}
		}
		if err := set(target.Field(it.index), value, it.tag, below(place, it.name), strict); err != nil {
			return err
		}
	}
	for name := range object {
		if strict && !known[name] {
			return wrong("there is no field `%s`", name)
		}
	}
	return nil
}

func setNumber(target reflect.Value, value any, tag reflect.StructTag, wrong func(string, ...any) error) error {
	kind := target.Type()
	float := kind.Kind() == reflect.Float32 || kind.Kind() == reflect.Float64
	name := "integer"
	if float {
		name = "number"
	}
	number, ok := value.(json.Number)
	if !ok {
		return wrong("%s is no %s", show(value), name)
	}
	size, err := number.Float64()
	if err != nil || (!float && size != math.Trunc(size)) {
		return wrong("%s is no %s", number, name)
	}
	if problem := outside(size, tag); problem != "" {
		return wrong("is %s", problem)
	}
	written := number.String()
	if !float && strings.ContainsAny(written, ".eE") {
		written = strconv.FormatFloat(size, 'f', 0, 64)
	}
	if err := json.Unmarshal([]byte(written), target.Addr().Interface()); err != nil {
		return wrong("%s does not fit into %v", number, kind)
	}
	return nil
}

func outside(number float64, tag reflect.StructTag) string {
	if text, ok := tag.Lookup("min"); ok {
		if min, _ := strconv.ParseFloat(text, 64); number < min {
			return "less than " + text
		}
	}
	if text, ok := tag.Lookup("max"); ok {
		if max, _ := strconv.ParseFloat(text, 64); number > max {
			return "more than " + text
		}
	}
	return ""
}

func contains(values []string, value string) bool {
	for _, it := range values {
		if it == value {
			return true
		}
	}
	return false
}

func below(place, name string) string {
	if place == "" {
		return name
	}
	return place + "." + name
}

func show(value any) string {
	text, _ := json.Marshal(value)
	if len(text) > 60 {
		return string(text[:60]) + "…"
	}
	return string(text)
}

// plain turns numbers into what Go's JSON gives.
func plain(value any) any {
	switch it := value.(type) {
	case json.Number:
		number, _ := it.Float64()
		return number
	case []any:
		for at := range it {
			it[at] = plain(it[at])
		}
	case map[string]any:
		for name := range it {
			it[name] = plain(it[name])
		}
	}
	return value
}

// encodeAs writes JSON as the type's schema has it: a pointer that is nil is a field that is left out. All others stay in the
// order of the struct.
func encodeAs(kind reflect.Type, value any) ([]byte, error) {
	written, err := encode(value)
	if err != nil || kind == nil || !bytes.Contains(written, []byte("null")) {
		return written, err
	}
	return leaveOut(kind, written), nil
}

// leaveOut takes the pointers out of what was written of a type that are nil.
func leaveOut(kind reflect.Type, written []byte) []byte {
	switch kind.Kind() {
	case reflect.Pointer:
		return leaveOut(kind.Elem(), written)
	case reflect.Slice:
		var items []json.RawMessage
		if json.Unmarshal(written, &items) != nil || items == nil {
			return written
		}
		parts := make([][]byte, len(items))
		for at, item := range items {
			parts[at] = leaveOut(kind.Elem(), item)
		}
		return enclosed('[', parts, ']')
	case reflect.Map, reflect.Struct:
		var parts [][]byte
		for _, it := range membersOf(written) {
			of := typeOfMember(kind, it.name)
			if kind.Kind() == reflect.Struct && of != nil && of.Kind() == reflect.Pointer && string(it.value) == "null" {
				continue
			}
			value := []byte(it.value)
			if of != nil {
				value = leaveOut(of, value)
			}
			name, _ := encode(it.name)
			parts = append(parts, append(append(name, ':'), value...))
		}
		if parts == nil && !bytes.HasPrefix(written, []byte("{")) {
			return written
		}
		return enclosed('{', parts, '}')
	}
	return written
}

// typeOfMember is nil where the type says nothing of it.
func typeOfMember(kind reflect.Type, name string) reflect.Type {
	if kind.Kind() == reflect.Map {
		return kind.Elem()
	}
	for _, it := range fieldsOf(kind) {
		if it.name == name {
			return kind.Field(it.index).Type
		}
	}
	return nil
}

type member struct {
	name  string
	value json.RawMessage
}

// membersOf reads an object in its order; nothing if it is none.
func membersOf(written []byte) []member {
	decoder := json.NewDecoder(bytes.NewReader(written))
	if opening, err := decoder.Token(); err != nil || opening != json.Delim('{') {
		return nil
	}
	var members []member
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil
		}
		it := member{name: name.(string)}
		if decoder.Decode(&it.value) != nil {
			return nil
		}
		members = append(members, it)
	}
	return members
}

func enclosed(opening byte, parts [][]byte, closing byte) []byte {
	return append(append([]byte{opening}, bytes.Join(parts, []byte(","))...), closing)
}

// encode writes JSON without escaping what only HTML needs escaped.
func encode(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buffer.Bytes(), "\n"), nil
}
