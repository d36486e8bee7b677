package windlass

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What can be wrong with what a plugin declares. The compiler sees none of it: names, requests and tags are texts, and most
// types have a JSON Schema, but not all.

var (
	names    = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	versions = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	methods  = regexp.MustCompile(`^[A-Z]+$`)
)

const requestLike = "write for example GET,POST /jobs/*, a path below the connection's address"

// Sound tells what is wrong with the declarations, in sentences; nil if nothing is.
func (p *Plugin) Sound() error {
	if p == nil {
		return errors.New("there is no plugin: it is nil")
	}
	problems := p.Problems()
	if len(problems) == 0 {
		return nil
	}
	return errors.New("the plugin's declarations are wrong:\n  " + strings.Join(problems, "\n  "))
}

// Problems is what is wrong with the declarations, a sentence each: which declaration, what is wrong, what would be accepted. A
// component of a plugin that has any is not made.
func (p *Plugin) Problems() []string {
	var found problems
	if !names.MatchString(p.Name) {
		found.add("the plugin: %s", noName(p.Name))
	}
	if !versions.MatchString(p.Version) {
		found.add("the plugin: `%s` is no Version: write for example 0.1.0", p.Version)
	}
	places := map[string]string{}
	for at, action := range p.Actions {
		if it := reflect.ValueOf(action); !it.IsValid() || it.Kind() == reflect.Pointer && it.IsNil() {
			found.add("action %d of the plugin's Actions is nil", at+1)
			continue
		}
		which := fmt.Sprintf("action `%s`%s", action.name(), action.place())
		found.within = which + ": "
		if !names.MatchString(action.name()) {
			found.add("%s", noName(action.name()))
		} else if other, twice := places[action.name()]; twice {
			found.add("another action%s has this name, too", other)
		}
		places[action.name()] = action.place()
		action.declared(&found)
		found.within = ""
	}
	return found.said
}

func noName(name string) string {
	return fmt.Sprintf("`%s` is no name: write [a-z][a-z0-9_-]{0,62}", name)
}

// problems are sentences, in the order of the declarations.
type problems struct {
	said []string
	// within is where they are, before each.
	within string
	// seen are types that were looked at: each is told once, however often it is used.
	seen map[typeUse]bool
}

type typeUse struct {
	kind     reflect.Type
	isSchema bool
}

func (p *problems) add(format string, arguments ...any) {
	p.said = append(p.said, p.within+fmt.Sprintf(format, arguments...))
}

// place is where an action's Start is, the nearest that a value tells of where it was written: ` (Start in main.go:48)`.
func (a Action[Input, Output, State]) place() string {
	if a.Start == nil {
		return ""
	}
	function := runtime.FuncForPC(reflect.ValueOf(a.Start).Pointer())
	if function == nil {
		return ""
	}
	file, line := function.FileLine(function.Entry())
	if file == "" || strings.HasPrefix(file, "<") {
		return ""
	}
	return fmt.Sprintf(" (Start in %s:%d)", filepath.Base(file), line)
}

func (a Action[Input, Output, State]) declared(found *problems) {
	if a.Start == nil {
		found.add("it has no Start")
	}
	if strings.TrimSpace(a.Description) == "" {
		found.add("it has no Description: say in a sentence what it does, for those who write workflows")
	}
	switch a.Effect {
	case Read, IdempotentWrite, Write:
	case "":
		found.add("it has no Effect: windlass.Read, IdempotentWrite or Write")
	default:
		found.add("`%s` is no Effect: windlass.Read, IdempotentWrite or Write", a.Effect)
	}
	if a.ResumeCancel != nil && a.Cancel == nil {
		found.add("it has a ResumeCancel and no Cancel, so nothing calls it")
	}
	if a.ResumeRollback != nil && a.Rollback == nil {
		found.add("it has a ResumeRollback and no Rollback, so nothing calls it")
	}
	for _, name := range slices.Sorted(maps.Keys(a.Connections)) {
		if !names.MatchString(name) {
			found.add("the role %s", noName(name))
		}
		for _, request := range a.Connections[name].Requests {
			if wrong := noRequest(request); wrong != "" {
				found.add("role `%s`: %s", name, wrong)
			}
		}
	}
	// A number without a unit is nanoseconds.
	for _, limit := range []struct {
		name string
		is   time.Duration
	}{{"CPU", a.Limits.CPU}, {"Wall", a.Limits.Wall}} {
		if limit.is < 0 || limit.is > 0 && limit.is < time.Millisecond {
			found.add("the limit %s is %v: write for example 10 * time.Second", limit.name, limit.is)
		}
	}
	input := reflect.TypeFor[Input]()
	switch pointedTo(input).Kind() {
	case reflect.Struct, reflect.Map, reflect.Interface:
	default:
		found.add("its Input is %v, and a step's `with` is always an object: write a struct", input)
	}
	found.inType(input, "", "its Input", nil, true)
	found.inType(reflect.TypeFor[Output](), "", "its Output", nil, true)
	found.inType(reflect.TypeFor[State](), "", "its State", nil, false)
}

