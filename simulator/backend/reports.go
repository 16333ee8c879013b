package backend

import (
	"context"
	"net/http"
	"slices"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Reports returns the reports that a recipient holds, in the order in which
// they came; none from a store that cannot be read.
func (p *Platform) Reports(recipient string) []checkin.Record { return p.list(recipient) }

// ReportCounts is what one recipient holds.
type ReportCounts struct {
	Reports   int // distinct by identity
	Duplicate int // held of a visit that is reported by another one already: always 0
	Again     int // that came again and were recognised
}

// CountReports counts what a recipient holds, from the reports themselves. A
// store that cannot be read counts nothing.
func (p *Platform) CountReports(recipient string) ReportCounts {
	c, _ := p.o.Store.Count(context.Background(), recipient)
	return ReportCounts{Reports: c.Records, Duplicate: c.Duplicate, Again: c.Again}
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
		p.answer(w, r, batch.Recipient, batch.Records)
	}
}
