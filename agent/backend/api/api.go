// Package api is the contract between kiosk and platform, version 1: the
// OpenAPI document, and its small bodies as Go values. Both twins hold to it;
// neither imports the other.
package api

import (
	_ "embed"
	"encoding/json"
)

// Spec is the contract itself (OpenAPI 3.1), as the platform serves it.
//
//go:embed openapi.yaml
var Spec []byte

// Media types of the contract.
const (
	JSON    = "application/json"
	COSE    = "application/cose" // a signed statement
	Problem = "application/problem+json"
)

// Priority is the header of RFC 9218 in which a kiosk says how urgent a batch
// is. A platform reads urgencies below three as live; without the header a
// batch is backlog.
const (
	Priority        = "Priority"
	LivePriority    = "u=1"
	BacklogPriority = "u=5"
)

// MaxBatch is the most records that one call may carry.
const MaxBatch = 500

// VerifyRequest asks about the holder of one credential.
type VerifyRequest struct {
	Kind  string `json:"kind"`  // personal-code, relative-code, resident-id, …
	Value string `json:"value"` // the token, the card's number, or a signed code's ISSUER/ID
	Venue string `json:"venue"`
	Kiosk string `json:"kiosk"`
	Lane  string `json:"lane"`
	Nonce []byte `json:"nonce"` // 16 random bytes, base64 on the wire
}

// CheckinsRequest carries records, each as the queue wrote it.
type CheckinsRequest struct {
	Records []json.RawMessage `json:"records"`
}

// ReportsRequest carries refusals to one recipient, each as the queue wrote it.
// Its answer is a CheckinsAnswer.
type ReportsRequest struct {
	Recipient string            `json:"recipient"`
	Records   []json.RawMessage `json:"records"`
}

// CheckinsAnswer has one answer per record.
type CheckinsAnswer struct {
	Results []json.RawMessage `json:"results"`
}

// Heartbeat tells how a kiosk is. Orders in the answer are ignored by version 1.
type Heartbeat struct {
	Kiosk   string          `json:"kiosk"`
	Lane    string          `json:"lane"`
	Version string          `json:"version"`
	Screen  string          `json:"screen"`
	Queue   int             `json:"queue"`
	Level   int             `json:"queue_level"`    // percent
	Oldest  int64           `json:"queue_oldest_s"` // seconds
	Dead    int             `json:"queue_dead"`
	Expired int             `json:"identities_expired"`
	Devices map[string]bool `json:"devices"` // name: ready
	Alarms  []string        `json:"alarms"`
}

// TimeRequest asks what time it is.
type TimeRequest struct {
	Kiosk string `json:"kiosk"`
	Nonce []byte `json:"nonce"` // 16 random bytes
}

// EpochRequest asks for the key of a shard's fingerprints in one epoch.
type EpochRequest struct {
	Kiosk string `json:"kiosk"`
	Shard string `json:"shard"`
	Epoch uint64 `json:"epoch"`
}

// EpochAnswer is the key. It is a secret, to be kept in memory only.
type EpochAnswer struct {
	Key []byte `json:"key"` // 32 bytes, base64 on the wire
}

// Refusal is the body of an answer that is not 200 (RFC 9457, with two fields
// of our own).
type Refusal struct {
	Type             string `json:"type"` // about:blank, or a name below
	Title            string `json:"title"`
	RetryAfterMillis int64  `json:"retry_after_ms,omitempty"`
	MaxBatch         int    `json:"max_batch,omitempty"`
}

// Types of refusals that a kiosk tells apart.
const (
	UnknownCredential = "unknown-credential" // 404: nobody has this code or number
	UnknownRecipient  = "unknown-recipient"  // 404: nobody here receives reports by this name
	UnknownEpoch      = "unknown-epoch"      // 404: nobody here knows this shard or epoch
)
