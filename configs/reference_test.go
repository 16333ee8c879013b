package configs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/configs"
)

// TestReference keeps three things in step: the comments of the fields, the
// struct, and testdata/reference.yaml, a configuration with every key and its
// manual above it. Keys that the kiosk of turnstile.yaml has no value for stand
// there as comments; all others with the value that holds, defaults too.
func TestReference(t *testing.T) {
	c := load(t, "turnstile.yaml")
	w := &writer{docs: docs(t)}
	w.printf("# Written from configs.go and turnstile.yaml: go test ./configs -update")
	w.fields("Config", reflect.ValueOf(*c), "")
	golden(t, "testdata/reference.yaml", w.String())

	again, problems := configs.Parse([]byte(w.String()), "reference.yaml")
	if len(problems) > 0 {
		t.Fatalf("the reference is no good configuration:\n%v", configs.Invalid(problems))
	}
	if diff := cmp.Diff(c, again); diff != "" {
		t.Errorf("the reference says something else than turnstile.yaml (-turnstile +reference):\n%s", diff)
	}
}

// load parses an example without making its paths absolute.
func load(t *testing.T, path string) *configs.Config {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, problems := configs.Parse(data, path)
	if len(problems) > 0 {
		t.Fatal(configs.Invalid(problems))
	}
	return c
}

// docs are the comments of the fields in configs.go, as "Type.Field"; fields
// that share one have it each.
func docs(t *testing.T) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "configs.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		body, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range body.Fields.List {
			for _, name := range field.Names {
				found[spec.Name.Name+"."+name.Name] = field.Doc.Text()
			}
		}
		return true
	})
	return found
}

// writer writes the reference.
type writer struct {
	strings.Builder
	docs map[string]string
}

func (w *writer) printf(format string, args ...string) {
	list := make([]any, len(args))
	for i, a := range args {
		list[i] = a
	}
	fmt.Fprintf(w, format+"\n", list...)
}

// fields writes the keys of one struct, each below its manual.
func (w *writer) fields(name string, v reflect.Value, indent string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if name == "Config" {
			w.printf("")
		}
		w.manual(w.docs[name+"."+f.Name], indent)
		w.field(f.Tag.Get("yaml"), v.Field(i), indent)
	}
}

func (w *writer) manual(text, indent string) {
	if text == "" {
		return
	}
	for line := range strings.Lines(text) {
		w.printf("%s# %s", indent, strings.TrimSuffix(line, "\n"))
	}
}

func (w *writer) field(key string, v reflect.Value, indent string) {
	switch {
	case v.Kind() == reflect.Struct:
		w.printf("%s%s:", indent, key)
		w.fields(v.Type().Name(), v, indent+"  ")
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		of := v.Type().Elem()
		if v.Len() == 0 {
			key = "# " + key
		}
		w.printf("%s%s:", indent, key)
		for i := range of.NumField() {
			f := of.Field(i)
			w.manual(f.Tag.Get("yaml")+": "+w.docs[of.Name()+"."+f.Name], indent+"  ")
		}
		for i := range v.Len() {
			w.device(v.Index(i))
		}
	case v.IsZero():
		w.printf("%s# %s:", indent, key)
	default:
		w.printf("%s%s: %s", indent, key, value(v))
	}
}

// device writes what is set of one device.
func (w *writer) device(v reflect.Value) {
	lead := "  - "
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			continue
		}
		w.printf("%s%s: %s", lead, v.Type().Field(i).Tag.Get("yaml"), value(v.Field(i)))
		lead = "    "
	}
}

// value writes a scalar or a list of strings as YAML. Go's quotes are YAML's
// for what stands in a configuration.
func value(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case string:
		return strconv.Quote(x)
	case []string:
		quoted := make([]string, len(x))
		for i := range x {
			quoted[i] = strconv.Quote(x[i])
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}

// TestEveryKeyHasAParagraph: a key is documented by a sentence that says what
// it is, not by its name alone.
func TestEveryKeyHasAParagraph(t *testing.T) {
	manual := docs(t)
	shared := map[string]bool{"Platform.Key": true} // stands with Certificate
	for _, p := range places {
		for i := range p.of.NumField() {
			name := p.of.Name() + "." + p.of.Field(i).Name
			text := strings.TrimSpace(manual[name])
			if len(strings.Fields(text)) < 4 || !strings.HasSuffix(text, ".") {
				if !shared[name] {
					t.Errorf("%s is explained as %q", name, text)
				}
			}
		}
	}
}
