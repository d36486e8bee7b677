package windlass_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"windlass.dev/go"
	"windlass.dev/go/windlasstest"
)

type none = struct{}

// declaring is an action that takes, gives and carries these, and what is wrong with it.
func declaring[Input, Output, State any](change func(*windlass.Action[Input, Output, State])) []string {
	act := windlass.Action[Input, Output, State]{
		Name: "act", Description: "Acts.", Effect: windlass.Write,
		Start: func(*windlass.Context, Input) (output Output, err error) { return output, nil },
	}
	if change != nil {
		change(&act)
	}
	plugin := &windlass.Plugin{Name: "test", Version: "1.0.0", Actions: []windlass.AnyAction{act}}
	return plugin.Problems()
}

// takes is what is wrong with an input of this type.
func takes[Input any]() []string { return declaring[Input, none, none](nil) }

// told checks the sentences, without where their actions are.
func told(t *testing.T, problems []string, expected ...string) {
	t.Helper()
	var said []string
	for _, it := range problems {
		before, after, found := strings.Cut(it, " (Start in declared_test.go:")
		if found {
			_, after, _ = strings.Cut(after, ")")
			it = before + after
		}
		said = append(said, strings.TrimPrefix(it, "action `act`: "))
	}
	same(t, strings.Join(said, "\n"), strings.Join(expected, "\n"))
}

func TestWhatAnActionLacksIsAProblem(t *testing.T) {
	type action = windlass.Action[none, none, none]
	for said, change := range map[string]func(*action){
		"it has no Description: say in a sentence what it does, for those who write workflows": func(it *action) { it.Description = " " },
		"it has no Start": func(it *action) { it.Start = nil },
		"it has no Effect: windlass.Read, IdempotentWrite or Write":     func(it *action) { it.Effect = "" },
		"`wirte` is no Effect: windlass.Read, IdempotentWrite or Write": func(it *action) { it.Effect = "wirte" },
		"it has a ResumeCancel and no Cancel, so nothing calls it": func(it *action) {
			it.ResumeCancel = func(*windlass.Context, none, none, windlass.Event) (any, error) { return nil, nil }
		},
		"it has a ResumeRollback and no Rollback, so nothing calls it": func(it *action) {
			it.ResumeRollback = func(*windlass.Context, none, *none, none, windlass.Event) (any, error) { return nil, nil }
		},
		"the limit CPU is 500ns: write for example 10 * time.Second":  func(it *action) { it.Limits.CPU = 500 },
		"the limit Wall is -1s: write for example 10 * time.Second":   func(it *action) { it.Limits.Wall = -time.Second },
		"the role `Jobs` is no name: write [a-z][a-z0-9_-]{0,62}":     func(it *action) { it.Connections = map[string]windlass.Role{"Jobs": {}} },
		"action `Act`: `Act` is no name: write [a-z][a-z0-9_-]{0,62}": func(it *action) { it.Name = "Act" },
	} {
		told(t, declaring(change), said)
	}
}

func TestARequestThatIsNoneSaysWhatOneIs(t *testing.T) {
	like := " is no request: write for example GET,POST /jobs/*, a path below the connection's address"
	for request, said := range map[string]string{
		"GET,POST /a/**": "", "PURGE /": "",
		"get /a":          "role `app`: `get /a` is no request: methods are capitals, `GET`",
		"GET/a":           "role `app`: `GET/a`" + like,
		"/a":              "role `app`: `/a`" + like,
		"GET, POST /a":    "role `app`: `GET, POST /a`" + like,
		"GET a":           "role `app`: `GET a`" + like,
		"GET https://a/b": "role `app`: `GET https://a/b`" + like,
		" /a":             "role `app`: ` /a`" + like,
		"":                "role `app`: ``" + like,
	} {
		problems := declaring(func(it *windlass.Action[none, none, none]) {
			it.Connections = map[string]windlass.Role{"app": {Requests: []string{request}}}
		})
		same(t, strings.Join(problems, "\n") == "", said == "")
		if said != "" {
			told(t, problems, said)
		}
	}
}

