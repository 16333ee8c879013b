package backend

import (
	"net/http"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

// time answers what time it is, signed for one kiosk's nonce.
func (p *Platform) time(w http.ResponseWriter, r *http.Request) {
	var q api.TimeRequest
	if !read(w, r, maxQuestion, &q) || !isKiosk(w, r, q.Kiosk) {
		return
	}
	if len(q.Nonce) != 16 {
		refuse(w, http.StatusBadRequest, "about:blank", "the nonce has 16 bytes")
		return
	}
	raw, err := signed.SignTime(p.o.Key, p.o.KeyID, q.Nonce, q.Kiosk, p.o.Now())
	if err != nil {
		refuse(w, http.StatusInternalServerError, "about:blank", "signing is not possible")
		return
	}
	w.Header().Set("Content-Type", api.COSE)
	_, _ = w.Write(lieOf(r.Context()).strip(raw))
}
