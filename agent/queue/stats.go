package queue

import (
	"maps"
	"os"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Stats is how the queue is. Counters survive restarts and deliveries.
type Stats struct {
	Depth     int            `json:"depth"` // records waiting
	Dead      int            `json:"dead"`  // records that the platform refused for good
	Max       int            `json:"max"`
	Stored    map[string]int `json:"stored"` // by kind; visits also by outcome: visit, visit/granted, …
	Delivered int            `json:"delivered"`
	Epoch     string         `json:"epoch"`
	Bytes     int64          `json:"bytes"`     // of all files
	Waiting   int64          `json:"waiting_b"` // bytes of what waits, about
	MaxBytes  int64          `json:"max_bytes"`
	// Oldest is how long the oldest record has surely waited.
	Oldest time.Duration `json:"oldest_ns"`
	Level  int           `json:"level"` // fullest of count, bytes and age, in percent
	Files  int           `json:"files"` // generations
	// Expired counts identities that were removed because nobody took them in
	// time; their events stayed.
	Expired int `json:"expired"`
	// Damaged counts files that were set aside, Salvaged the records that were
	// read out of them.
	Damaged  int `json:"damaged,omitempty"`
	Salvaged int `json:"salvaged,omitempty"`
	// Foreign counts files of a newer program, which this one leaves alone.
	Foreign int `json:"foreign,omitempty"`
	// Renumbered counts records that got another identity, because the far end
	// held another event under theirs: the folder was restored or copied.
	Renumbered int `json:"renumbered,omitempty"`
	// DiskFull says that the reserve of the disk has been used up for deleting.
	DiskFull  bool      `json:"disk_full,omitempty"`
	LastError string    `json:"last_error,omitempty"`
	NextTry   time.Time `json:"next_try,omitzero"` // while backing off
	// Reports are the outboxes, by recipient; former recipients' too.
	Reports map[string]Outbox `json:"reports,omitempty"`
}

// Stats tells how the queue is.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count()
}

// counters is the part of Stats that is kept on disk.
type counters struct {
	Stored    map[string]int `json:"stored"`
	Delivered int            `json:"delivered"`
	Expired   int            `json:"expired,omitempty"`
	Damaged   int            `json:"damaged,omitempty"`
	Salvaged  int            `json:"salvaged,omitempty"`
	Foreign   int            `json:"foreign,omitempty"`

	Renumbered int `json:"renumbered,omitempty"`

	Reports map[string]outboxCounters `json:"reports,omitempty"`
}

// outboxCounters is the part of Outbox that is kept on disk.
type outboxCounters struct {
	Delivered int `json:"delivered"`
	Missed    int `json:"missed"`
}

// counting returns c after e was stored.
func (c counters) counting(e *checkin.Event) counters {
	c.Stored = maps.Clone(c.Stored)
	if c.Stored == nil {
		c.Stored = map[string]int{}
	}
	c.Stored[string(e.Kind)]++
	if e.Verdict != nil {
		c.Stored[string(e.Kind)+"/"+string(e.Verdict.Outcome)]++
	}
	return c
}

// changing returns c with other counters of one outbox; c keeps its own.
func (c counters) changing(name string, change func(*outboxCounters)) counters {
	reports := maps.Clone(c.Reports)
	if reports == nil {
		reports = map[string]outboxCounters{}
	}
	o := reports[name]
	change(&o)
	reports[name] = o
	c.Reports = reports
	return c
}

// delivering returns c after n records of a box were taken.
func (c counters) delivering(box string, n int) counters {
	if box == checkins {
		c.Delivered += n
		return c
	}
	return c.changing(box, func(o *outboxCounters) { o.Delivered += n })
}

// count adds up what the files and the counters say. The caller holds q.mu.
func (q *Queue) count() Stats {
	c := q.state.Counters
	s := Stats{
		Max: q.o.Max, MaxBytes: q.o.MaxBytes, Stored: maps.Clone(c.Stored), Delivered: c.Delivered,
		Epoch: q.state.Epoch, Files: len(q.files), Expired: c.Expired, Damaged: c.Damaged,
		Salvaged: c.Salvaged, Foreign: c.Foreign, Renumbered: c.Renumbered, DiskFull: q.reserve.used(), Reports: q.outboxes(),
	}
	for _, f := range q.files {
		s.Depth += f.count[shelf{box: checkins}]
		s.Dead += f.count[shelf{box: checkins, dead: true}]
		s.Waiting += f.bytes
		if fi, err := os.Stat(f.path); err == nil {
			s.Bytes += fi.Size()
		}
	}
	if s.Stored == nil {
		s.Stored = map[string]int{}
	}
	note := q.notes[checkins]
	s.LastError, s.NextTry = note.last, note.next
	s.Oldest = q.oldest
	s.Level = q.level(&s)
	return s
}

// level is how full the queue is: by count, by bytes, by age, or because the
// disk is.
func (q *Queue) level(s *Stats) int {
	level := max(
		s.Depth*100/q.o.Max,
		int(s.Waiting*100/q.o.MaxBytes),
		int(s.Oldest*100/q.o.IdentityLife),
	)
	if s.DiskFull {
		level = max(level, 95)
	}
	return min(level, 100)
}