func TestNamesAreThoseThatAHostTakes(t *testing.T) {
	of := func(name string) string {
		return strings.Join((&windlass.Plugin{Name: name, Version: "1.0.0"}).Problems(), "; ")
	}
	for _, name := range []string{"a", "create-change", "eu_1", strings.Repeat("x", 63)} {
		same(t, of(name), "")
	}
	for _, name := range []string{"", "1a", "_a", "Build", "a b", "ä", "a\n", strings.Repeat("x", 64)} {
		same(t, of(name), "the plugin: `"+name+"` is no name: write [a-z][a-z0-9_-]{0,62}")
	}
	for version, good := range map[string]bool{
		"0.1.0": true, "1.2.3-rc.1+x": true, "": false, "0.1": false, "v0.1.0": false, "01.0.0": false,
	} {
		problems := (&windlass.Plugin{Name: "a", Version: version}).Problems()
		same(t, len(problems) == 0, good)
		if !good {
			told(t, problems, "the plugin: `"+version+"` is no Version: write for example 0.1.0")
		}
	}
}

func TestAProblemSaysWhichActionAndWhereItIs(t *testing.T) {
	act := windlass.Action[none, none, none]{Name: "act", Description: "Acts.", Effect: windlass.Read, Start: startsHere}
	plugin := &windlass.Plugin{Name: "test", Version: "1.0.0", Actions: []windlass.AnyAction{act, &act, nil, (*windlass.Action[none, none, none])(nil)}}
	source, err := os.ReadFile("declared_test.go")
	same(t, err, nil)
	before, _, _ := strings.Cut(string(source), "\nfunc startsHere(")
	place := fmt.Sprintf(" (Start in declared_test.go:%d)", strings.Count(before, "\n")+2)
	same(t, plugin.Sound().Error(), "the plugin's declarations are wrong:\n"+
		"  action `act`"+place+": another action"+place+" has this name, too\n"+
		"  action 3 of the plugin's Actions is nil\n"+
		"  action 4 of the plugin's Actions is nil")
	same(t, (*windlass.Plugin)(nil).Sound().Error(), "there is no plugin: it is nil")
	plugin.Actions = plugin.Actions[:1]
	same(t, plugin.Sound(), nil)
}

func startsHere(*windlass.Context, none) (none, error) { return none{}, nil }

func TestThereIsNoManifestAndNoStepOfWhatIsWrong(t *testing.T) {
	bad := &windlass.Plugin{Name: "Bad", Version: "1.0.0"}
	for _, of := range []func(){func() { bad.Manifest() }, func() { windlasstest.NewStep(bad, "act", none{}) }} {
		func() {
			defer func() {
				err, _ := recover().(error)
				same(t, err != nil && err.Error() == bad.Sound().Error(), true)
			}()
			of()
		}()
	}
}

type tree struct {
	Name     string `json:"name"`
	Children []tree `json:"children,omitempty"`
}

type level string

func (l level) MarshalText() ([]byte, error) { return []byte(l), nil }

type own struct{ ID string }

func (own) MarshalJSON() ([]byte, error) { return []byte(`"own"`), nil }

type base struct {
	ID string `json:"id"`
}

