package backend

import (
	"net/http"
	"slices"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// store holds records by identity, each once, for ever.
type store struct {
	held  map[checkin.ID]checkin.Record
	order []checkin.ID
	again int // arrivals of what was held already
}

// keep takes r, and reports whether it was there.
func (s *store) keep(r checkin.Record) (again bool) {
	if _, again = s.held[r.Event.ID]; again {
		s.again++
		return true
	}
	if s.held == nil {
		s.held = map[checkin.ID]checkin.Record{}
	}
	s.held[r.Event.ID] = r
	s.order = append(s.order, r.Event.ID)
	return false
}

// list gives what is held, in the order in which it came.
func (s *store) list() []checkin.Record {
	list := make([]checkin.Record, len(s.order))
	for i, id := range s.order {
		list[i] = s.held[id]
	}
	return list
}

// Reports returns the reports that a recipient holds, in the order in which
// they came.
func (p *Platform) Reports(recipient string) []checkin.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.reports[recipient]; s != nil {
		return s.list()
	}
	return nil
}

// ReportCounts is what one recipient holds.
type ReportCounts struct {
	Reports   int // distinct by identity
	Duplicate int // held of a visit that is reported by another one already: always 0
	Again     int // that came again and were recognised
}

// CountReports counts what a recipient holds, from the reports themselves.
func (p *Platform) CountReports(recipient string) ReportCounts {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.reports[recipient]
	if s == nil {
		return ReportCounts{}
	}
	c := ReportCounts{Reports: len(s.held), Again: s.again}
	seen := map[string]bool{}
	for _, r := range s.held {
		if seen[r.Event.Visit] {
			c.Duplicate++
		}
		seen[r.Event.Visit] = true
	}
	return c
}

func (p *Platform) report(w http.ResponseWriter, r *http.Request) {
	var batch api.ReportsRequest
	if !read(w, r, maxBatch, &batch) || tooMany(w, len(batch.Records)) {
		return
	}
	known := p.o.Recipients
	switch {
	case batch.Recipient == "" || len(batch.Recipient) > 64:
		refuse(w, http.StatusBadRequest, "about:blank", "the recipient is not what the contract says")
	case len(known) > 0 && !slices.Contains(known, batch.Recipient):
		refuse(w, http.StatusNotFound, api.UnknownRecipient, "nobody here receives reports by this name")
	default:
		p.answer(w, r, batch.Records, func(r checkin.Record) checkin.Ack { return p.keepReport(batch.Recipient, r) })
	}
}

// keepReport takes one report, once for each recipient.
func (p *Platform) keepReport(recipient string, r checkin.Record) checkin.Ack {
	if r.Event.Kind != checkin.KindRefusal {
		return checkin.Ack{ID: r.Event.ID, Status: checkin.Rejected, Reason: "a report is of a refusal"}
	}
	p.mu.Lock()
	if p.reports[recipient] == nil {
		p.reports[recipient] = &store{}
	}
	again := p.reports[recipient].keep(r)
	p.mu.Unlock()
	if p.o.OnReport != nil {
		p.o.OnReport(recipient, r, again)
	}
	return held(r, again)
}

// held is the answer for a record that is taken.
func held(r checkin.Record, again bool) checkin.Ack {
	if again {
		return checkin.Ack{ID: r.Event.ID, Status: checkin.Duplicate}
	}
	return checkin.Ack{ID: r.Event.ID, Status: checkin.Stored}
}
