package simulator_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/simulator"
)

// resident is a synthetic number whose last digit checks out (GB 11643).
func resident(first17 string) string {
	sum := 0
	for i, weight := range []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2} {
		sum += int(first17[i]-'0') * weight
	}
	return first17 + string("10X98765432"[sum%11])
}

// stage is a kiosk whose every word is written down.
type stage struct {
	t       *testing.T
	b       *simulator.Bench
	panel   *simulator.Panel
	secrets []secret

	log, beats, screen record
}

// record keeps what is written into it.
type record struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *record) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.buf.Bytes())
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t}
	b, err := simulator.New(simulator.Opts{
		Front: simulator.PTY, Sentinel: sentinel(t), Log: &s.log,
		Heard: func(path string, body []byte) {
			if path == "/v1/heartbeat" {
				_, _ = s.beats.Write(body)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.b, s.panel = b, simulator.NewPanel(b)
	s.follow(b.ScreenURL()+"events", &s.screen)
	return s
}

// follow writes down a stream until the test ends.
func (s *stage) follow(url string, into io.Writer) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(into, resp.Body)
	}()
	s.t.Cleanup(func() { cancel(); <-done })
}

func (s *stage) do(lines ...string) {
	s.t.Helper()
	for _, line := range lines {
		if err := s.panel.Do(s.t.Context(), line); err != nil {
			s.t.Fatalf("%s: %v\n%s", line, err, s.log.bytes())
		}
	}
}

// person makes somebody whose name and number are secrets from now on.
func (s *stage) person(ref, name, number, more string) {
	s.t.Helper()
	s.do(fmt.Sprintf("person %s id=%s name=%s %s", ref, number, name, more))
	s.secrets = append(s.secrets, secret{"name", ref, name}, secret{"number", ref, number})
}

// scan holds up a code, which is a secret from then on.
func (s *stage) scan(ref, code string) {
	s.t.Helper()
	s.secrets = append(s.secrets, secret{"code", ref, code[strings.LastIndex(code, "/")+1:]})
	s.do(fmt.Sprintf("scan %q", code))
}

// ask asks the agent on its control socket.
func (s *stage) ask(path string) []byte {
	s.t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.b.Dir(), "control.sock"))
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: time.Second}
	resp, err := client.Get("http://sentinel" + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body) // a stream ends with the client's patience
	return answer
}

// play lets people come in every way: with codes and cards, with papers to a
// guard, refused, while the platform is there and while it is away.
func (s *stage) play() {
	s.person("ouyang", "欧阳晓峰", resident("31010119870413245"), "colour=green nat=2h")
	s.person("situ", "司徒婉清", resident("32050219760928132"), "colour=green nat=2h")
	s.person("shangguan", "上官若兰", resident("33010619910217486"), "colour=red nat=2h")
	s.person("zhuge", "诸葛子墨", resident("34011119480730651"), "colour=green nat=2h")
	s.person("xiahou", "夏侯明远", resident("35020319830605717"), "colour=green nat=2h")
	s.person("dongfang", "东方启航", resident("36010219691119273"), "colour=green nat=2h")
	s.person("murong", "慕容雪莹", resident("37028519950822368"), "colour=green nat=2h passport=EK9274518")
	s.secrets = append(s.secrets, secret{"number", "murong's passport", "EK9274518"}, secret{"plate", "a car", "沪AQX7315"})
	s.do("cache publish")
	platform := s.b.Platform()

	s.scan("ouyang", platform.Code("ouyang"))
	s.do("expect verdict granted within=10s", "pass", "expect gate shut",
		"card situ", "expect verdict granted within=10s", "pass", "expect gate shut",
		"card shangguan", "expect verdict refused within=10s", "expect report delivered recipient=cdc within=10s")
	s.whoWaitsIsInMemory()
	s.do("guard refuse", "expect verdict refused within=10s")
	s.scan("zhuge", platform.PaperCode("zhuge"))
	s.do("expect verdict manual within=10s", "guard confirm zhuge", "expect verdict granted within=15s", "pass", "expect gate shut",
		"guard confirm murong", "expect verdict granted within=15s", "pass", "expect gate shut",
		"car arrives plate=沪AQX7315", "car leaves")

	s.do("backend down")
	s.scan("xiahou", platform.Code("xiahou"))
	s.do("expect verdict manual within=10s", "guard confirm xiahou", "expect verdict granted within=15s", "pass", "expect gate shut",
		"card dongfang", "expect verdict granted mode=cached within=10s", "pass", "expect gate shut")
	s.outOfSight("while the platform is away")
	s.do("backend up")

	s.person("linghu", "令狐静怡", resident("41030419781123684"), "colour=green nat=2h")
	s.person("huangfu", "皇甫思齐", resident("42050619900917235"), "colour=green nat=2h")
	s.do("card huangfu", "expect verdict granted within=10s", "pass", "expect gate shut")
	s.scan("linghu", "https://somewhere.example/a/long/address/"+strings.Repeat("linghu-Q7fGz2LpX9", 20))
	s.do("expect verdict manual within=10s", "guard refuse", "expect verdict refused within=10s")
	s.scan("linghu", platform.Code("linghu"))
	s.do("expect verdict granted within=10s", "pass", "expect gate shut")
}

