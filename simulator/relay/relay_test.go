package relay_test

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/digital-sentinel/sentinel/simulator/relay"
)

// log notes what happened, with times.
type log struct {
	mu    sync.Mutex
	start time.Time
	lines []string
}

func (l *log) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprint(time.Since(l.start).Round(time.Millisecond))+" "+fmt.Sprintf(format, args...))
}

func (l *log) want(t *testing.T, want ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.lines, want) {
		t.Errorf("got %q, want %q", l.lines, want)
	}
}

func digit(l gpio.Level) int {
	if l {
		return 1
	}
	return 0
}

// The twin's side of the driver's levels: out is put on the line, passage and
// fire are required.
func TestLevels(t *testing.T) {
	f, err := os.Open("../../drivers/relay/testdata/gate.levels")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stories, name := map[string][]string{}, ""
	for scan := bufio.NewScanner(f); scan.Scan(); {
		text := strings.TrimSpace(scan.Text())
		if n, ok := strings.CutPrefix(text, "== "); ok {
			name = n
		} else if text != "" && text[0] != '#' {
			stories[name] = append(stories[name], text)
		}
	}
	if len(stories) < 7 {
		t.Fatalf("%d stories, want at least 7", len(stories))
	}
	for name, lines := range stories {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playStory(t, lines) })
		})
	}
}

func playStory(t *testing.T, lines []string) {
	l := &log{start: time.Now()}
	g := relay.New(relay.Opts{
		OnPassage: func(v gpio.Level) { l.add("passage=%d", digit(v)) },
		OnFire:    func(v gpio.Level) { l.add("fire=%d", digit(v)) },
	})
	var want []string
	for _, line := range lines {
		at, what, _ := strings.Cut(line, " ")
		d, err := time.ParseDuration(at)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(l.start.Add(d)))
		switch key, value, _ := strings.Cut(what, "="); {
		case key == "out":
			g.Drive(value == "1")
		case key == "passage", key == "fire":
			want = append(want, fmt.Sprint(d)+" "+what)
		case what == "do walk":
			go g.Walk()
		case what == "do tear", what == "do mend":
			g.SetFire(what == "do tear")
		}
	}
	time.Sleep(time.Minute)
	l.want(t, want...)
}

func TestMechanics(t *testing.T) {
	const s = time.Second
	tests := []struct {
		name     string
		opts     relay.Opts
		do       func(g *relay.Gate)
		want     []string
		releases int
	}{
		{"opens and shuts with the line", relay.Opts{}, func(g *relay.Gate) {
			g.Drive(gpio.High)
			time.Sleep(s)
			g.Drive(gpio.Low)
		}, []string{"0s open true", "1s open false"}, 1},
		{"a repeated level is no release", relay.Opts{}, func(g *relay.Gate) {
			g.Drive(gpio.High)
			g.Drive(gpio.High)
		}, []string{"0s open true"}, 1},
		{"an active low line", relay.Opts{ActiveLow: true}, func(g *relay.Gate) {
			g.Drive(gpio.High)
			time.Sleep(s)
			g.Drive(gpio.Low)
		}, []string{"1s open true"}, 1},
		{"the magnet needs its time", relay.RealTiming(), func(g *relay.Gate) {
			g.Drive(gpio.High)
			time.Sleep(100 * time.Millisecond)
			g.Drive(gpio.Low)
		}, []string{"50ms open true", "100ms open false"}, 1},
		{"a pulse too short is not seen", relay.RealTiming(), func(g *relay.Gate) {
			for range 5 {
				g.Drive(gpio.High)
				time.Sleep(40 * time.Millisecond)
				g.Drive(gpio.Low)
				time.Sleep(5 * time.Millisecond)
			}
		}, nil, 0},
		{"fire opens and the line cannot shut", relay.Opts{}, func(g *relay.Gate) {
			g.SetFire(true)
			g.SetFire(true)
			time.Sleep(s)
			g.Drive(gpio.High)
			time.Sleep(s)
			g.Drive(gpio.Low)
			time.Sleep(s)
			g.SetFire(false)
		}, []string{"0s open true", "3s open false"}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &log{start: time.Now()}
				tt.opts.OnChange = func(open bool) { l.add("open %v", open) }
				g := relay.New(tt.opts)
				tt.do(g)
				time.Sleep(time.Minute)
				l.want(t, tt.want...)
				if got := len(g.Releases()); got != tt.releases {
					t.Errorf("%d releases, want %d", got, tt.releases)
				}
			})
		})
	}
}

func TestWalkersGoOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{start: time.Now()}
		g := relay.New(relay.Opts{OnPassage: func(v gpio.Level) { l.add("passage=%d", digit(v)) }})
		if g.Walk() {
			t.Error("a body went through a shut gate")
		}
		g.Drive(gpio.High)
		for range 2 {
			go g.Walk()
		}
		time.Sleep(time.Second)
		l.want(t, "0s passage=0", "100ms passage=1", "150ms passage=0", "250ms passage=1")
	})
}

func TestIdleLevels(t *testing.T) {
	for _, v := range []gpio.Level{gpio.Low, gpio.High} {
		g := relay.New(relay.Opts{PassageActive: v, FireClosed: v})
		if g.PassageLevel() == v || g.FireLevel() != v {
			t.Errorf("active %v: passage %v, fire %v", v, g.PassageLevel(), g.FireLevel())
		}
		g.SetFire(true)
		if g.FireLevel() == v {
			t.Errorf("a torn loop still reads %v", v)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	g := relay.New(relay.Opts{})
	for range 5000 {
		g.Drive(gpio.High)
		g.Drive(gpio.Low)
	}
	if got := len(g.Releases()); got != 4096 {
		t.Errorf("%d releases kept, want 4096", got)
	}
}
