package configs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/digital-sentinel/sentinel/configs/nearest"
)

// MaxSize bounds a configuration file, in bytes.
const MaxSize = 1 << 20

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 0: no place in the file
	Excerpt string `json:"excerpt,omitempty"`
	What    string `json:"what"`
}

// String is the problem as a person reads it: place, what, and the line.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.What
	}
	s := fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.What)
	if p.Excerpt != "" {
		s += "\n    " + p.Excerpt
	}
	return s
}

// Invalid is the error of a configuration with problems: all of them.
type Invalid []Problem

// Error lists every problem.
func (e Invalid) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Load reads and checks the file at path. The error of a wrong file is an
// Invalid. Paths in the result are absolute or as the file's folder makes
// them; defaults are filled in.
func Load(path string) (*Config, error) {
	data, err := Read(path)
	if err != nil {
		return nil, err
	}
	c, problems := Parse(data, path)
	if len(problems) > 0 {
		return nil, Invalid(problems)
	}
	c.resolve(filepath.Dir(path))
	return c, nil
}

// Read reads the file at path, at most one byte more than MaxSize.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return data, nil
}

// Parse reads a configuration strictly and returns every problem in it.
func Parse(data []byte, name string) (*Config, []Problem) {
	k := &checker{name: name, lines: strings.Split(string(data), "\n")}
	if len(data) > MaxSize {
		return nil, append(k.problems, Problem{File: name, What: "the file is larger than 1 MB"})
	}
	c := &Config{}
	if !k.decode(data, c) {
		return nil, k.problems
	}
	c.defaults()
	k.validate(c)
	slices.SortFunc(k.problems, func(a, b Problem) int {
		return cmp.Or(a.Line-b.Line, strings.Compare(a.What, b.What))
	})
	return c, k.problems
}

//

// checker collects problems.
type checker struct {
	name     string
	lines    []string
	root     *yaml.Node
	problems []Problem
}

func (k *checker) at(line int, format string, args ...string) {
	p := Problem{File: k.name, Line: line, What: fmt.Sprintf(format, anys(args)...)}
	if line > 0 && line <= len(k.lines) {
		p.Excerpt = strings.TrimRight(k.lines[line-1], " \r")
		if len(p.Excerpt) > 120 {
			p.Excerpt = p.Excerpt[:120] + "…"
		}
		p.Excerpt = strings.ToValidUTF8(p.Excerpt, "?")
	}
	k.problems = append(k.problems, p)
}

// wrong reports a problem with the key at path, at its line or, where it is
// missing, at its parent's.
func (k *checker) wrong(path string, format string, args ...string) {
	k.at(k.lineOf(path), path+": "+format, args...)
}

// decode fills c; false means that there is nothing to validate.
func (k *checker) decode(data []byte, c *Config) bool {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		k.yamlError(err)
		return false
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		k.at(0, "there is no configuration in it; begin with: device: my-kiosk")
		return false
	}
	k.root = doc.Content[0]
	if !k.plain(k.root, 0) {
		return false
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(c); err != nil {
		k.yamlError(err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		k.at(0, "there is a second document in the file; a configuration is one")
	}
	return true
}

// plain refuses anchors and aliases (a small file could unfold to gigabytes),
// nesting that no configuration has, and a key that stands twice.
func (k *checker) plain(n *yaml.Node, depth int) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		k.at(n.Line, "anchors (&) and aliases (*) are not allowed here")
		return false
	}
	if depth > 20 {
		k.at(n.Line, "nested too deeply")
		return false
	}
	seen := map[string]bool{}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if seen[key.Value] {
			k.at(key.Line, "%s stands here a second time", strconv.Quote(key.Value))
			return false
		}
		seen[key.Value] = true
	}
	for _, c := range n.Content {
		if !k.plain(c, depth+1) {
			return false
		}
	}
	return true
}

