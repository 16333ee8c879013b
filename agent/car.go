package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// car groups the visits of those who sit in one vehicle (handheld kiosks at
// vehicle gates). Its zero value is no car.
type car struct {
	group string
	last  time.Time // of the last thing that happened in it
}

// carLife ends a car that nobody has sent on: the next one would else be
// counted into it.
const carLife = 10 * time.Minute

// Vehicle is what is said of a car, on the control socket.
type Vehicle struct {
	Action   string `json:"action"`          // arrives or leaves
	Plate    string `json:"plate,omitempty"` // may be left out
	Operator string `json:"operator,omitempty"`
}

// Vehicle begins or ends a car. A plate is kept like a person's number: sealed
// to the authority, and nowhere else. It returns the group's id.
func (a *Agent) Vehicle(ctx context.Context, v Vehicle) (string, error) {
	plate, err := cleanPlate(v.Plate)
	if err != nil {
		return "", err
	}
	switch v.Action {
	case "arrives":
		return a.lane.arrive(ctx, plate, v.Operator)
	case "leaves":
		return a.lane.leave()
	}
	return "", fmt.Errorf("%q is nothing a car does: arrives or leaves", v.Action)
}

//

func (l *lane) arrive(ctx context.Context, plate, operator string) (string, error) {
	defer l.a.scrubs.Touched()
	group := newUUID()
	l.mu.Lock()
	l.car = car{group, time.Now()}
	l.mu.Unlock()
	e := l.event(checkin.KindVehicle)
	e.Operator = operator
	var who *checkin.Identity
	if plate != "" {
		who = &checkin.Identity{UUID: e.UUID, Kind: checkin.Plate, Value: plate}
	}
	if err := l.put(ctx, e, who); err != nil {
		return "", fmt.Errorf("recording the car: %w", err)
	}
	l.a.hub.emit(Happening{Type: "vehicle", State: "arrives"})
	return group, nil
}

func (l *lane) leave() (string, error) {
	l.mu.Lock()
	group := l.car.group
	l.car = car{}
	l.mu.Unlock()
	if group == "" {
		return "", errors.New("there is no car")
	}
	l.a.hub.emit(Happening{Type: "vehicle", State: "leaves"})
	return group, nil
}

// group is the id of the car that is there; empty if none is.
func (l *lane) group() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.car.last) > carLife {
		l.car = car{}
	}
	if l.car.group != "" {
		l.car.last = time.Now()
	}
	return l.car.group
}

// cleanPlate takes a number plate as it is typed: up to 16 letters and digits
// of any script, blanks, dots and dashes dropped.
func cleanPlate(s string) (string, error) {
	var b strings.Builder
	for _, r := range s {
		switch {
		case strings.ContainsRune(" -·.", r):
		case unicode.IsLetter(r), unicode.IsDigit(r):
			b.WriteRune(unicode.ToUpper(r))
		default:
			return "", errors.New("a number plate has letters and digits only")
		}
	}
	if plate := b.String(); len([]rune(plate)) <= 16 {
		return plate, nil
	}
	return "", errors.New("a number plate has at most 16 characters")
}
