package transcript_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
)

// The grammar of the package comment, line by line.
func TestEveryKindOfLine(t *testing.T) {
	tests := []struct {
		what, line string
		want       transcript.Step
	}{
		{"the host sends", "> AA 96 69", transcript.Step{Kind: '>', Bytes: []byte{0xAA, 0x96, 0x69}}},
		{"the device sends", "< 00 00 80 84", transcript.Step{Kind: '<', Bytes: []byte{0, 0, 0x80, 0x84}}},
		{"hex without spaces", "> aa9669", transcript.Step{Kind: '>', Bytes: []byte{0xAA, 0x96, 0x69}}},
		{"quoted text and hex", `< "text" 0D`, transcript.Step{Kind: '<', Bytes: []byte("text\r")}},
		{"quoted text that hex follows at once", `< "a"0D "b"`, transcript.Step{Kind: '<', Bytes: []byte("a\rb")}},
		{"quoted text with an escape and a space", `> "a b\n\""`, transcript.Step{Kind: '>', Bytes: []byte("a b\n\"")}},
		{"quoted Chinese", `< "码"`, transcript.Step{Kind: '<', Bytes: []byte("码")}},
		{"hex that is repeated", "< 57 2000*3 FF", transcript.Step{Kind: '<', Bytes: []byte{0x57, 0x20, 0, 0x20, 0, 0x20, 0, 0xFF}}},
		{"a pause", "~ 100ms", transcript.Step{Kind: '~', Pause: 100 * time.Millisecond}},
		{"an event", "! lay card", transcript.Step{Kind: '!', Event: "lay card"}},
		{"an event with signs of other lines", "! > # ~ ==", transcript.Step{Kind: '!', Event: "> # ~ =="}},
		{"a transaction that writes and reads", "i2c 5A > 07 < D2 3A 30", transcript.Step{Kind: 'i', Addr: 0x5A, Bytes: []byte{7}, Read: []byte{0xD2, 0x3A, 0x30}}},
		{"a transaction that writes", "i2c 5A > 24 00 00", transcript.Step{Kind: 'i', Addr: 0x5A, Bytes: []byte{0x24, 0, 0}}},
		{"a transaction that reads", "i2c 7f < 01", transcript.Step{Kind: 'i', Addr: 0x7F, Read: []byte{1}}},
		{"blanks around a line", " \t> 01 \r", transcript.Step{Kind: '>', Bytes: []byte{1}}},
	}
	for _, tt := range tests {
		cs, err := transcript.Parse(strings.NewReader(tt.line))
		tt.want.Line = 1
		want := []transcript.Conversation{{Steps: []transcript.Step{tt.want}}}
		if diff := cmp.Diff(want, cs, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%s: error %v, steps (-want +got):\n%s", tt.what, err, diff)
		}
	}
}

func TestEverythingElseIsAnErrorWithItsLine(t *testing.T) {
	tests := []struct{ what, text, want string }{
		{"a word", "hello", `1: "hello" begins no step`},
		{"a name without a blank", "==name", "1: "},
		{"a name that is none", "# comment\n== ", "2: "},
		{"a name given twice", "== a\n== b\n\n==  a", `4: a second conversation "a"`},
		{"no blank behind the sign", ">01", "1: "},
		{"hex that is none", "> 0G", `1: "0G" is not hex`},
		{"half a byte", "> 01 2", `1: "2" is not hex`},
		{"bytes that a comment follows", "> 01 # one", `1: "#" is not hex`},
		{"text that does not end", `< "abc`, "1: quoted text does not end"},
		{"nothing sent", ">", "1: nothing stands behind >"},
		{"nothing answered", "> 01\n<  ", "2: nothing stands behind <"},
		{"an empty text answered", `< ""`, "1: no bytes stand behind <"},
		{"a repetition of nothing", "> *3", `1: "*3" is not hex`},
		{"a repetition without a count", "> 00*", `1: "00*" repeats hex`},
		{"a repetition that is none", "> 00*0", `1: "00*0" repeats hex`},
		{"a repetition backwards", "> 00*-1", `1: "00*-1" repeats hex`},
		{"a repetition that fills the memory", "> 0000*2049", `1: "0000*2049" repeats hex`},
		{"a repetition beyond all bounds", "> 0000*9223372036854775807", "repeats hex"},
		{"a pause of no length", "~", "1: nothing stands behind ~"},
		{"a pause without a unit", "~ 100", `1: "100" is no pause`},
		{"a pause of nothing", "~ 0s", `1: "0s" is no pause`},
		{"a pause backwards", "~ -1s", `1: "-1s" is no pause`},
		{"an event without text", "!", "1: nothing stands behind !"},
		{"a transaction with nobody", "i2c", "1: nothing stands behind i2c"},
		{"an address of eight bits", "i2c 80 > 01", `1: i2c address "80" is not 00–7F`},
		{"an address that is none", "i2c > 01", `1: i2c address ">" is not 00–7F`},
		{"a transaction without bytes", "i2c 5A", "1: i2c 5A: want >"},
		{"a transaction without a sign", "i2c 5A 07", "1: i2c 5A: want >"},
		{"a transaction that reads twice", "i2c 5A < 01 < 02", `1: "<" is not hex`},
		{"a transaction that writes no hex", "i2c 5A > xx < 01", `1: "xx" is not hex`},
		{"a line too long for any device", "# short\n> " + strings.Repeat("00", 1<<16), "2: "},
	}
	for _, tt := range tests {
		cs, err := transcript.Parse(strings.NewReader(tt.text))
		if err == nil || cs != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v, want an error with %q", tt.what, cs, err, tt.want)
		}
	}
}

