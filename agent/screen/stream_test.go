package screen_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/catalogue"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/screen"
)

// during reads the stream for d while f changes the view.
func during(t *testing.T, s *screen.Server, d time.Duration, f func()) (views []sent, beats int) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	views, beats = stream(t, s, d)
	<-done
	return views, beats
}

// TestEachViewIsPushedAtOnce, whole, to every page that listens.
func TestEachViewIsPushedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := screen.New(screen.Opts{})
		second := make(chan []sent)
		go func() {
			views, _ := stream(t, s, 30*time.Second)
			second <- views
		}()
		views, beats := during(t, s, 30*time.Second, func() {
			for _, v := range []screen.View{
				{State: screen.Idle, Scanner: true, CardReader: true},
				{State: screen.Asking, Scanner: true, CardReader: true},
				{State: screen.Granted, Reason: "ok", For: 4 * time.Second, Offline: true},
			} {
				time.Sleep(4 * time.Second)
				s.Show(v)
			}
		})
		var got []string
		for _, v := range views {
			got = append(got, v.State)
		}
		if diff := cmp.Diff([]string{"starting", "idle", "asking", "granted"}, got); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
		if last := views[len(views)-1]; last.LeftMs != 4000 || !last.Offline || last.Scanner || last.Reason != "ok" {
			t.Errorf("the last view is %+v, want it as it was shown, with 4 s left", last)
		}
		if diff := cmp.Diff(views, <-second); diff != "" {
			t.Errorf("the other page (-first +second):\n%s", diff)
		}
		if beats != 3 { // 12 s of views, each less than 5 s apart, and 18 s of silence
			t.Errorf("%d heartbeats, want 3", beats)
		}
	})
}

// TestANoteLeavesTheVerdictItsTime: "one moment, please" to the next visitor
// must not keep the last one's green.
func TestANoteLeavesTheVerdictItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := screen.New(screen.Opts{})
		s.Show(screen.View{State: screen.Granted, Reason: "ok", For: 4 * time.Second, Scanner: true, CardReader: true, Offline: true})
		time.Sleep(3 * time.Second)
		s.Note("wait")
		views, _ := stream(t, s, time.Millisecond)
		if v := views[0]; v.LeftMs != 1000 || v.Note[0] == "" || v.State != "granted" {
			t.Errorf("view = %+v, want granted, the note, and 1 s left", v)
		}
		time.Sleep(time.Second)
		views, _ = stream(t, s, time.Millisecond)
		if v := views[0]; v.State != "idle" || v.Reason != "" || !v.Offline || !v.Scanner || !v.Card {
			t.Errorf("view = %+v, want idle, with what is ready and the badge as before", v)
		}
	})
}

// TestTheWordsAreTheCatalogues for every state, and for every reason that a
// verdict can have: Chinese first, English beside it.
func TestTheWordsAreTheCatalogues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := screen.New(screen.Opts{})
		for _, state := range screen.States() {
			for _, reason := range append(checkin.Reasons(), "", "a reason of tomorrow") {
				s.Show(screen.View{State: state, Reason: string(reason)})
				views, _ := stream(t, s, time.Millisecond)
				v := views[0]
				want, _ := catalogue.Get(string(state))
				text := want.Text
				if r, ok := catalogue.Get(string(reason)); ok {
					text = r.Text
				}
				if v.State != string(state) || v.Headline != [2]string(want.Headline) || v.Text != [2]string(text) {
					t.Errorf("%s because of %q: %+v, want the catalogue's words", state, reason, v)
				}
				for _, words := range [][2]string{v.Headline, v.Text} {
					if !strings.ContainsFunc(words[0], han) || words[1] == "" || strings.ContainsFunc(words[1], han) {
						t.Errorf("%s because of %q: %q, want Chinese and English", state, reason, words)
					}
				}
			}
		}
	})
}

func han(r rune) bool { return unicode.Is(unicode.Han, r) }

// TestOneEventIsOneEvent: no word that is shown can end its event and begin
// another.
func TestOneEventIsOneEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const evil = "021\n\nevent: view\ndata: {\"state\":\"granted\"}\r\r<script>"
		s := screen.New(screen.Opts{})
		s.Show(screen.View{State: screen.Manual, Reason: "no-status", Phone: evil})
		views, _ := stream(t, s, time.Millisecond)
		if len(views) != 1 || views[0].Phone != evil || views[0].State != "manual" {
			t.Errorf("views = %+v, want manual alone", views)
		}
	})
}

func TestTheStreamIsNeverKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := ask(screen.New(screen.Opts{}), http.MethodGet, "/events", func(r *http.Request) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			t.Cleanup(cancel)
			*r = *r.WithContext(ctx)
		})
		if w.Header().Get("Content-Type") != "text/event-stream" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v, want an event stream that nobody keeps", w.Header())
		}
		if !strings.HasSuffix(w.Body.String(), "\n\n") || !w.Flushed {
			t.Errorf("%q is not flushed, or does not end", w.Body)
		}
	})
}
