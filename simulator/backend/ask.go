package backend

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Question is what somebody asks of a store. By and Why go into the audit
// trail before anything is answered.
type Question struct {
	Window
	By  string // who asks
	Why string
}

// Who answers who was at a venue between two times: every record with its
// sealed identity, which only the authority's tool can open, in the order of
// time. The number of rows stands in the audit trail before the first is given.
func Who(ctx context.Context, s Store, q Question, yield func(checkin.Record) error) (rows int, err error) {
	if err := q.check(); err != nil {
		return 0, err
	}
	refs, err := s.Find(ctx, q.Window)
	if err != nil {
		return 0, fmt.Errorf("looking for the records: %w", err)
	}
	if err := q.note(ctx, s, "who", len(refs)); err != nil {
		return 0, err
	}
	return len(refs), s.Fetch(ctx, refs, yield)
}

// Shown is a Tally as a manager may see it.
type Shown struct {
	Hour    time.Time `json:"hour"`
	Lane    string    `json:"lane"`
	Verdict string    `json:"verdict"`
	Visits  string    `json:"visits"` // a number, or "<5"
}

// fewest is the smallest number that is shown: fewer are somebody.
const fewest = 5

// Tallies answers how many came, by hour, lane and verdict, without anybody's
// identity. Whole hours only, and no sums: two answers that differ by one
// person must not be had.
func Tallies(ctx context.Context, s Store, q Question) ([]Shown, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	list, err := s.Tally(ctx, q.Window)
	if err != nil {
		return nil, fmt.Errorf("counting: %w", err)
	}
	if err := q.note(ctx, s, "counts", len(list)); err != nil {
		return nil, err
	}
	shown := make([]Shown, len(list))
	for i, t := range list {
		shown[i] = Shown{Hour: t.Hour, Lane: t.Lane, Verdict: t.Verdict, Visits: strconv.Itoa(t.Visits)}
		if t.Visits < fewest {
			shown[i].Visits = "<" + strconv.Itoa(fewest)
		}
	}
	return shown, nil
}

// Who asks the platform's store.
func (p *Platform) Who(ctx context.Context, q Question, yield func(checkin.Record) error) (int, error) {
	return Who(ctx, p.o.Store, q, yield)
}

// Tallies asks the platform's store.
func (p *Platform) Tallies(ctx context.Context, q Question) ([]Shown, error) {
	return Tallies(ctx, p.o.Store, q)
}

//

func (q *Question) check() error {
	if err := errors.Join(said("who asks", q.By), said("the reason", q.Why)); err != nil {
		return err
	}
	switch {
	case q.Venue == "" || len(q.Venue) > maxName:
		return fmt.Errorf("the venue is missing, or longer than %d bytes", maxName)
	case q.From.IsZero() || !q.From.Before(q.To):
		return errors.New("the window ends before it begins: from and to are needed, from before to")
	}
	return nil
}

// note writes down a question, before it is answered.
func (q *Question) note(ctx context.Context, s Auditor, what string, rows int) error {
	_, err := s.Note(ctx, Entry{
		At: time.Now(), By: q.By, Why: q.Why, Rows: rows,
		What: fmt.Sprintf("%s at %q from %s to %s", what, q.Venue, q.From.UTC().Format(time.RFC3339), q.To.UTC().Format(time.RFC3339)),
	})
	if err != nil {
		return fmt.Errorf("nothing is answered, because it cannot be written down: %w", err)
	}
	return nil
}