var (
	yamlLine     = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	unknownField = regexp.MustCompile(`^field (.+) not found in type configs\.(\w+)$`)
)

// yamlError turns the decoder's messages into problems with near keys.
func (k *checker) yamlError(err error) {
	var typed *yaml.TypeError
	messages := []string{err.Error()}
	if errors.As(err, &typed) {
		messages = typed.Errors
	}
	for _, m := range messages {
		line, text := 0, strings.TrimPrefix(m, "yaml: ")
		if g := yamlLine.FindStringSubmatch(m); g != nil {
			line, _ = strconv.Atoi(g[1])
			text = g[2]
		}
		if g := unknownField.FindStringSubmatch(text); g != nil {
			text = fmt.Sprintf("%q is no key here", g[1]) + didYouMean(g[1], keysOf(g[2]))
		}
		k.at(line, "%s", text)
	}
}

// didYouMean suggests a known key; a word of over 64 bytes is far from all.
func didYouMean(word string, known []string) string {
	best, distance := "", len(word)/2+2
	for _, key := range known {
		if len(word) > 64 {
			break
		}
		if d := nearest.Distance(word, key); d < distance {
			best, distance = key, d
		}
	}
	if best == "" {
		return "; there are " + strings.Join(known, ", ")
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// keysOf lists the keys of one of the structs of this package.
func keysOf(name string) []string {
	for _, v := range []reflect.Type{
		reflect.TypeFor[Config](), reflect.TypeFor[Venue](), reflect.TypeFor[Platform](),
		reflect.TypeFor[Records](), reflect.TypeFor[Trust](), reflect.TypeFor[Report](), reflect.TypeFor[Gate](), reflect.TypeFor[Timing](),
		reflect.TypeFor[Screen](), reflect.TypeFor[Codes](), reflect.TypeFor[Device](),
	} {
		if v.Name() != name {
			continue
		}
		var keys []string
		for f := range v.NumField() {
			keys = append(keys, v.Field(f).Tag.Get("yaml"))
		}
		return keys
	}
	return nil
}

// lineOf finds the line of a key path like devices[1].baud; where the key is
// missing, that of the nearest parent that is there.
func (k *checker) lineOf(path string) int {
	n, line := k.root, k.root.Line
	for _, key := range steps(path) {
		next := child(n, key)
		if next == nil {
			return line
		}
		n, line = next, next.Line
	}
	return line
}

// node finds the node at path, or nil.
func (k *checker) node(path string) *yaml.Node {
	n := k.root
	for _, key := range steps(path) {
		if n = child(n, key); n == nil {
			return nil
		}
	}
	return n
}

// steps splits devices[1].baud into devices, 1], baud.
func steps(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' })
}

func child(n *yaml.Node, key string) *yaml.Node {
	if index, ok := strings.CutSuffix(key, "]"); ok {
		i, err := strconv.Atoi(index)
		if err != nil || n.Kind != yaml.SequenceNode || i < 0 || i >= len(n.Content) {
			return nil
		}
		return n.Content[i]
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			v := n.Content[i+1]
			if v.Kind == yaml.ScalarNode || len(v.Content) > 0 {
				return v
			}
			return n.Content[i]
		}
	}
	return nil
}

// UnmarshalYAML reads a duration with its unit.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is no duration; write it with its unit, like 500ms, 3s or 48h", n.Line, n.Value)}}
	}
	*d = Duration(v)
	return nil
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// UnmarshalYAML reads a size such as "256MB" ; MB is 1,048,576 bytes.
func (s *Size) UnmarshalYAML(n *yaml.Node) error {
	for unit, of := range map[string]int64{"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30} {
		digits, ok := strings.CutSuffix(n.Value, unit)
		v, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 32)
		if ok && err == nil && v > 0 {
			*s = Size(v * of)
			return nil
		}
	}
	return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is no size; write it with its unit, like 64MB or 1GB", n.Line, n.Value)}}
}
