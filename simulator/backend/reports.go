package backend

import (
	"net/http"
	"slices"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
)

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
