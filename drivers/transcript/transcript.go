// Package transcript reads recorded conversations between a driver and its
// device, and plays either side of them in a test.
//
// A transcript is the treaty between a driver and its simulated twin: they
// never import each other, both must match the same file. The driver's test
// plays the device's side (Device), the simulator's test plays the host's side
// (Host).
//
// # Grammar
//
//	# comment, with the datasheet page or the standard's section
//	== name of a conversation             several may stand in one file
//	> AA AA AA 96 69 00 03 20 01 22       the host sends these bytes
//	< AA AA AA 96 69 00 04 00 00 80 84    the device sends these bytes
//	< "text" 0D                           quoted text and hex may be mixed
//	< 57 4C 2000*13                       hex may be repeated: 20 00 thirteen times
//	~ 100ms                               the device is silent for so long
//	! lay card                            outside event, for the reader only
//	                                      (the test makes it happen: see Host)
//	i2c 5A > 07 < D2 3A 30                one I²C transaction: address, write, read
//
// Blank lines are ignored. Everything else is an error with its line number:
// so are a name given twice and a step that says nothing, for a player would
// pass over them without a word.
package transcript

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// Conversation is one named section of a transcript.
type Conversation struct {
	Name  string
	Steps []Step
}

// Step is one line. Kind is '>', '<', '~', '!' or 'i'.
type Step struct {
	Line  int
	Kind  byte
	Bytes []byte        // '>', '<'; for 'i' what is written
	Read  []byte        // 'i': what is read back
	Addr  uint16        // 'i'
	Pause time.Duration // '~'
	Event string        // '!'
}

// Load reads the file at path.
func Load(path string) ([]Conversation, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cs, err := Parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return cs, nil
}

// Parse reads a transcript. Errors begin with the line number.
func Parse(r io.Reader) ([]Conversation, error) {
	var cs []Conversation
	scan := bufio.NewScanner(r)
	n := 1
	for ; scan.Scan(); n++ {
		line := strings.TrimSpace(scan.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if name, ok := strings.CutPrefix(line, "== "); ok {
			name = strings.TrimSpace(name)
			if _, err := Find(cs, name); err == nil {
				return nil, fmt.Errorf("%d: a second conversation %q", n, name)
			}
			cs = append(cs, Conversation{Name: name})
			continue
		}
		step, err := parseStep(line)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", n, err)
		}
		if len(cs) == 0 {
			cs = append(cs, Conversation{})
		}
		step.Line = n
		c := &cs[len(cs)-1]
		c.Steps = append(c.Steps, step)
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("%d: %w", n, err)
	}
	return cs, nil
}

// Find returns the conversation of that name.
func Find(cs []Conversation, name string) (Conversation, error) {
	for _, c := range cs {
		if c.Name == name {
			return c, nil
		}
	}
	return Conversation{}, fmt.Errorf("no conversation %q in the transcript", name)
}

func parseStep(line string) (Step, error) {
	kind, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch kind {
	case ">", "<", "~", "!", "i2c":
		if rest == "" {
			return Step{}, fmt.Errorf("nothing stands behind %s", kind)
		}
	}
	switch kind {
	case ">", "<":
		b, err := parseBytes(rest)
		if err == nil && len(b) == 0 {
			err = fmt.Errorf("no bytes stand behind %s", kind)
		}
		return Step{Kind: kind[0], Bytes: b}, err
	case "~":
		d, err := time.ParseDuration(rest)
		if err != nil || d <= 0 {
			return Step{}, fmt.Errorf("%q is no pause: write 100ms or 2s", rest)
		}
		return Step{Kind: '~', Pause: d}, nil
	case "!":
		return Step{Kind: '!', Event: rest}, nil
	case "i2c":
		return parseI2C(rest)
	}
	return Step{}, fmt.Errorf("%q begins no step: use >, <, ~, !, i2c, == or #", line)
}

func parseI2C(s string) (Step, error) {
	addr, ops, _ := strings.Cut(s, " ")
	a, err := strconv.ParseUint(addr, 16, 7)
	if err != nil {
		return Step{}, fmt.Errorf("i2c address %q is not 00–7F", addr)
	}
	w, r, _ := strings.Cut(strings.TrimSpace(ops), "<")
	w, found := strings.CutPrefix(w, ">")
	if !found && w != "" || ops == "" {
		return Step{}, fmt.Errorf("i2c %s: want > and bytes to write, < and bytes to read, or both", addr)
	}
	write, err := parseBytes(w)
	if err != nil {
		return Step{}, err
	}
	read, err := parseBytes(r)
	return Step{Kind: 'i', Addr: uint16(a), Bytes: write, Read: read}, err
}

// parseBytes reads hex and quoted text, mixed.
func parseBytes(s string) ([]byte, error) {
	var out bytes.Buffer
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		if s[0] == '"' {
			q, err := strconv.QuotedPrefix(s)
			if err != nil {
				return nil, fmt.Errorf("quoted text does not end: %s", s)
			}
			text, err := strconv.Unquote(q)
			if err != nil {
				return nil, err
			}
			out.WriteString(text)
			s = s[len(q):]
			continue
		}
		word, rest, _ := strings.Cut(s, " ")
		b, err := parseHex(word)
		if err != nil {
			return nil, err
		}
		out.Write(b)
		s = rest
	}
	return out.Bytes(), nil
}

// maxRepeat keeps a slip of the pen from filling the memory.
const maxRepeat = 4096

// parseHex reads one word of hex pairs, which may end in *N.
func parseHex(word string) ([]byte, error) {
	digits, count, repeated := strings.Cut(word, "*")
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) == 0 {
		return nil, fmt.Errorf("%q is not hex", word)
	}
	if !repeated {
		return b, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > maxRepeat/len(b) {
		return nil, fmt.Errorf("%q repeats hex for 1 to %d bytes", word, maxRepeat)
	}
	return bytes.Repeat(b, n), nil
}
