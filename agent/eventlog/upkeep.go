package eventlog

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/durable"
)

// upkeep packs what is closed and removes what is over, whenever it is woken:
// at Open, when a file is begun, and once a day.
func (l *Log) upkeep(ctx context.Context) {
	defer close(l.done)
	k := &keeper{o: l.o, first: map[uint64]time.Time{}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.kick:
		}
		l.mu.Lock()
		present := l.now.number
		l.mu.Unlock()
		gone, err := k.look(ctx, present, l.o.Now())
		if ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		l.stats.Gone += gone
		l.stats.Err = ""
		if err != nil {
			l.stats.Err = err.Error()
		}
		l.mu.Unlock()
	}
}

// keeper looks after the closed files: those below the present one.
type keeper struct {
	o     Opts
	first map[uint64]time.Time // the first believable time in a file, where known
}

// look does what is due now, and tells how many files have gone.
func (k *keeper) look(ctx context.Context, present uint64, now checkin.Stamp) (gone int, err error) {
	files, err := list(k.o.Dir)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, p := range files {
		if p.number < present && p.plain {
			if err := k.pack(ctx, p); err != nil {
				errs = append(errs, fmt.Errorf("packing %s: %w", p.name(), err))
			}
		}
		if ctx.Err() != nil {
			return gone, ctx.Err()
		}
	}
	for i, p := range files {
		if p.number >= present || !k.over(files[i+1:], p, now) {
			continue
		}
		if err := k.remove(p); err != nil {
			errs = append(errs, err)
			continue
		}
		gone++
	}
	return gone, errors.Join(errs...)
}

// over reports whether p may go: Keep has passed since its end, and since the
// last believable time in it. Nothing is over while nobody knows the time.
func (k *keeper) over(after []place, p place, now checkin.Stamp) bool {
	if !now.Trusted {
		return false
	}
	end, ok := k.end(after)
	if !ok || now.Wall.Sub(end) < k.o.Keep {
		return false
	}
	// Numbers may lie about order when files were copied here; what is inside
	// has the last word.
	for line, err := range scan(k.o.Dir, p) {
		if err == nil && line.err == nil && line.event.At.Trusted && now.Wall.Sub(line.event.At.Wall) < k.o.Keep {
			return false
		}
	}
	return true
}

// end is the first believable time in the files after one.
func (k *keeper) end(after []place) (time.Time, bool) {
	for _, p := range after {
		if t, ok := k.believable(p); ok {
			return t, true
		}
	}
	return time.Time{}, false
}

// believable is the first believable time in p.
func (k *keeper) believable(p place) (time.Time, bool) {
	if t, ok := k.first[p.number]; ok {
		return t, true
	}
	for line, err := range scan(k.o.Dir, p) {
		if err == nil && line.err == nil && line.event.At.Trusted {
			k.first[p.number] = line.event.At.Wall
			return line.event.At.Wall, true
		}
	}
	return time.Time{}, false
}

// remove removes p, in each form.
func (k *keeper) remove(p place) error {
	path := filepath.Join(k.o.Dir, p.name())
	for _, name := range []string{path, path + packedEnd} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := k.o.step("removed"); err != nil {
			return err
		}
	}
	delete(k.first, p.number)
	return durable.SyncDir(k.o.Dir)
}

// pack compresses p. At each moment one whole form is on the disk: the packed
// one gets its name after its sync, and the plain one goes after that name is
// synced. A packed form that an earlier attempt left is made again: the plain
// one is there, and it is the one that was synced line by line.
func (k *keeper) pack(ctx context.Context, p place) error {
	path := filepath.Join(k.o.Dir, p.name())
	temp := path + packedEnd + tempEnd
	if err := k.compress(ctx, path, temp); err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(temp)))
	}
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"compressed", func() error { return os.Rename(temp, path+packedEnd) }},
		{"renamed", func() error { return durable.SyncDir(k.o.Dir) }},
		{"synced", func() error { return os.Remove(path) }},
		{"unlinked", func() error { return durable.SyncDir(k.o.Dir) }},
	} {
		if err := k.o.step(s.name); err != nil {
			return err
		}
		if err := s.do(); err != nil {
			return err
		}
	}
	return nil
}

// compress writes the file at from, compressed and synced, to temp.
func (k *keeper) compress(ctx context.Context, from, temp string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, &untilDone{ctx, in})
	return errors.Join(err, z.Close(), out.Sync(), out.Close())
}

// untilDone reads until ctx ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(b)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
