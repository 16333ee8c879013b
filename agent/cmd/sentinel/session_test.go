package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSessions plays testdata/script/*.txtar: each is a folder of files and
// the commands that an operator types in it.
//
// The files are written as testscript's, whose words are
//
//	exec sentinel ARGS…        ends with exit code 0; "! exec" with another
//	stdout RE, stderr RE       the last command said so; "!" before: did not
//	cmp stdout FILE            the last command said exactly this
//	exists FILE, cp FILE NAME, env K=V
//	stdin FILE                 what the next command reads
//
// and these of our own:
//
//	code N                     the last exit code
//	until exec sentinel ARGS…  again and again, until the exit code is 0
//	start sentinel ARGS…       runs on beside the session; stop ends it
//	copy FILE NAME             a file of the repository, by its path there
//	platform FILE…             a platform that takes heartbeats; its address
//	                           takes the place of @PLATFORM@ in the files
//	platform-says STATUS       what it answers from now on
//	control STATUS [FILE]      somebody answers on s/control.sock
//	board SOCKET               a relay board: takes bytes
//	gpio SOCKET                GPIO lines
//	sensor SOCKET              an MLX90614 that sees 28.01 °C at 28.27 °C
//	sent SOCKET RE             what was sent to it
//	code-picture FILE TEXT     a QR code as PNG
//
// The runner is our own because go.sum lacks a module of testscript's.
func TestSessions(t *testing.T) {
	paths, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no sessions: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s := newSession(t)
			t.Chdir(t.TempDir()) // short relative paths for sockets
			s.play(s.unpack(string(archive)))
		})
	}
}

// session is one file being played.
type session struct {
	t    *testing.T
	root string // of the repository
	env  map[string]string
	far  *farEnds

	stdin          string // of the next command
	stdout, stderr string
	exit           int

	end func() // ends what start has started
}

func newSession(t *testing.T) *session {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	s := &session{t: t, root: root, env: map[string]string{}, far: newFarEnds(t, root)}
	t.Cleanup(s.stop)
	return s
}

// unpack writes the files of an archive and returns the commands before them.
func (s *session) unpack(archive string) string {
	marker := regexp.MustCompile(`(?m)^-- (\S+) --\n`)
	commands, at := archive, marker.FindAllStringSubmatchIndex(archive, -1)
	for i, m := range at {
		if i == 0 {
			commands = archive[:m[0]]
		}
		end := len(archive)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		s.write(archive[m[2]:m[3]], archive[m[1]:end])
	}
	return commands
}

func (s *session) write(path, data string) {
	s.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(data), 0o600)); err != nil {
		s.t.Fatal(err)
	}
}

// play runs the commands, a line each, and stops at the first that fails.
func (s *session) play(commands string) {
	n := 0
	for line := range strings.Lines(commands) {
		n++
		words := split(strings.TrimSpace(line))
		if len(words) == 0 {
			continue
		}
		not := words[0] == "!"
		if not {
			words = words[1:]
		}
		if err := s.run(words, not); err != nil {
			s.t.Fatalf("line %d: %s: %v\nexit code %d\nstdout:\n%s\nstderr:\n%s",
				n, strings.TrimSpace(line), err, s.exit, s.stdout, s.stderr)
		}
	}
}

// split takes a line apart: words, 'quoted words', and a comment after #.
func split(line string) []string {
	var words []string
	for _, m := range regexp.MustCompile(`'([^']*)'|#.*|(\S+)`).FindAllStringSubmatch(line, -1) {
		switch {
		case strings.HasPrefix(m[0], "#"):
			return words
		case m[2] != "":
			words = append(words, m[2])
		default:
			words = append(words, m[1])
		}
	}
	return words
}

// run runs one command; not means that it is to fail.
func (s *session) run(words []string, not bool) error {
	args := append(words[1:len(words):len(words)], "", "") // for those that take fewer
	switch words[0] {
	case "exec":
		s.exec(words[2:])
		return wantThat(not == (s.exit != 0), "the exit code is another one")
	case "code":
		return wantThat(args[0] == strconv.Itoa(s.exit), "the exit code is another one")
	case "stdout":
		return matches(args[0], s.stdout, not)
	case "stderr":
		return matches(args[0], s.stderr, not)
	case "cmp":
		want, err := os.ReadFile(args[1])
		return errors.Join(err, wantThat(string(want) == s.stdout, "it said something else than "+args[1]))
	case "stdin":
		data, err := os.ReadFile(args[0])
		s.stdin = string(data)
		return err
	case "until":
		return s.until(words[3:])
	case "exists":
		_, err := os.Stat(args[0])
		return wantThat(not == (err != nil), "it is otherwise")
	case "env":
		k, v, _ := strings.Cut(args[0], "=")
		s.env[k] = v
		return nil
	case "start":
		return s.start(words[2:])
	case "stop":
		s.stop()
		return nil
	case "cp":
		return s.copy(args[0], args[1])
	case "copy":
		return s.copy(filepath.Join(s.root, args[0]), args[1])
	}
	return s.far.run(words, args, not)
}

func (s *session) copy(from, to string) error {
	data, err := os.ReadFile(from)
	s.write(to, string(data))
	return err
}

// until runs a command until it ends well, for five seconds at most.
func (s *session) until(args []string) error {
	for range 500 {
		if s.exec(args); s.exit == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("it never ended well")
}

// exec runs one command to its end.
func (s *session) exec(args []string) {
	var stdout, stderr bytes.Buffer
	s.exit = Run(s.t.Context(), args, s.surroundings(&stdout, &stderr))
	s.stdout, s.stderr = stdout.String(), stderr.String()
}

func (s *session) surroundings(stdout, stderr *bytes.Buffer) Env {
	stdin := s.stdin
	s.stdin = ""
	return Env{
		Stdin: strings.NewReader(stdin), Stdout: stdout, Stderr: stderr,
		Getenv: func(k string) string { return s.env[k] },
	}
}

// start runs a command beside the session, until the control socket answers.
func (s *session) start(args []string) error {
	ctx, cancel := context.WithCancel(s.t.Context())
	var stdout, stderr bytes.Buffer
	exit := make(chan int, 1)
	go func() { exit <- Run(ctx, args, s.surroundings(&stdout, &stderr)) }()
	s.end = func() {
		cancel()
		s.exit = <-exit
		s.stdout, s.stderr = stdout.String(), stderr.String()
		s.end = nil
	}
	for range 500 {
		if _, err := os.Stat("s/control.sock"); err == nil {
			return nil
		}
		if len(exit) > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.stop()
	return errors.New("it does not answer")
}

// stop ends what start has started; its exit code and output are the last.
func (s *session) stop() {
	if s.end != nil {
		s.end()
	}
}

func matches(pattern, text string, not bool) error {
	re, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		return err
	}
	return wantThat(re.MatchString(text) != not, "it said otherwise")
}

func wantThat(ok bool, otherwise string) error {
	if ok {
		return nil
	}
	return errors.New(otherwise)
}

// TestSplit: the runner's own words.
func TestSplit(t *testing.T) {
	got := split(`! stdout 'a # b' c # d`)
	if want := []string{"!", "stdout", "a # b", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
