package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/agent"
	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// atDesk runs f with an agent whose policy knows a guard's word.
func atDesk(t *testing.T, guard checkin.GuardMode, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p := policy()
		p.Guard, p.GuardPhone, p.Overrides = guard, "021-12345678", []string{"emergency"}
		p.Questions = []checkin.Question{{ID: "ill", Good: false}, {ID: "ticket", Good: true}}
		vouched := []checkin.Staff{checkin.StaffIdentity}
		p.Rules = append(p.Rules,
			checkin.Rule{ID: "ill", When: checkin.Condition{Staff: vouched, Answers: []checkin.Check{checkin.Failed}}, Outcome: checkin.Refused, Reason: checkin.NotCovered},
			checkin.Rule{ID: "assisted", When: checkin.Condition{Staff: vouched}, Outcome: checkin.Granted, Reason: checkin.Assisted},
			checkin.Rule{ID: "host", When: checkin.Condition{Host: []checkin.Consent{checkin.HostSilent}}, Outcome: checkin.Manual, Reason: checkin.NeedsHost},
		)
		r.policy = p
		r.start()
		f(r)
		r.stop()
	})
}

// kept is what was recorded so far.
func (r *rig) kept() []checkin.Event {
	synctest.Wait()
	r.queue.mu.Lock()
	defer r.queue.mu.Unlock()
	return slices.Clone(r.queue.kept)
}

// say posts on the control socket and returns the status and the answer.
func (r *rig) say(path, body string) (int, map[string]any) {
	r.t.Helper()
	w := httptest.NewRecorder()
	r.agent.Control().ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	synctest.Wait()
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		r.t.Fatalf("%s %s: %v in %q", path, body, err, w.Body)
	}
	return w.Code, answer
}

func TestAGuardHelpsWhomThePlatformDoesNotKnow(t *testing.T) {
	atDesk(t, checkin.GuardPresent, func(r *rig) {
		r.ask.set(0, checkin.PlatformUnreachable)
		r.show(wang)
		time.Sleep(100 * time.Millisecond)
		r.want("recorded visit manual platform-unreachable with identity", "said platform-unreachable")
		cases := r.agent.Status().Cases
		if len(cases) != 1 || cases[0].Reason != checkin.PlatformUnreachable || strings.Contains(cases[0].Credential, "wang") {
			t.Fatalf("cases = %+v", cases)
		}
		code, answer := r.say("/v1/guard", `{"action":"confirm","operator":"g-7"}`)
		if code != http.StatusOK || answer["outcome"] != "granted" {
			t.Fatalf("confirm: %d %v", code, answer)
		}
		r.want("recorded assisted granted assisted with identity", "released for 3s", "said assisted")
		e := r.kept()[1]
		if e.Operator != "g-7" || e.Visit != cases[0].Visit || e.Verdict.Mode != checkin.ModeAssisted || e.Verdict.Rule != "assisted" {
			t.Errorf("recorded %+v %+v", e, e.Verdict)
		}
		if left := r.agent.Status().Cases; len(left) != 0 {
			t.Errorf("cases left: %v", left)
		}
	})
}

func TestAGuardsWord(t *testing.T) {
	passport := `"document":{"kind":"passport","number":"E12345678","name":"TEST"}`
	for _, tt := range []struct {
		name, code, word string
		want             []string
	}{
		{"red stays red", zhao, `{"action":"confirm"}`,
			[]string{"recorded assisted refused code-red with identity", "said code-red"}},
		{"a passport needs no visit before", "", `{"action":"confirm",` + passport + `}`,
			[]string{"recorded assisted granted assisted with identity", "released for 3s", "said assisted"}},
		{"a wrong answer", "", `{"action":"confirm","answers":{"ill":true},` + passport + `}`,
			[]string{"recorded assisted refused not-covered with identity", "said not-covered"}},
		{"all answers as they should be", "", `{"action":"confirm","answers":{"ill":false,"ticket":true},` + passport + `}`,
			[]string{"recorded assisted granted assisted with identity", "released for 3s", "said assisted"}},
		{"a guard refuses", "", `{"action":"refuse",` + passport + `}`,
			[]string{"recorded assisted refused staff-refused with identity", "said staff-refused"}},
		{"an emergency", "", `{"action":"open","reason":"emergency"}`,
			[]string{"recorded override", "released for 3s", "said exempt"}},
		{"an emergency of somebody red is registered", zhao, `{"action":"open","reason":"emergency"}`,
			[]string{"recorded override with identity", "released for 3s", "said exempt"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atDesk(t, checkin.GuardPresent, func(r *rig) {
				if tt.code != "" {
					r.show(tt.code)
					time.Sleep(100 * time.Millisecond)
				}
				r.forget()
				r.thermo.set(33.5, 22)
				code, answer := r.say("/v1/guard", tt.word)
				if code != http.StatusOK {
					t.Errorf("%d %v", code, answer)
				}
				r.want(tt.want...)
			})
		})
	}
}