func TestATypeThatCannotBeDescribedIsNamedWithItsField(t *testing.T) {
	type inside struct {
		Ends chan int `json:"ends"`
	}
	type outside struct {
		Parts []inside `json:"parts"`
	}
	nothing := "which has no JSON Schema: bool, string, numbers, structs, slices, maps by string, pointers to these, and any are"
	told(t, takes[outside](), "windlass_test.inside.Ends is chan int, "+nothing)
	told(t, declaring[none, outside, outside](nil), "windlass_test.inside.Ends is chan int, "+nothing)
	told(t, declaring[none, none, inside](nil), "windlass_test.inside.Ends is chan int, "+nothing)
	told(t, declaring[none, func(), none](nil), "its Output is func(), "+nothing)
	told(t, takes[string](), "its Input is string, and a step's `with` is always an object: write a struct")
	told(t, takes[map[int]string](), "its Input is map[int]string, and the names of a JSON object are strings: write map[string]…")
	told(t, takes[struct {
		A [3]int
		B error
		C []byte
		D time.Time
		E *netip.Addr
		F json.RawMessage
		G json.Number
		H own
		I complex64
	}](),
		"its Input.A is [3]int, which has no JSON Schema: write []int with `min:\"3\" max:\"3\"`",
		"its Input.B is error, which says nothing of what is in it: write `any`, or a struct",
		"its Input.C is []uint8, which is written in Base64 and read as a list of numbers: write a string",
		"its Input.D is time.Time, which is written as a string: write a string, with time.RFC3339",
		"its Input.E is netip.Addr, which is written as a text: write a string",
		fmt.Sprintf("its Input.F is %v, which may hold anything: write `any`", reflect.TypeFor[json.RawMessage]()),
		"its Input.G is json.Number, which is written as a number and read as a string: write float64 or int64",
		"its Input.H is windlass_test.own, whose MarshalJSON or UnmarshalJSON is nothing that a schema could tell: write what it is as JSON, a string or a struct",
		"its Input.I is complex64, "+nothing)
	recursive := "windlass_test.tree.Children is a windlass_test.tree inside of a windlass_test.tree, for which there is no JSON Schema: write `any`, or the levels as types of their own"
	told(t, takes[tree](), recursive)
	told(t, declaring[none, *tree, tree](nil), recursive)
	told(t, declaring[none, none, tree](nil))
	told(t, takes[struct {
		base
		Named base
		*outside
		Twice string `json:"Named"`
		small string `doc:"Small."`
		Not   error  `json:"-"`
		_     string `doc:"Nothing."`
		cache error
	}](),
		"its Input.base is embedded: give it a name, `json:\"base\"`, or write out its fields",
		"its Input.outside is embedded: give it a name, `json:\"outside\"`, or write out its fields",
		"its Input.Twice and Named are both `Named` in JSON",
		"its Input.small has a tag and begins with a small letter, so it is no field: Small")
	told(t, declaring[input, map[string][]*level, any](nil))
	told(t, declaring[any, *part, *time.Duration](nil))
}

func TestBoundsAndDefaultsAreWhatTheFieldTakes(t *testing.T) {
	type good struct {
		Rate  float64  `min:"-.5" max:"1e3" default:"0.25"`
		Count *int     `min:"0" default:"3"`
		Names []string `max:"2" default:"[\"a\"]"`
		Mode  *string  `enum:"fast,slow" default:"slow"`
		Any   any      `default:"[1]"`
		Part  part     `default:"{}"`
	}
	told(t, takes[good]())
	told(t, takes[struct {
		A int               `min:"x"`
		B string            `max:"-1"`
		C []int             `min:"1.5"`
		D map[string]string `max:"3"`
		E int               `min:"3" max:"1"`
		F float64           `max:"Inf"`
		G int               `default:"many"`
		H int               `default:"7" max:"3"`
		I string            `default:"medium" enum:"fast,slow"`
		J bool              `default:"1"`
		K part              `default:"{\"count\":9}"`
	}](),
		"its Input.A: `min:\"x\"` is no number",
		"its Input.B: `max:\"-1\"` is no length",
		"its Input.C: `min:\"1.5\"` is no length",
		"its Input.D: `max` is for numbers, strings and slices, and this is map[string]string",
		"its Input.E: `min:\"3\"` is more than `max:\"1\"`",
		"its Input.F: `max:\"Inf\"` is no number",
		"its Input.G: `default:\"many\"` is no JSON, as the default of int has to be",
		"its Input.H: the default is not what the field takes: is more than 3",
		"its Input.I: the default is not what the field takes: \"medium\" is none of fast,slow",
		"its Input.J: the default is not what the field takes: 1 is no boolean",
		"its Input.K: the default is not what the field takes: count: is more than 3")
}

