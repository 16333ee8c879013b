//go:build linux

package queue_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/flash"
)

// ledger holds the queue to its word, over all the lives of one store.
type ledger struct {
	promised map[string]string            // uuid: identity; of what was acknowledged and not yet checked
	reports  map[string]string            // likewise, of what the authority must get
	taken    map[string]map[string]string // box: uuid: identity
	owner    map[string]map[string]string // box: identity: uuid
	opened   bool                         // in this life
	refused  int                          // in this life
	puts     int                          // in this life
	empty    bool                         // in this life
	unwell   string                       // why it ended, or could not begin
	words    string                       // the last complaint
}

func newLedger() *ledger {
	l := &ledger{promised: map[string]string{}, reports: map[string]string{}, taken: map[string]map[string]string{}, owner: map[string]map[string]string{}}
	for _, box := range boxes {
		l.taken[box], l.owner[box] = map[string]string{}, map[string]string{}
	}
	return l
}

// turn begins a new life of the store.
func (l *ledger) turn() {
	l.opened, l.empty, l.refused, l.puts, l.words, l.unwell = false, false, 0, 0, "", ""
}

// hear takes in one line of the child, and counts what is wrong in s.
func (l *ledger) hear(line string, s *score) {
	f := strings.Fields(line)
	switch {
	case f[0] == "opened":
		l.opened = true
	case f[0] == "put" && len(f) == 4:
		l.puts++
		l.promised[f[2]] = f[3]
		if f[1] == string(checkin.KindRefusal) {
			l.reports[f[2]] = f[3]
		}
		s.cases++
	case f[0] == "took" && len(f) == 4:
		l.took(f[1], f[2], f[3], s)
	case f[0] == "empty":
		l.empty = true
		l.settle(s)
	case f[0] == "refused":
		l.refused++
		l.words = line
	case f[0] == "case":
		s.cases++
	case f[0] == "lost":
		s.bad(&s.lost, "%s", line)
	case f[0] == "duplicated":
		s.bad(&s.duplicated, "%s", line)
	case f[0] == "unreadable":
		s.bad(&s.unreadable, "%s", line)
	case f[0] == "unopened" || f[0] == "broken":
		l.words, l.unwell = line, line
	}
}

func (l *ledger) took(box, uuid, id string, s *score) {
	taken, owner := l.taken[box], l.owner[box]
	if was, ok := taken[uuid]; ok && was != id {
		s.bad(&s.duplicated, "%s got %s as %s and as %s", box, uuid, was, id)
	}
	if was, ok := owner[id]; ok && was != uuid {
		s.bad(&s.duplicated, "%s got %s for %s and for %s", box, id, was, uuid)
	}
	taken[uuid], owner[id] = id, uuid
}

// settle compares promises with deliveries, when everything was delivered.
func (l *ledger) settle(s *score) {
	for box, promises := range map[string]map[string]string{"platform": l.promised, authorityBox: l.reports} {
		for uuid, id := range promises {
			switch got, ok := l.taken[box][uuid]; {
			case !ok:
				s.bad(&s.lost, "%s was acknowledged as %s and never reached %s", uuid, id, box)
			case got != id:
				s.bad(&s.duplicated, "%s was acknowledged as %s and reached %s as %s", uuid, id, box, got)
			}
		}
		clear(promises)
	}
}

// score is what a rig has seen.
type score struct {
	rig                          string
	cycles, cases                int
	lost, duplicated, unreadable int
	took                         time.Duration
	first                        string // the first thing that was wrong
}

func (s *score) wrong() int { return s.lost + s.duplicated + s.unreadable }

func (s *score) bad(count *int, format string, args ...any) {
	*count++
	if s.first == "" {
		s.first = fmt.Sprintf("cycle %d: ", s.cycles) + fmt.Sprintf(format, args...)
	}
}

// rig runs children on one store and does them harm.
type rig struct {
	t     *testing.T
	dir   string     // where the store is
	card  *flash.FS  // what it lies on; nil is an ordinary disk
	luck  *rand.Rand // every number the rig draws
	key   string
	score *score
	book  *ledger

	verifies bool        // from time to time, by a child of its own
	before   flash.Stats // when the card was good
}

// process is a running child.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  chan string
	stderr bytes.Buffer
}

func (r *rig) start(what, dir, last string) *process {
	r.t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), envChild+"="+what, envDir+"="+dir, envLast+"="+last, envKey+"="+r.key,
		envRun+"="+strconv.Itoa(r.score.cycles), envLuck+"="+strconv.FormatUint(r.luck.Uint64(), 10))
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: c, lines: make(chan string, 64)}
	c.Stderr = &p.stderr
	in, ierr := c.StdinPipe()
	out, oerr := c.StdoutPipe()
	if err := errors.Join(ierr, oerr, c.Start()); err != nil {
		r.t.Fatal(err)
	}
	if r.card != nil {
		r.card.OnCut(func() { _ = c.Process.Kill() })
	}
	p.in = in
	go func() {
		defer close(p.lines)
		for read := bufio.NewReader(out); ; {
			line, err := read.ReadString('\n')
			if err != nil {
				return // half a line is a promise that was not made
			}
			p.lines <- strings.TrimSpace(line)
		}
	}()
	r.book.turn()
	return p
}

// patience is far beyond what anything here takes.
const patience = 2 * time.Minute

