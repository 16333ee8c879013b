package agent_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/agent"
	"github.com/digital-sentinel/sentinel/agent/checkin"
)

func TestARecordStandsBeforeTheGateOpens(t *testing.T) {
	inLane(t, func(r *rig) {
		r.show(wang)
		time.Sleep(100 * time.Millisecond)
		r.want("recorded visit granted ok with identity", "released for 3s", "said ok")
		r.gate.bodies <- struct{}{}
		time.Sleep(time.Second)
		r.want("locked", "recorded passage taken")
	})
}

func TestNobodyWalks(t *testing.T) {
	inLane(t, func(r *rig) {
		r.show(wang)
		time.Sleep(5 * time.Second)
		r.want("recorded visit granted ok with identity", "released for 3s", "said ok",
			"locked", "recorded passage not-taken")
	})
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, code string
		prepare    func(r *rig)
		after      time.Duration
		want       []string
	}{
		{"red is refused without a look at the thermometer", zhao, func(r *rig) { r.thermo.set(20, 22) }, 100 * time.Millisecond,
			[]string{"recorded visit refused code-red with identity", "said code-red"}},
		{"a fever is read twice, then refused", wang, func(r *rig) { r.thermo.set(36.6, 22) }, 500 * time.Millisecond,
			[]string{"recorded visit refused fever with identity", "said fever"}},
		{"nobody in view ends after four seconds", wang, func(r *rig) { r.thermo.set(20, 22) }, 4100 * time.Millisecond,
			[]string{"said closer", "recorded visit manual temperature-unmeasured with identity", "said temperature-unmeasured"}},
		{"an unknown text is an event, not a visit", "hello", nil, 100 * time.Millisecond,
			[]string{"recorded wrong refused unknown-credential", "said unknown-credential"}},
		{"a code nobody issued is for the guard", "https://code.sentinel.example/p/nobody-nobody-nobody-n", nil, 100 * time.Millisecond,
			[]string{"recorded visit manual no-status with identity", "said no-status"}},
		{"a platform that does not answer is for the guard", wang, func(r *rig) { r.ask.set(0, checkin.PlatformUnreachable) }, 100 * time.Millisecond,
			[]string{"recorded visit manual platform-unreachable with identity", "said platform-unreachable"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inLane(t, func(r *rig) {
				if tt.prepare != nil {
					tt.prepare(r)
				}
				r.show(tt.code)
				time.Sleep(tt.after)
				r.want(tt.want...)
			})
		})
	}
}

func TestTheSameCodeIsOneVisit(t *testing.T) {
	inLane(t, func(r *rig) {
		for range 5 {
			r.show(zhao)
			time.Sleep(time.Second)
		}
		r.want("recorded visit refused code-red with identity", "said code-red")
		time.Sleep(2 * time.Second)
		r.show(zhao)
		r.want("recorded visit refused code-red with identity", "said code-red")
	})
}

func TestTheNextVisitorWaitsForThePassage(t *testing.T) {
	inLane(t, func(r *rig) {
		r.show(wang)
		time.Sleep(100 * time.Millisecond)
		r.want("recorded visit granted ok with identity", "released for 3s", "said ok")
		r.show(li) // examined now, released when the first is through
		time.Sleep(time.Second)
		r.want()
		r.show(zhao) // a third is told to wait, once
		r.show(zhao)
		r.want("said wait")
		r.gate.bodies <- struct{}{}
		time.Sleep(500 * time.Millisecond)
		r.want("locked", "recorded passage taken",
			"recorded visit granted ok with identity", "released for 3s", "said ok")
		r.show(zhao) // and is served when he comes again
		r.want("recorded visit refused code-red with identity", "said code-red")
	})
}

func TestASecondBodyIsATailgater(t *testing.T) {
	inLane(t, func(r *rig) {
		r.show(wang)
		time.Sleep(100 * time.Millisecond)
		r.gate.bodies <- struct{}{}
		time.Sleep(200 * time.Millisecond)
		r.gate.bodies <- struct{}{}
		time.Sleep(time.Second)
		if _, up := r.agent.Status().Alarms["tailgating"]; !up {
			t.Error("no alarm tailgating after a second body")
		}
		time.Sleep(20 * time.Second)
		if _, up := r.agent.Status().Alarms["tailgating"]; up {
			t.Error("the alarm tailgating never goes down")
		}
	})
}

func TestNothingOpensThatIsNotRecorded(t *testing.T) {
	inLane(t, func(r *rig) {
		r.queue.fail(errors.New("disk full"), false)
		r.show(wang)
		time.Sleep(5 * time.Second)
		r.want("said queue-full")
		r.queue.fail(nil, false)
		r.show(li)
		time.Sleep(100 * time.Millisecond)
		r.want("recorded visit granted ok with identity", "released for 3s", "said ok")
	})
}

