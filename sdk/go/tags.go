package windlass

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// tags are those of a field that mean something here.
var tags = []string{"json", "doc", "enum", "default", "min", "max"}

const (
	whenRequired = "a field is required unless it has a `default`, is a pointer or says `omitempty` in `json`"
	whatElse     = "what else has to hold says Start: windlass.Fail(windlass.Invalid, …)"
)

// otherTags are what the same is called elsewhere, and what to write for it. Tags that are nobody's word for it are other
// libraries' (`yaml`, `db`), and are left alone.
var otherTags = map[string]string{
	"required": whenRequired, "optional": whenRequired, "omitempty": whenRequired,
	"description": "write `doc`", "desc": "write `doc`",
	"minimum": "write `min`", "minlength": "write `min`", "minitems": "write `min`",
	"maximum": "write `max`", "maxlength": "write `max`", "maxitems": "write `max`",
	"oneof": "write `enum`", "values": "write `enum`",
	"pattern": whatElse, "format": whatElse, "validate": whatElse, "binding": whatElse, "jsonschema": whatElse,
	"windlass": whatElse,
}

// pairs are a tag's names with their values, in turn; false if it is not written as reflect reads it.
func pairs(tag reflect.StructTag) (list [][2]string, ok bool) {
	rest := strings.TrimLeft(string(tag), " ")
	for rest != "" {
		name, quoted, found := strings.Cut(rest, ":")
		if !found || name == "" || strings.ContainsAny(name, " \"\t,") {
			return list, false
		}
		prefix, err := strconv.QuotedPrefix(quoted)
		if err != nil || prefix[0] != '"' {
			return list, false
		}
		value, _ := strconv.Unquote(prefix)
		list = append(list, [2]string{name, value})
		after := quoted[len(prefix):]
		rest = strings.TrimLeft(after, " ")
		if rest != "" && rest == after {
			return list, false
		}
	}
	return list, true
}

// inTag adds what a field's tag says that means nothing, or nothing of its type.
func (p *problems) inTag(kind reflect.Type, tag reflect.StructTag, place string) {
	list, ok := pairs(tag)
	if !ok {
		p.add("%s: the tag %s is not written as `json:\"name\" min:\"1\"`, and so is not read", place, strconv.Quote(string(tag)))
		return
	}
	for _, it := range list {
		if why := noTag(it[0], it[1]); why != "" {
			p.add("%s: %s", place, why)
		}
	}
	if written, has := tag.Lookup("json"); has {
		p.inJSON(written, place)
	}
	if values, has := tag.Lookup("enum"); has {
		p.inEnum(values, kind, place)
	}
	p.inBounds(kind, tag, place)
}

func noTag(name, value string) string {
	if slices.Contains(tags, name) {
		return ""
	}
	why, meant := otherTags[strings.ToLower(name)]
	if !meant {
		if near := nearest(name, tags); near != "" {
			return fmt.Sprintf("there is no tag `%s`; did you mean `%s`?", name, near)
		}
		return ""
	}
	// What stands in it may be a tag of its own: `windlass:"requird"`, `validate:"min=1"`.
	word, _, _ := strings.Cut(value, ",")
	word, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(word)), "=")
	if why == whatElse && word != "" {
		others := slices.Collect(func(yield func(string) bool) {
			for other, does := range otherTags {
				if does != whatElse && !yield(other) {
					return
				}
			}
		})
		slices.Sort(others)
		if near := nearest(word, tags); near != "" {
			why = fmt.Sprintf("write `%s`, a tag of its own", near)
		} else if near := nearest(word, others); near != "" {
			why = otherTags[near]
		}
	}
	return fmt.Sprintf("there is no tag `%s`, but %s: %s", name, listed(tags), why)
}

func (p *problems) inJSON(written, place string) {
	name, rest, _ := strings.Cut(written, ",")
	if name == "omitempty" || name == "omitzero" {
		p.add("%s: `json:%q` is its name: write `json:\",%s\"`", place, written, name)
	}
	if rest == "" {
		return
	}
	for _, option := range strings.Split(rest, ",") {
		switch option {
		case "omitempty", "omitzero":
		case "string":
			p.add("%s: the option `string` of `json` writes a number as a string, which is not read: make the field a string", place)
		default:
			hint := "; there is `omitempty` and `omitzero`"
			if near := nearest(strings.TrimSpace(option), []string{"omitempty", "omitzero"}); near != "" {
				hint = fmt.Sprintf("; did you mean `%s`?", near)
			}
			p.add("%s: there is no option `%s` of `json`%s", place, option, hint)
		}
	}
}

func (p *problems) inEnum(values string, kind reflect.Type, place string) {
	if pointedTo(kind).Kind() != reflect.String {
		p.add("%s: `enum` is for strings, and this is %v", place, kind)
		return
	}
	list := strings.Split(values, ",")
	for at, value := range list {
		if strings.TrimSpace(value) != value {
			p.add("%s: the value `%s` of `enum` has a space at an end: `enum:\"low,high\"`", place, value)
		} else if slices.Contains(list[:at], value) {
			p.add("%s: `enum` has `%s` twice", place, value)
		}
	}
	if values == "" {
		p.add("%s: `enum` has no values: `enum:\"low,high\"`", place)
	}
}

func listed(names []string) string {
	last := len(names) - 1
	return "`" + strings.Join(names[:last], "`, `") + "` and `" + names[last] + "`"
}

// nearest is what was meant with a word; empty if nothing is near enough.
func nearest(word string, known []string) string {
	best, found := 3, ""
	if len(word) < 5 {
		best = 2
	}
	for _, it := range known {
		// Another library's, and a letter away from ours.
		if distance := apart(strings.ToLower(word), strings.ToLower(it)); distance < best && word != "bson" {
			best, found = distance, it
		}
	}
	return found
}

// apart is how many letters have to be added, dropped, replaced or changed round to make one word the other.
func apart(one, other string) int {
	rows := make([][]int, len(one)+1)
	for at := range rows {
		rows[at] = make([]int, len(other)+1)
		rows[at][0] = at
	}
	for at := range other {
		rows[0][at+1] = at + 1
	}
	for i := 1; i <= len(one); i++ {
		for j := 1; j <= len(other); j++ {
			replaced := rows[i-1][j-1]
			if one[i-1] != other[j-1] {
				replaced++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replaced)
			if i > 1 && j > 1 && one[i-1] == other[j-2] && one[i-2] == other[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(one)][len(other)]
}