func TestWordsThatAreRefused(t *testing.T) {
	for _, tt := range []struct {
		path, word, want string
		code             int
	}{
		{"/v1/guard", `{"action":"confirm"}`, "nobody waits", http.StatusConflict},
		{"/v1/guard", `{"action":"confirm","visit":"x"}`, "does not wait any more", http.StatusConflict},
		{"/v1/guard", `{"action":"open","reason":"friend"}`, "this policy has emergency", http.StatusConflict},
		{"/v1/guard", `{"action":"open"}`, "no reason to open", http.StatusConflict},
		{"/v1/guard", `{"action":"wave"}`, "confirm, open or refuse", http.StatusConflict},
		{"/v1/guard", `{"action":"confirm","answers":{"mood":true}}`, "no question", http.StatusConflict},
		{"/v1/guard", `{"action":"confirm","document":{"kind":"resident-id","number":"110105194912310021"}}`, "does not check out", http.StatusConflict},
		{"/v1/guard", `{"action":"confirm","operator":"` + strings.Repeat("x", 65) + `"}`, "operator", http.StatusConflict},
		{"/v1/guard", `{"action":"confirm","name":"x"}`, "not the JSON", http.StatusBadRequest},
		{"/v1/guard", strings.Repeat("x", 20<<10), "not the JSON", http.StatusBadRequest},
		{"/v1/car", `{"action":"flies"}`, "arrives or leaves", http.StatusConflict},
		{"/v1/car", `{"action":"leaves"}`, "there is no car", http.StatusConflict},
		{"/v1/car", `{"action":"arrives","plate":"<b>"}`, "letters and digits", http.StatusConflict},
	} {
		atDesk(t, checkin.GuardPresent, func(r *rig) {
			code, answer := r.say(tt.path, tt.word)
			if text, _ := answer["error"].(string); code != tt.code || !strings.Contains(text, tt.want) {
				t.Errorf("%.60s: %d %v, want %d with %q", tt.word, code, answer, tt.code, tt.want)
			}
			r.want()
		})
	}
}

func TestACallThatNobodyAnswers(t *testing.T) {
	atDesk(t, checkin.GuardRemote, func(r *rig) {
		r.ask.set(0, checkin.PlatformUnreachable)
		r.show(wang)
		time.Sleep(29 * time.Second)
		r.want("recorded visit manual platform-unreachable with identity", "said platform-unreachable")
		time.Sleep(2 * time.Second)
		r.want("recorded call")
		e := r.kept()[1]
		if e.Answered || e.Waited != 30_000 || e.Visit != r.kept()[0].UUID {
			t.Errorf("recorded %+v", e)
		}
		if _, up := r.agent.Status().Alarms["guard-unanswered"]; !up {
			t.Error("no alarm")
		}
		r.say("/v1/guard", `{"action":"open","reason":"emergency"}`)
		if _, up := r.agent.Status().Alarms["guard-unanswered"]; up {
			t.Error("the alarm stays when a guard has come")
		}
	})
}

func TestACallThatIsAnswered(t *testing.T) {
	atDesk(t, checkin.GuardRemote, func(r *rig) {
		r.ask.set(0, checkin.PlatformUnreachable)
		r.show(wang)
		time.Sleep(9 * time.Second)
		r.show(li) // rings no second bell
		time.Sleep(time.Second)
		r.want("recorded visit manual platform-unreachable with identity", "said platform-unreachable",
			"recorded visit manual platform-unreachable with identity", "said platform-unreachable")
		r.say("/v1/guard", `{"action":"refuse"}`)
		time.Sleep(time.Minute)
		calls := slices.DeleteFunc(r.kept(), func(e checkin.Event) bool { return e.Kind != checkin.KindCall })
		if len(calls) != 1 || !calls[0].Answered || calls[0].Waited != 10_000 {
			t.Errorf("recorded %+v, want one call that was answered after 10 s", calls)
		}
	})
}

// A disk that is full does not stop a guard; what he did is written first when
// there is room again.
func TestAnOverrideIsOwedToAFullQueue(t *testing.T) {
	atDesk(t, checkin.GuardPresent, func(r *rig) {
		r.queue.fail(errors.New("queue is full"), false)
		r.say("/v1/guard", `{"action":"open","reason":"emergency"}`)
		r.want("released for 3s", "said exempt")
		if _, up := r.agent.Status().Alarms["unrecorded"]; !up {
			t.Error("no alarm")
		}
		time.Sleep(5 * time.Second)
		r.forget()
		r.queue.fail(nil, false)
		r.show(zhao)
		time.Sleep(100 * time.Millisecond)
		r.want("recorded override", "recorded passage not-taken", "recorded visit refused code-red with identity", "said code-red")
		if _, up := r.agent.Status().Alarms["unrecorded"]; up {
			t.Error("the alarm stays")
		}
	})
}