func TestALostGateClosesTheLane(t *testing.T) {
	inLane(t, func(r *rig) {
		old := r.gate
		r.gate = &gate{newDevice("gate"), r.story, make(chan struct{}), make(chan bool)}
		old.fail(errGone)
		synctest.Wait()
		if s := r.agent.Status(); s.Screen != "out-of-service" {
			t.Errorf("screen = %s, want out-of-service", s.Screen)
		}
		r.show(wang)
		r.want("said out-of-service")
		time.Sleep(10 * time.Second) // its supervisor opens it again
		if s := r.agent.Status(); s.Screen != "idle" || len(s.Alarms) != 0 {
			t.Errorf("screen = %s, alarms %v, want idle and none", s.Screen, s.Alarms)
		}
		r.show(wang)
		time.Sleep(100 * time.Millisecond)
		r.want("recorded visit granted ok with identity", "released for 3s", "said ok")
	})
}

func TestAGateLostAtTheReleaseIsNotPulsedAgain(t *testing.T) {
	inLane(t, func(r *rig) {
		old := r.gate
		r.gate = &gate{newDevice("gate"), r.story, make(chan struct{}), make(chan bool)}
		old.mu.Lock()
		old.err = errGone
		old.mu.Unlock()
		r.show(wang)
		time.Sleep(30 * time.Second)
		r.want("recorded visit granted ok with identity", "said out-of-service")
	})
}

func TestFireStopsCommandingUntilItIsReset(t *testing.T) {
	inLane(t, func(r *rig) {
		r.gate.fire <- true
		synctest.Wait()
		if s := r.agent.Status(); s.Screen != "open" || !s.Fire {
			t.Errorf("screen = %s, fire = %v, want open and true", s.Screen, s.Fire)
		}
		r.show(wang)
		time.Sleep(time.Second)
		if r.story.has("released for 3s") {
			t.Error("the gate was commanded during a fire")
		}
		if code, body := r.get(http.MethodPost, "/v1/fire/reset"); code != http.StatusConflict || !strings.Contains(string(body), "still open") {
			t.Errorf("reset with an open loop = %d %s, want 409", code, body)
		}
		r.gate.fire <- false
		synctest.Wait()
		if !r.agent.Status().Fire {
			t.Error("the fire went away without a person")
		}
		if code, body := r.get(http.MethodPost, "/v1/fire/reset"); code != http.StatusOK {
			t.Errorf("reset = %d %s, want 200", code, body)
		}
		time.Sleep(3 * time.Second)
		r.show(wang)
		time.Sleep(100 * time.Millisecond)
		if !r.story.has("released for 3s") {
			t.Error("the lane does not serve after the reset")
		}
	})
}

func TestHaltClosesTheLane(t *testing.T) {
	inLane(t, func(r *rig) {
		if code, _ := r.get(http.MethodPost, "/v1/halt"); code != http.StatusOK {
			t.Errorf("halt = %d, want 200", code)
		}
		r.show(wang)
		time.Sleep(5 * time.Second)
		r.want("locked", "said out-of-service")
	})
}

func TestTheEventStreamTellsAVisitAndNoPerson(t *testing.T) {
	inLane(t, func(r *rig) {
		r.show(wang)
		time.Sleep(5 * time.Second)
		var types []string
		for _, h := range r.happenings() {
			types = append(types, h.Type)
			if strings.Contains(h.Name+h.Device+h.State, "wang") {
				t.Errorf("happening %+v names the code", h)
			}
		}
		for _, want := range []string{"device", "screen", "verdict", "release", "said", "passage"} {
			if !slices.Contains(types, want) {
				t.Errorf("no %q among the happenings %v", want, types)
			}
		}
	})
}

func TestOfflineBadgeHasHysteresis(t *testing.T) {
	inLane(t, func(r *rig) {
		r.ask.set(0, checkin.PlatformUnreachable)
		r.show(wang)
		if !r.agent.Status().Online {
			t.Error("offline after one miss, want two")
		}
		time.Sleep(3 * time.Second)
		r.show(li)
		if r.agent.Status().Online {
			t.Error("online after two misses")
		}
		r.ask.set(0, "")
		time.Sleep(3 * time.Second)
		r.show(zhao)
		if !r.agent.Status().Online {
			t.Error("offline after an answer")
		}
	})
}

func TestADeviceThatIsGoneIsOpenedAgain(t *testing.T) {
	inLane(t, func(r *rig) {
		old := r.scanner
		r.scanner = &scanner{newDevice("scanner"), make(chan string)}
		old.fail(errGone)
		synctest.Wait()
		s := r.agent.Status()
		if s.Devices[0].State != agent.DeviceGone || s.Screen != "out-of-service" {
			t.Errorf("scanner %s, screen %s, want gone and out-of-service (there is no other reader)", s.Devices[0].State, s.Screen)
		}
		time.Sleep(5 * time.Second)
		if s := r.agent.Status(); s.Devices[0].State != agent.DeviceReady || s.Screen != "idle" {
			t.Errorf("scanner %s, screen %s, want ready and idle", s.Devices[0].State, s.Screen)
		}
		r.show(zhao)
		r.want("recorded visit refused code-red with identity", "said code-red")
	})
}
