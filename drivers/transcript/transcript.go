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
//	~ 100ms                               the device is silent for so long
//	! lay card                            outside event, for the reader only
//	                                      (the test makes it happen: see Host)
//	i2c 5A > 07 < D2 3A 30                one I²C transaction: address, write, read
//
// Blank lines are ignored. Everything else is an error with its line number.
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
	for n := 1; scan.Scan(); n++ {
		line := strings.TrimSpace(scan.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if name, ok := strings.CutPrefix(line, "== "); ok {
			cs = append(cs, Conversation{Name: strings.TrimSpace(name)})
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
	return cs, scan.Err()
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
	switch kind {
	case ">", "<":
		b, err := parseBytes(rest)
		return Step{Kind: kind[0], Bytes: b}, err
	case "~":
		d, err := time.ParseDuration(strings.TrimSpace(rest))
		return Step{Kind: '~', Pause: d}, err
	case "!":
		return Step{Kind: '!', Event: strings.TrimSpace(rest)}, nil
	case "i2c":
		return parseI2C(rest)
	}
	return Step{}, fmt.Errorf("%q begins no step: use >, <, ~, !, i2c, == or #", line)
}

func parseI2C(s string) (Step, error) {
	addr, ops, _ := strings.Cut(strings.TrimSpace(s), " ")
	a, err := strconv.ParseUint(addr, 16, 7)
	if err != nil {
		return Step{}, fmt.Errorf("i2c address %q is not 00–7F", addr)
	}
	w, r, _ := strings.Cut(ops, "<")
	write, err := parseBytes(strings.TrimPrefix(strings.TrimSpace(w), ">"))
	if err != nil {
		return Step{}, err
	}
	read, err := parseBytes(r)
	return Step{Kind: 'i', Addr: uint16(a), Bytes: write, Read: read}, err
}

// parseBytes reads hex pairs and quoted text, mixed.
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
		b, err := hex.DecodeString(word)
		if err != nil {
			return nil, fmt.Errorf("%q is not hex", word)
		}
		out.Write(b)
		s = rest
	}
	return out.Bytes(), nil
}
