package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/digital-sentinel/sentinel/configs/nearest"
)

// decode reads the YAML. It returns false if there is nothing to go on with: a
// list where one value should be. After a key that is only unknown it does go
// on, to find the rest of what is wrong.
func (r *reader) decode(data []byte) (*file, bool) {
	if len(data) > MaxSize {
		r.wrong(1, fmt.Sprintf("a policy has at most %d bytes, this has more", MaxSize))
		return nil, false
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	var f file
	err := d.Decode(&f)
	var mistyped *yaml.TypeError
	switch {
	case errors.Is(err, io.EOF):
		r.wrong(1, "the file is empty")
		return nil, false
	case errors.As(err, &mistyped):
		shape := false
		for _, text := range mistyped.Errors {
			r.wrong(explain(text))
			shape = shape || !strings.Contains(text, unknownKey)
		}
		if shape {
			return nil, false
		}
	case err != nil:
		r.wrong(splitLine(strings.TrimPrefix(err.Error(), "yaml: ")))
		return nil, false
	}
	var more yaml.Node
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		r.wrong(max(more.Line, 1), "a second document follows the policy")
	}
	if len(f.Rules) > MaxRules || len(f.Examples) > MaxExamples {
		r.wrong(1, fmt.Sprintf("a policy has at most %d rules and %d examples", MaxRules, MaxExamples))
		return nil, false
	}
	f.place(data)
	return &f, true
}

// place tells every rule and example where it begins, for what is missing in
// it has no line of its own.
func (f *file) place(data []byte) {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return
	}
	top := doc.Content[0].Content
	for i := 0; i+1 < len(top); i += 2 {
		for j, item := range top[i+1].Content {
			switch {
			case top[i].Value == "rules" && j < len(f.Rules):
				f.Rules[j].line = item.Line
			case top[i].Value == "examples" && j < len(f.Examples):
				f.Examples[j].line = item.Line
			}
		}
	}
}

// splitLine takes "line 3: what is wrong" apart.
func splitLine(s string) (int, string) {
	if number, text, ok := strings.Cut(strings.TrimPrefix(s, "line "), ": "); ok {
		if line, err := strconv.Atoi(number); err == nil {
			return line, text
		}
	}
	return 1, s
}

// unknownKey is how the decoder tells a key that no struct has.
const unknownKey = " not found in type "

// explain says the decoder's complaint in the file's terms.
func explain(s string) (int, string) {
	line, text := splitLine(s)
	if key, where, ok := strings.Cut(strings.TrimPrefix(text, "field "), unknownKey); ok {
		text = fmt.Sprintf("there is no key %q here", key)
		if near := nearestWord(key, keys(where)); near != "" {
			text += fmt.Sprintf("; is it %q?", near)
		}
	}
	if before, _, ok := strings.Cut(text, " into []policy."); ok {
		text = strings.TrimPrefix(before, "cannot unmarshal ") + " stands where a list is wanted: [a, b]"
	} else if before, _, ok := strings.Cut(text, " into policy."); ok {
		text = strings.TrimPrefix(before, "cannot unmarshal ") + " stands where keys are wanted"
	}
	return line, text
}

// keys lists the keys of one of the file's types, by its Go name.
func keys(name string) []string {
	var all []string
	for _, t := range []reflect.Type{
		reflect.TypeFor[file](), reflect.TypeFor[titles](), reflect.TypeFor[ruleText](),
		reflect.TypeFor[whenText](), reflect.TypeFor[exampleText](), reflect.TypeFor[questionText](),
	} {
		for i := 0; i < t.NumField() && t.String() == name; i++ {
			if tag := t.Field(i).Tag.Get("yaml"); tag != "-" {
				all = append(all, tag)
			}
		}
	}
	return all
}

// nearestWord returns the word of all that is nearest to s: one letter away, or
// two if s is long enough to tell.
func nearestWord(s string, all []string) string {
	best, near := 2, ""
	switch {
	case len(s) > 40:
		return ""
	case len(s) > 5:
		best = 3
	}
	for _, w := range all {
		if d := nearest.Distance(s, w); d < best {
			best, near = d, w
		}
	}
	return near
}