func TestAGuardWaitsForWhoeverIsExamined(t *testing.T) {
	atDesk(t, checkin.GuardPresent, func(r *rig) {
		r.ask.set(time.Second, checkin.PlatformUnreachable)
		r.show(wang)
		r.want()
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		if _, err := r.agent.Guard(ctx, agent.Word{Action: "open", Reason: "emergency"}); err == nil {
			t.Error("the guard did not wait")
		}
		if _, err := r.agent.Guard(context.Background(), agent.Word{Action: "open", Reason: "emergency"}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		told := slices.DeleteFunc(r.story.words(), func(l string) bool { return strings.HasPrefix(l, "said ") })
		want := []string{"recorded visit manual platform-unreachable with identity", "recorded override", "released for 3s"}
		if !slices.Equal(told, want) {
			t.Errorf("the story is %q, want %q", told, want)
		}
	})
}

func TestAHostAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		meddle func(r *rig)
		want   []string
	}{
		{"yes", nil, []string{"recorded visit granted ok with identity", "released for 3s", "said ok"}},
		{"yes, but somebody else came", func(r *rig) {
			r.show(zhao)
			time.Sleep(100 * time.Millisecond)
			r.want("recorded visit refused code-red with identity", "said code-red")
		}, nil},
		{"too late", func(r *rig) { time.Sleep(2 * time.Minute); r.want() }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atDesk(t, checkin.GuardPresent, func(r *rig) {
				r.ask.answers[wang] = checkin.Status{Known: true, Mode: checkin.ModeOnline, Host: checkin.HostSilent}
				r.show(wang)
				time.Sleep(5 * time.Second)
				r.want("recorded visit manual needs-host with identity", "said needs-host")
				if s := r.agent.Status().Screen; s != "wait-host" {
					t.Errorf("the screen shows %s", s)
				}
				if tt.meddle != nil {
					tt.meddle(r)
				}
				r.ask.mu.Lock()
				r.ask.answers[wang] = checkin.Status{Known: true, Mode: checkin.ModeOnline, Colour: checkin.Green}
				r.ask.mu.Unlock()
				time.Sleep(3 * time.Second)
				r.want(tt.want...)
				if tt.want != nil && r.kept()[1].Visit != r.kept()[0].UUID {
					t.Error("the second record does not say which visit it goes on with")
				}
			})
		})
	}
}

func TestACarHasOneGroup(t *testing.T) {
	atDesk(t, checkin.GuardPresent, func(r *rig) {
		_, answer := r.say("/v1/car", `{"action":"arrives","plate":"沪A·12345","operator":"g-1"}`)
		group, _ := answer["group"].(string)
		r.want("recorded vehicle with identity")
		r.show(zhao)
		time.Sleep(3 * time.Second)
		r.show(wang)
		time.Sleep(3 * time.Second)
		for _, e := range r.kept() {
			if e.Group != group || group == "" {
				t.Errorf("a %s has group %q, want %q", e.Kind, e.Group, group)
			}
		}
		if code, _ := r.say("/v1/car", `{"action":"leaves"}`); code != http.StatusOK {
			t.Errorf("leaves: %d", code)
		}
		time.Sleep(3 * time.Second)
		n := len(r.kept())
		r.show(zhao)
		time.Sleep(100 * time.Millisecond)
		if g := r.kept()[n].Group; g != "" {
			t.Errorf("a visit after the car has group %q", g)
		}
		r.say("/v1/car", `{"action":"arrives"}`)
		time.Sleep(11 * time.Minute)
		if g := r.agent.Status().Group; g != "" {
			t.Error("a forgotten car stays for ever")
		}
	})
}

func TestAColdThermometerIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.timing.WarmUp = time.Minute
		r.start()
		r.show(wang)
		time.Sleep(5 * time.Second)
		r.want("said closer", "recorded visit manual temperature-unmeasured with identity", "said temperature-unmeasured")
		if d := r.kept()[0].Verdict; d.ObjectMilliK == 0 || d.Temperature != checkin.Unmeasured {
			t.Errorf("recorded %+v: the raw value is kept whatever it is worth", d)
		}
		time.Sleep(time.Minute)
		r.show(li)
		time.Sleep(100 * time.Millisecond)
		r.want("recorded visit granted ok with identity", "released for 3s", "said ok")
		r.stop()
	})
}
