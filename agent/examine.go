package agent

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"periph.io/x/conn/v3/physic"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/screen"
	"github.com/digital-sentinel/sentinel/hal"
)

// How a temperature is taken.
const (
	againAfter   = 250 * time.Millisecond // between readings while nobody is in view
	secondAfter  = 300 * time.Millisecond // between a fever and its second reading
	advisoryWait = time.Second            // how long an advisory reading may hold up a visitor
)

// examine gathers the evidence: status and temperature at the same time. A
// visitor who would not be let in at a normal temperature is not measured.
func (l *lane) examine(ctx context.Context, p presented) (checkin.Evidence, *hal.Reading) {
	e := checkin.Evidence{Credential: p.cred, Temperature: checkin.Unmeasured}
	asks := p.cred.Kind.Online() && p.cred.Fault == ""
	if p.cred.Kind == checkin.SignedCode && p.code == nil {
		asks = false // nobody here can read it, and the platform wants what it says
	}
	if p.word != nil {
		e.Staff, e.Answers = p.word.staff(), p.word.answers
		asks = e.Staff == checkin.StaffIdentity && p.cred.Kind.Online() && p.cred.Fault != checkin.CredentialInvalid
	}
	if !asks && p.word == nil {
		e.Why = checkin.NoStatus
		l.stamp(&e)
		return e, nil
	}
	l.show(screen.View{State: screen.Asking})
	ctx, cancel := context.WithCancel(ctx)
	var both sync.WaitGroup
	defer both.Wait()
	defer cancel()

	measured, last := make(chan measurement, 1), new(lastReading)
	if l.a.policy().Temperature != checkin.TemperatureOff {
		both.Go(func() { measured <- l.measure(ctx, last) })
	}
	e.Why = checkin.NoStatus
	if asks {
		e.Status, e.Why = l.a.o.Verifier.Verify(ctx, p.cred)
		l.answered(e.Status.Known, e.Why)
	}
	p.fallback(&e)
	l.stamp(&e)
	if !l.wantsTemperature(e) {
		return e, nil
	}
	m := l.await(ctx, measured, p)
	if m.reading == nil {
		m.reading = last.Load() // of no use for the verdict, kept all the same
	}
	e.Temperature = m.band
	l.stamp(&e)
	return e, m.reading
}

// stamp sets the time at which the evidence is weighed.
func (l *lane) stamp(e *checkin.Evidence) {
	i := l.a.o.Clock.Interval()
	e.Now, e.Earliest, e.ClockOK = i.Hi.UTC(), i.Lo.UTC(), i.Bounded()
	if !e.ClockOK {
		e.Now, e.Earliest = l.a.o.Clock.Now().UTC(), time.Time{} // for the record only
	}
}

// wantsTemperature reports whether a reading can change the verdict on e.
func (l *lane) wantsTemperature(e checkin.Evidence) bool {
	if l.a.policy().Temperature == checkin.TemperatureOff {
		return false
	}
	e.Temperature = checkin.Normal
	return checkin.Decide(l.a.policy(), l.a.o.Class, &e).Outcome == checkin.Granted
}

// lastReading is the last raw reading of a window, whatever it was worth.
type lastReading = atomic.Pointer[hal.Reading]

// measurement is what the window gave.
type measurement struct {
	band    checkin.Band
	reading *hal.Reading
}

// await waits for the measurement, and asks the visitor closer meanwhile.
func (l *lane) await(ctx context.Context, measured <-chan measurement, p presented) measurement {
	window, closer := l.a.o.Timing.Window, l.a.o.Timing.Closer
	if l.a.policy().Temperature == checkin.TemperatureAdvisory || p.word != nil {
		window, closer = advisoryWait, window // nobody is asked closer for advice
	}
	limit := time.NewTimer(time.Until(p.at.Add(window)))
	defer limit.Stop()
	ask := time.NewTimer(time.Until(p.at.Add(closer)))
	defer ask.Stop()
	for {
		select {
		case m := <-measured:
			return m
		case <-ask.C:
			l.show(screen.View{State: screen.Closer})
			l.say(string(screen.Closer))
		case <-limit.C:
			return measurement{band: checkin.Unmeasured}
		case <-ctx.Done():
			return measurement{band: checkin.Unmeasured}
		}
	}
}

// measure reads until a reading is one of a person, and a fever twice. It
// returns Unmeasured at once if there is no thermometer, else with ctx.
func (l *lane) measure(ctx context.Context, last *lastReading) measurement {
	fever := false
	for {
		p, dev := l.a.find(Thermometer)
		if dev == nil {
			return measurement{band: checkin.Unmeasured}
		}
		reading, err := dev.(hal.Thermometer).Measure(ctx)
		p.report(dev, err)
		band := checkin.Unmeasured
		if err == nil {
			last.Store(&reading)
			if p.settled(l.a.o.Timing.WarmUp) {
				band = l.a.policy().Band(reading.Object, reading.Ambient)
			}
		}
		wait := againAfter
		switch {
		case band == checkin.Normal, band == checkin.Fever && fever:
			return measurement{band, &reading}
		case band == checkin.Fever:
			fever, wait = true, secondAfter
		}
		if pause(ctx, wait) != nil {
			return measurement{band: checkin.Unmeasured}
		}
	}
}

// milliKelvin is how a record keeps a raw temperature.
func milliKelvin(t physic.Temperature) int64 { return int64(t / physic.MilliKelvin) }
