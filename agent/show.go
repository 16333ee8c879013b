package agent

import (
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/screen"
)

// closed reports whether the lane can let nobody in now, and why.
func (l *lane) closed() (checkin.Reason, bool) {
	a := l.a
	_, gate := a.find(Gate)
	switch {
	case a.gate.burning(), a.halted.Load():
		return checkin.OutOfService, true
	case a.configured(Gate) && gate == nil:
		return checkin.OutOfService, true
	case a.o.Queue.Err() != nil:
		return checkin.QueueFull, true
	}
	return "", false
}

// examining reports whether a visitor is being examined.
func (l *lane) examining() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy
}

// restingView is the view when nobody is being served.
func (l *lane) restingView() screen.View {
	if l.a.gate.burning() {
		return screen.View{State: screen.Open}
	}
	if reason, closed := l.closed(); closed {
		if l.a.starting() {
			return screen.View{State: screen.Starting}
		}
		return screen.View{State: screen.OutOfService, Reason: string(reason)}
	}
	_, scanner := l.a.find(Scanner)
	_, reader := l.a.find(CardReader)
	switch {
	case scanner == nil && reader == nil && l.a.starting():
		return screen.View{State: screen.Starting}
	case scanner == nil && reader == nil:
		return screen.View{State: screen.OutOfService, Reason: string(checkin.OutOfService)}
	}
	return screen.View{State: screen.Idle}
}

// refresh shows the resting view again if nobody is being served: a device
// came or went, a fire began or ended.
func (l *lane) refresh() {
	l.mu.Lock()
	due := l.resting || l.a.gate.burning()
	l.mu.Unlock()
	if due {
		l.show(l.restingView())
	}
}

// show puts a view on the screen. A view with a verdict expires by itself.
func (l *lane) show(v screen.View) {
	a := l.a
	_, scanner := a.find(Scanner)
	_, reader := a.find(CardReader)
	v.Scanner, v.CardReader = scanner != nil, reader != nil

	l.mu.Lock()
	v.Offline = l.offline
	resting := restingState(v.State)
	same := resting && l.resting && l.view == v
	l.view, l.resting = v, resting
	l.shown++
	mine := l.shown
	l.mu.Unlock()
	if same {
		return
	}
	if verdictState(v.State) {
		if v.For == 0 {
			v.For = a.o.Timing.Show
		}
		time.AfterFunc(v.For, func() { l.expire(mine) })
	}
	if a.o.Screen != nil {
		a.o.Screen.Show(v)
	}
	a.hub.emit(Happening{Type: "screen", State: string(v.State), Reason: checkin.Reason(v.Reason)})
}

// expire ends a verdict's time on the screen, if nothing has replaced it.
func (l *lane) expire(mine uint64) {
	l.mu.Lock()
	due := l.shown == mine
	l.mu.Unlock()
	if due {
		l.show(l.restingView())
	}
}

// refuseAll answers whoever comes to a closed lane: the screen keeps saying
// how the lane is, and the voice says it once more.
func (l *lane) refuseAll() {
	view := l.restingView()
	if view.State == screen.Idle { // it closed for this visitor alone
		view = screen.View{State: screen.OutOfService, Reason: string(checkin.OutOfService)}
	}
	l.show(view)
	l.say(string(view.State))
}

// note says a word beside whatever the screen shows.
func (l *lane) note(id string) {
	if l.a.o.Screen != nil {
		l.a.o.Screen.Note(id)
	}
	l.a.hub.emit(Happening{Type: "note", Name: id})
	l.say(id)
}

// answered keeps count of whether the platform answers, from measured
// outcomes: two misses show the badge, one answer takes it away.
func (l *lane) answered(known bool, why checkin.Reason) {
	l.link(known || why != checkin.PlatformUnreachable)
}

func (l *lane) link(up bool) {
	l.mu.Lock()
	if up {
		l.misses = 0
	} else {
		l.misses++
	}
	was := l.offline
	l.offline = !up && (was || l.misses >= 2)
	changed := was != l.offline
	view, mode := l.view, checkin.ModeOnline
	if l.offline {
		mode = checkin.ModeNone
	}
	due := changed && l.resting
	l.mu.Unlock()
	if changed {
		l.a.hub.emit(Happening{Type: "mode", Mode: mode})
	}
	if due {
		l.show(view)
	}
}

func restingState(s screen.State) bool {
	switch s {
	case screen.Idle, screen.Starting, screen.OutOfService, screen.Open:
		return true
	}
	return false
}

// verdictState reports whether s is taken off the screen by itself.
func verdictState(s screen.State) bool {
	switch s {
	case screen.Granted, screen.Assisted, screen.Refused, screen.Manual, screen.WaitHost, screen.WrongCode:
		return true
	}
	return false
}

// starting reports whether the agent is so young that missing devices are
// normal.
func (a *Agent) starting() bool {
	for _, p := range a.parts {
		p.mu.Lock()
		opening := p.state == DeviceOpening
		p.mu.Unlock()
		if opening {
			return true
		}
	}
	return false
}
