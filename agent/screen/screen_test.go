package screen_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/agent/catalogue"
	"github.com/digital-sentinel/sentinel/agent/screen"
)

// sent is what the page is sent.
type sent struct {
	State    string
	Reason   string
	Headline [2]string
	Text     [2]string
	Note     [2]string
	Phone    string
	Offline  bool
	Scanner  bool
	Card     bool
	LeftMs   int64 `json:"left_ms"`
}

// stream reads the event stream for as long as given, in virtual time.
func stream(t *testing.T, s *screen.Server, d time.Duration) (views []sent, beats int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:8088/events", nil)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	event := ""
	for lines := bufio.NewScanner(w.Body); lines.Scan(); {
		if e, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = e
			if e == "heartbeat" {
				beats++
			}
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && event == "view" {
			var v sent
			if err := json.Unmarshal([]byte(data), &v); err != nil {
				t.Fatal(err)
			}
			views = append(views, v)
		}
	}
	return views, beats
}

func TestTheFirstEventIsThePresentView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := screen.New(screen.Opts{})
		s.Show(screen.View{State: screen.Granted, Reason: "ok", For: 4 * time.Second})
		time.Sleep(time.Second)
		views, _ := stream(t, s, time.Second)
		if len(views) != 1 || views[0].State != "granted" || views[0].LeftMs != 3000 {
			t.Errorf("views = %+v, want granted with 3000 ms left", views)
		}
	})
}

func TestAnOldGreenIsNeverSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := screen.New(screen.Opts{})
		s.Show(screen.View{State: screen.Granted, Reason: "ok", For: 4 * time.Second})
		time.Sleep(4 * time.Second) // and the lane has hung
		views, _ := stream(t, s, time.Second)
		if len(views) != 1 || views[0].State != "idle" {
			t.Errorf("views = %+v, want idle: the verdict's time is over", views)
		}
	})
}

func TestAnIdleStreamSpeaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if _, beats := stream(t, screen.New(screen.Opts{}), 21*time.Second); beats != 4 {
			t.Errorf("%d heartbeats in 21 s, want 4", beats)
		}
	})
}

func TestAReasonGivesTheText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := screen.New(screen.Opts{})
		s.Show(screen.View{State: screen.Manual, Reason: "no-status", Phone: "021-000"})
		s.Note("wait")
		views, _ := stream(t, s, time.Millisecond)
		reason, _ := catalogue.Get("no-status")
		word, _ := catalogue.Get("wait")
		if v := views[0]; v.Text[0] != reason.Text.Zh() || v.Note[1] != word.Text.En() || v.Phone != "021-000" {
			t.Errorf("view = %+v, want the reason's text, the note and the phone", v)
		}
		s.Show(screen.View{State: screen.Idle})
		views, _ = stream(t, s, time.Millisecond)
		if views[0].Note[0] != "" {
			t.Errorf("the note outlives its view: %+v", views[0])
		}
	})
}