func noRequest(request string) string {
	list, path, _ := strings.Cut(request, " ")
	if !strings.HasPrefix(path, "/") || strings.Contains(path, " ") {
		return fmt.Sprintf("`%s` is no request: %s", request, requestLike)
	}
	for _, method := range strings.Split(list, ",") {
		if upper := strings.ToUpper(method); !methods.MatchString(upper) {
			return fmt.Sprintf("`%s` is no request: %s", request, requestLike)
		} else if upper != method {
			return fmt.Sprintf("`%s` is no request: methods are capitals, `%s`", request, upper)
		}
	}
	return ""
}

func pointedTo(kind reflect.Type) reflect.Type {
	for kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	return kind
}

// inType adds what is wrong with a type. Place is where it is used, around are the structs that it is in.
func (p *problems) inType(kind reflect.Type, tag reflect.StructTag, place string, around []reflect.Type, isSchema bool) {
	if why := unlikeJSON(kind); why != "" {
		p.add("%s is %v, %s", place, kind, why)
		return
	}
	switch kind.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		p.inType(kind.Elem(), "", place, around, isSchema)
	case reflect.Struct:
		if slices.Contains(around, kind) {
			// A state has no schema, and a list of itself is read as any other.
			if isSchema {
				p.add("%s is a %v inside of a %v, for which there is no JSON Schema: write `any`, or the levels as types of their own", place, kind, kind)
			}
			return
		}
		if kind.Name() != "" {
			place = kind.String()
			if p.seen[typeUse{kind, true}] || p.seen[typeUse{kind, isSchema}] {
				return
			}
			if p.seen == nil {
				p.seen = map[typeUse]bool{}
			}
			p.seen[typeUse{kind, isSchema}] = true
		}
		p.inStruct(kind, place, append(slices.Clone(around), kind), isSchema)
	}
}

// The kinds of a struct's field that a value of its type is read into.
const taken = "bool, string, numbers, structs, slices, maps by string, pointers to these, and any are"

// unlikeJSON is why values of a type itself, whatever is in it, are not read as they are written.
func unlikeJSON(kind reflect.Type) string {
	is := func(one reflect.Type) bool { return kind.Implements(one) || reflect.PointerTo(kind).Implements(one) }
	switch kind.Kind() {
	case reflect.Pointer:
		return ""
	case reflect.Interface:
		if kind.NumMethod() > 0 {
			return "which says nothing of what is in it: write `any`, or a struct"
		}
		return ""
	case reflect.Bool, reflect.Float32, reflect.Float64, reflect.Map, reflect.Slice, reflect.String, reflect.Struct,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
	case reflect.Array:
		return fmt.Sprintf("which has no JSON Schema: write []%v with `min:\"%d\" max:\"%d\"`", kind.Elem(), kind.Len(), kind.Len())
	default:
		return "which has no JSON Schema: " + taken
	}
	if kind == reflect.TypeFor[json.RawMessage]() {
		return "which may hold anything: write `any`"
	}
	if kind == reflect.TypeFor[json.Number]() {
		return "which is written as a number and read as a string: write float64 or int64"
	}
	if kind == reflect.TypeFor[time.Time]() {
		return "which is written as a string: write a string, with time.RFC3339"
	}
	if is(reflect.TypeFor[json.Marshaler]()) || is(reflect.TypeFor[json.Unmarshaler]()) {
		return "whose MarshalJSON or UnmarshalJSON is nothing that a schema could tell: write what it is as JSON, a string or a struct"
	}
	// A string that writes itself as a text is one all the same.
	if kind.Kind() != reflect.String && (is(reflect.TypeFor[encoding.TextMarshaler]()) || is(reflect.TypeFor[encoding.TextUnmarshaler]())) {
		return "which is written as a text: write a string"
	}
	if kind.Kind() == reflect.Slice && kind.Elem().Kind() == reflect.Uint8 {
		return "which is written in Base64 and read as a list of numbers: write a string"
	}
	if kind.Kind() == reflect.Map && kind.Key().Kind() != reflect.String {
		return "and the names of a JSON object are strings: write map[string]…"
	}
	return ""
}