func TestATagThatMeansNothingIsToldWithWhatWasMeant(t *testing.T) {
	all := "`json`, `doc`, `enum`, `default`, `min` and `max`"
	required := "a field is required unless it has a `default`, is a pointer or says `omitempty` in `json`"
	start := "what else has to hold says Start: windlass.Fail(windlass.Invalid, …)"
	for tag, said := range map[string]string{
		`json:"a,omitempty" doc:"x" enum:"a,b" min:"1"`: "", `json:"a,omitzero"`: "", `json:",omitempty"`: "", "": "",
		// Other libraries' are theirs.
		`yaml:"a" bson:"a" db:"a" env:"A" xml:"a,attr"`: "",
		`enmu:"a,b"`:                "there is no tag `enmu`; did you mean `enum`?",
		`Doc:"x"`:                   "there is no tag `Doc`; did you mean `doc`?",
		`defualt:"a"`:               "there is no tag `defualt`; did you mean `default`?",
		`jsn:"a"`:                   "there is no tag `jsn`; did you mean `json`?",
		`windlass:"requird"`:        "there is no tag `windlass`, but " + all + ": " + required,
		`windlass:"mni=1"`:          "there is no tag `windlass`, but " + all + ": write `min`, a tag of its own",
		`windlass:"whatever"`:       "there is no tag `windlass`, but " + all + ": " + start,
		`validate:"required,email"`: "there is no tag `validate`, but " + all + ": " + required,
		`required:"true"`:           "there is no tag `required`, but " + all + ": " + required,
		`description:"x"`:           "there is no tag `description`, but " + all + ": write `doc`",
		`minLength:"1"`:             "there is no tag `minLength`, but " + all + ": write `min`",
		`pattern:"^a"`:              "there is no tag `pattern`, but " + all + ": " + start,
		`json:"a,omitempy"`:         "there is no option `omitempy` of `json`; did you mean `omitempty`?",
		`json:"a, omitempty"`:       "there is no option ` omitempty` of `json`; did you mean `omitempty`?",
		`json:"a,required"`:         "there is no option `required` of `json`; there is `omitempty` and `omitzero`",
		`json:"a,string"`:           "the option `string` of `json` writes a number as a string, which is not read: make the field a string",
		`json:"omitempty"`:          "`json:\"omitempty\"` is its name: write `json:\",omitempty\"`",
		`enum:"low, high"`:          "the value ` high` of `enum` has a space at an end: `enum:\"low,high\"`",
		`enum:"low,low"`:            "`enum` has `low` twice",
		`enum:""`:                   "`enum` has no values: `enum:\"low,high\"`",
		`json:a`:                    "the tag \"json:a\" is not written as `json:\"name\" min:\"1\"`, and so is not read",
		`json:"a"doc:"x"`:           "the tag \"json:\\\"a\\\"doc:\\\"x\\\"\" is not written as `json:\"name\" min:\"1\"`, and so is not read",
		`json:"a", doc:"x"`:         "the tag \"json:\\\"a\\\", doc:\\\"x\\\"\" is not written as `json:\"name\" min:\"1\"`, and so is not read",
	} {
		kind := reflect.StructOf([]reflect.StructField{{Name: "A", Type: reflect.TypeFor[string](), Tag: reflect.StructTag(tag)}})
		problems := windlass.ProblemsOf(kind)
		if said == "" {
			told(t, problems)
		} else {
			told(t, problems, "its Input.A: "+said)
		}
	}
	told(t, takes[struct {
		A []string `enum:"a,b"`
	}](), "its Input.A: `enum` is for strings, and this is []string")
}

func TestAFieldThatSaysOmitzeroIsNotRequired(t *testing.T) {
	type maybe struct {
		Count int `json:"count,omitzero"`
	}
	act := windlass.Action[maybe, maybe, none]{
		Name: "act", Description: "Acts.", Effect: windlass.Read, Start: func(_ *windlass.Context, it maybe) (maybe, error) { return it, nil },
	}
	plugin := &windlass.Plugin{Name: "test", Version: "1.0.0", Actions: []windlass.AnyAction{act}}
	same(t, plugin.Check("act", []byte("{}"), []byte("{}")), nil)
}

func TestAStructOfWhichNothingIsKeptIsAProblem(t *testing.T) {
	type small struct {
		id    string
		items []string
	}
	said := "windlass_test.small has no field that is kept, for all of them begin with a small letter: begin them with a capital, with a `json` tag for the name"
	told(t, declaring[none, none, small](nil), said)
	told(t, declaring[none, none, *small](nil), said)
	told(t, declaring[none, map[string][]small, small](nil), said)
	told(t, declaring[struct{ id string }, none, none](nil), strings.Replace(said, "windlass_test.small", "its Input", 1))
	for _, problems := range [][]string{
		declaring[none, none, none](nil),
		declaring[none, none, struct{ _ int }](nil),
		declaring[none, none, struct {
			ID string
			id string
		}](nil),
		declaring[none, none, struct {
			Cache error `json:"-"`
		}](nil),
	} {
		told(t, problems)
	}
}