// whoWaitsIsInMemory is the control of the search: a visitor who waits for a
// guard is known to the agent by his number, and the search must find it. Where
// memory cannot be read the test ends here, by name.
func (s *stage) whoWaitsIsInMemory() {
	s.t.Helper()
	hits, size, err := newSearch(s.secrets).memory(s.t, s.b.AgentPID())
	if err != nil {
		s.t.Skip(err)
	}
	s.t.Logf("memory while somebody waits for a guard (%d MB): %s", size>>20, tally(hits))
	if len(hits) == 0 {
		s.t.Fatal("the search finds nobody in the memory of an agent who has somebody before it: it cannot see")
	}
}

// outOfSight looks at everything that others can see or steal but memory.
func (s *stage) outOfSight(when string) {
	s.t.Helper()
	look := newSearch(s.secrets)
	hits, size := look.folder(s.t, filepath.Join(s.b.Dir(), "state"))
	for _, place := range []struct {
		name string
		data []byte
	}{
		{"the log", s.log.bytes()}, {"/v1/status", s.ask("/v1/status")}, {"/v1/events", s.ask("/v1/events")},
		{"the screen's stream", s.screen.bytes()}, {"the heartbeats", s.beats.bytes()},
	} {
		if len(place.data) == 0 {
			s.t.Errorf("%s: nothing of %s was seen: this test looks at nothing", when, place.name)
		}
		size += len(place.data)
		hits = append(hits, look.in(place.data, place.name)...)
	}
	for _, h := range hits {
		s.t.Errorf("%s: %v", when, h)
	}
	s.t.Logf("%s: looked for %d secrets in %d kB of files, log, status, events, screen and heartbeats", when, len(s.secrets), size>>10)
}

// delivered waits until nothing waits on the kiosk any more.
func (s *stage) delivered() {
	s.t.Helper()
	for range 600 {
		if bytes.Contains(s.ask("/v1/status"), []byte(`"depth":0`)) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatalf("not delivered: %s", s.ask("/v1/status"))
}

// took is what a scrub says of itself in the log.
var took = regexp.MustCompile(`scrubbed" took=(\S+)`)

// quiet is how long after the last visitor nobody's name or number may be left
// in the memory of the agent.
const quiet = 20 * time.Second

// TestShippedProgramsOverwrite: what this test is told of, the programs that are
// built and the unit that runs them are told, too.
func TestShippedProgramsOverwrite(t *testing.T) {
	for path, want := range map[string]string{
		"../Makefile":                  "-X runtime.godebugDefault=" + overwrites,
		"../configs/sentinel@.service": "Environment=GODEBUG=" + overwrites,
	} {
		if data, err := os.ReadFile(path); err != nil || !bytes.Contains(data, []byte(want+"\n")) {
			t.Errorf("%s does not say %s (%v)", path, want, err)
		}
	}
}

// TestNothingReadableIsLeft lets synthetic people come to the real program, and
// looks for their names, numbers and codes in everything that it leaves behind:
// state folder, log, status, events, screen, heartbeats, and its memory.
func TestNothingReadableIsLeft(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.play()
	s.delivered()
	s.outOfSight("after delivery")
	look := newSearch(s.secrets)
	hits, _, _ := look.memory(t, s.b.AgentPID())
	t.Logf("memory right after the last delivery: %s", tally(hits))
	time.Sleep(quiet)
	hits, size, err := look.memory(t, s.b.AgentPID())
	if err != nil {
		t.Skip(err)
	}
	t.Logf("memory %v later (%d MB): %s", quiet, size>>20, tally(hits))
	var scrubs []string
	for _, m := range took.FindAllSubmatch(s.log.bytes(), -1) {
		scrubs = append(scrubs, string(m[1]))
	}
	t.Logf("%d scrubs, which took %s", len(scrubs), strings.Join(scrubs, " "))
	for _, h := range hits {
		t.Errorf("%v after the last visitor: %v", quiet, h)
	}
	s.outOfSight("at the end")
}