func TestConversationsAreToldApart(t *testing.T) {
	const text = `# a comment

> 01
== first
! begin
== second, with more steps

# one more comment
< 02
~ 1s
`
	path := filepath.Join(t.TempDir(), "x.transcript")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cs, err := transcript.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []transcript.Conversation{
		{Steps: []transcript.Step{{Line: 3, Kind: '>', Bytes: []byte{1}}}},
		{Name: "first", Steps: []transcript.Step{{Line: 5, Kind: '!', Event: "begin"}}},
		{Name: "second, with more steps", Steps: []transcript.Step{
			{Line: 9, Kind: '<', Bytes: []byte{2}},
			{Line: 10, Kind: '~', Pause: time.Second},
		}},
	}
	if diff := cmp.Diff(want, cs); diff != "" {
		t.Errorf("conversations (-want +got):\n%s", diff)
	}
	got, err := transcript.Find(cs, "first")
	if diff := cmp.Diff(want[1], got); err != nil || diff != "" {
		t.Errorf("Find: error %v, (-want +got):\n%s", err, diff)
	}
	if _, err := transcript.Find(cs, "third"); err == nil || !strings.Contains(err.Error(), `"third"`) {
		t.Errorf("Find = %v for a name that is not there, want an error that names it", err)
	}
}

func TestAFileIsNamedInItsErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.transcript")
	if _, err := transcript.Load(path); !os.IsNotExist(err) {
		t.Errorf("Load = %v of no file, want that it does not exist", err)
	}
	if err := os.WriteFile(path, []byte("> 01\nnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := transcript.Load(path)
	if want := path + ":2: "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("Load = %v, want an error that begins with %q", err, want)
	}
}

// write puts a step into its plainest words.
func write(s transcript.Step) string {
	switch s.Kind {
	case '>', '<':
		return fmt.Sprintf("%c % X", s.Kind, s.Bytes)
	case '~':
		return "~ " + s.Pause.String()
	case '!':
		return "! " + s.Event
	case 'i':
		return fmt.Sprintf("i2c %02X > % X < % X", s.Addr, s.Bytes, s.Read)
	}
	return "a step of no kind"
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("../*/testdata/*.transcript")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d transcripts, %v, want those of the drivers", len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("== a\n> 0000*9223372036854775807\n")
	f.Add("i2c 5A > \"\\x3c\" < 2000*13\n~ 1h")
	f.Fuzz(func(t *testing.T, text string) {
		cs, err := transcript.Parse(strings.NewReader(text))
		if err != nil {
			number, _, _ := strings.Cut(err.Error(), ":")
			if n, nerr := strconv.Atoi(number); nerr != nil || n < 1 || n > strings.Count(text, "\n")+1 {
				t.Errorf("%v: want an error that begins with a line of the text", err)
			}
			return
		}
		// Written plainly, line for line, it says the same.
		lines := make([]string, strings.Count(text, "\n")+1)
		at := 0
		for _, c := range cs {
			for _, s := range c.Steps {
				if s.Line <= at {
					t.Fatalf("line %d comes behind line %d", s.Line, at)
				}
				at = s.Line
				lines[at-1] = write(s)
			}
		}
		again, err := transcript.Parse(strings.NewReader(strings.Join(lines, "\n")))
		if err != nil {
			t.Fatalf("written plainly: %v", err)
		}
		if diff := cmp.Diff(steps(cs), steps(again), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("written plainly (-read first +read again):\n%s", diff)
		}
	})
}

func steps(cs []transcript.Conversation) []transcript.Step {
	var all []transcript.Step
	for _, c := range cs {
		all = append(all, c.Steps...)
	}
	return all
}