func (p *problems) inStruct(kind reflect.Type, place string, around []reflect.Type, isSchema bool) {
	known := map[string]string{}
	hidden, said := 0, len(p.said)
	for index := range kind.NumField() {
		it := kind.Field(index)
		place := place + "." + it.Name
		name, _, _ := strings.Cut(it.Tag.Get("json"), ",")
		if name == "-" || it.Name == "_" {
			continue
		}
		if it.Anonymous && name == "" && pointedTo(it.Type).Kind() == reflect.Struct {
			p.add("%s is embedded: give it a name, `json:\"%s\"`, or write out its fields", place, strings.ToLower(it.Name))
			continue
		}
		if !it.IsExported() {
			hidden++
			if slices.ContainsFunc(tags, func(tag string) bool { _, has := it.Tag.Lookup(tag); return has }) {
				p.add("%s has a tag and begins with a small letter, so it is no field: %s", place, strings.ToUpper(it.Name[:1])+it.Name[1:])
			}
			continue
		}
		if name == "" {
			name = it.Name
		}
		if other, twice := known[name]; twice {
			p.add("%s and %s are both `%s` in JSON", place, other, name)
		}
		known[name] = it.Name
		before := len(p.said)
		p.inTag(it.Type, it.Tag, place)
		if len(p.said) == before {
			p.inDefault(it.Type, it.Tag, place)
		}
		p.inType(it.Type, it.Tag, place, around, isSchema)
	}
	// A field that is left out on purpose, as `json:"-"`, is not one of these.
	if hidden > 0 && len(known) == 0 && len(p.said) == said {
		p.add("%s has no field that is kept, for all of them begin with a small letter: begin them with a capital, with a `json` tag for the name", place)
	}
}

// inDefault tells a default that the field itself would not take.
func (p *problems) inDefault(kind reflect.Type, tag reflect.StructTag, place string) {
	text, has := tag.Lookup("default")
	if !has || unlikeJSON(pointedTo(kind)) != "" {
		return
	}
	written := []byte(text)
	if pointedTo(kind).Kind() == reflect.String {
		written, _ = json.Marshal(text)
	} else if !json.Valid(written) {
		p.add("%s: `default:%q` is no JSON, as the default of %v has to be", place, text, kind)
		return
	}
	if err := decodeTagged(written, reflect.New(kind).Elem(), tag); err != nil {
		p.add("%s: the default is not what the field takes: %v", place, err)
	}
}

// inBounds tells bounds that are none: of a string or a slice they are lengths.
func (p *problems) inBounds(kind reflect.Type, tag reflect.StructTag, place string) {
	var numbers []float64
	for _, name := range []string{"min", "max"} {
		text, has := tag.Lookup(name)
		if !has {
			continue
		}
		number, err := strconv.ParseFloat(text, 64)
		switch pointedTo(kind).Kind() {
		case reflect.String, reflect.Slice:
			if _, err := strconv.ParseUint(text, 10, 32); err != nil {
				p.add("%s: `%s:%q` is no length", place, name, text)
				return
			}
		case reflect.Bool, reflect.Map, reflect.Struct, reflect.Interface:
			p.add("%s: `%s` is for numbers, strings and slices, and this is %v", place, name, kind)
			return
		default:
			if err != nil || math.IsInf(number, 0) || math.IsNaN(number) {
				p.add("%s: `%s:%q` is no number", place, name, text)
				return
			}
		}
		numbers = append(numbers, number)
	}
	if len(numbers) == 2 && numbers[0] > numbers[1] {
		p.add("%s: `min:%q` is more than `max:%q`", place, tag.Get("min"), tag.Get("max"))
	}
}