// follow listens to the child until stop says so, it ends, the power goes, or
// patience is over, and reports whether stop said so.
func (r *rig) follow(p *process, stop func() bool) bool {
	var down <-chan struct{}
	if r.card != nil {
		down = r.card.Down()
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	for !stop() {
		select {
		case line, more := <-p.lines:
			if !more {
				return false
			}
			r.book.hear(line, r.score)
		case <-down:
			return false
		case <-late.C:
			r.score.bad(&r.score.unreadable, "the child hangs: %s", r.book.words)
			return false
		}
	}
	return true
}

// kill ends the child by SIGKILL, and hears what it had said. One that could
// not open its queue, or stopped delivering, had better been harmed before.
func (r *rig) kill(p *process) {
	_ = p.cmd.Process.Kill()
	for line := range p.lines {
		r.book.hear(line, r.score)
	}
	_ = p.cmd.Wait()
	_ = p.in.Close()
	if code := p.cmd.ProcessState.ExitCode(); code > 0 && r.book.unwell == "" {
		r.book.unwell = fmt.Sprintf("exit code %d: %.300q", code, p.stderr.String())
	}
	if r.book.unwell != "" && !r.harmed() {
		r.score.bad(&r.score.unreadable, "unharmed, it says: %s", r.book.unwell)
	}
}

// harmed reports whether the card has done anything bad since the last call of
// renew or restore.
func (r *rig) harmed() bool {
	if r.card == nil {
		return false
	}
	now := r.card.Stats()
	return now.Cuts != r.before.Cuts || now.Failed != r.before.Failed || now.Full != r.before.Full
}

// restore brings the power back; from here on the card is a good one.
func (r *rig) restore() {
	r.card.Limit(0)
	r.card.Restore()
	r.before = r.card.Stats()
}

// renew begins with an empty store.
func (r *rig) renew() {
	entries, err := os.ReadDir(r.dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(r.dir, e.Name())))
	}
	if err := errors.Join(err, syncFolder(r.dir)); err != nil {
		r.t.Fatal(err)
	}
	r.book = newLedger()
}

// verify starts a child that must open the store and deliver all of it.
func (r *rig) verify() {
	p := r.start("verify", r.dir, "")
	r.follow(p, func() bool { return false })
	r.kill(p)
	r.mustBeWell()
}

// mustBeWell counts a child that met no fault and did not come to the end of
// its deliveries.
func (r *rig) mustBeWell() {
	if !r.book.empty && r.book.unwell == "" {
		r.score.bad(&r.score.unreadable, "opened %v, not emptied: %s", r.book.opened, r.book.words)
	}
}

func never() bool { return false }

// afterLines stops after n more lines.
func afterLines(n int) func() bool {
	return func() bool { n--; return n < 0 }
}

// rigKill kills the child at any moment, on an ordinary disk.
func rigKill(r *rig) {
	p := r.start("work", r.dir, "")
	r.follow(p, afterLines(r.luck.IntN(40)))
	if r.luck.IntN(2) == 0 {
		time.Sleep(time.Duration(r.luck.IntN(2000)) * time.Microsecond)
	}
	r.kill(p)
}

// rigFuse cuts the power at any change: while the store is opened, while what
// was left is delivered, while records are put.
func rigFuse(r *rig) {
	r.card.CutAfter(1+r.luck.IntN(200), r.luck.Uint64())
	p := r.start("work", r.dir, "")
	r.follow(p, never)
	r.kill(p)
	r.restore()
}

// rigEIO fails a write or a sync, and cuts the power some time after it.
func rigEIO(r *rig) {
	n, seed := 1+r.luck.IntN(60), r.luck.Uint64()
	if r.luck.IntN(2) == 0 {
		r.card.FailWrite(n)
	} else {
		r.card.FailSync(n)
	}
	r.card.CutAfter(1+r.luck.IntN(240), seed)
	p := r.start("work", r.dir, "")
	r.follow(p, func() bool { return r.book.refused > 0 })
	select { // a queue that writes no more gives no change to cut at
	case <-r.card.Down():
	case <-time.After(5 * time.Millisecond):
	}
	r.card.Cut(seed)
	r.kill(p)
	r.restore()
}

// rigFresh cuts the power while the very first file is made. What the cycle
// before has left is verified by the same child first.
func rigFresh(r *rig) {
	at := func(n int) string { return filepath.Join(r.dir, strconv.Itoa(n)) }
	p := r.start("fresh", at(r.score.cycles), at(r.score.cycles-1))
	begun := r.follow(p, func() bool { return r.book.empty })
	r.mustBeWell()
	if begun {
		r.card.CutAfter(3+r.luck.IntN(90), r.luck.Uint64()) // its folder takes two
		_, _ = io.WriteString(p.in, "\n")
		r.follow(p, never)
	}
	r.card.Cut(r.luck.Uint64())
	r.kill(p)
	r.restore()
	r.book = r.book.again()
}

// again is a new page: identities of another store may be the same.
func (l *ledger) again() *ledger {
	n := newLedger()
	n.promised, n.reports = l.promised, l.reports
	return n
}

// rigFull fills the card, lets the child struggle, frees it, and expects that
// it goes on by itself. Then the power is cut.
func rigFull(r *rig) {
	p := r.start("full", r.dir, "")
	if r.follow(p, func() bool { return r.book.empty }) {
		r.card.Limit(r.card.Stats().Used + int64(r.luck.IntN(1<<20)))
		struggle := 1 + r.luck.IntN(30)
		r.follow(p, func() bool { return r.book.refused >= struggle })
		r.card.Limit(0)
		want := r.book.puts + 3
		if !r.follow(p, func() bool { return r.book.puts >= want }) {
			r.score.bad(&r.score.unreadable, "with room again it does not go on: %s", r.book.words)
		}
	}
	r.card.Cut(r.luck.Uint64())
	r.kill(p)
	r.restore()
}
