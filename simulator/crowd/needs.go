package crowd

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What a crowd needs of the machine, by kiosk: the files of its queue while it
// turns to a new one, and both ends of its connection; and some for the rest.
const (
	filesEach = 8
	filesRest = 128
)

// enoughFiles refuses a crowd that would run out of open files half-way.
func enoughFiles(kiosks int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("asking how many files may be open: %w", err)
	}
	return enough(kiosks, int(min(limit.Cur, 1<<30)))
}

func enough(kiosks, limit int) error {
	need := kiosks*filesEach + filesRest
	if limit >= need {
		return nil
	}
	return fmt.Errorf("%d kiosks need %d open files, and this process may have %d: allow more (ulimit -n %d), or say at most %d kiosks",
		kiosks, need, limit, need, max(0, limit-filesRest)/filesEach)
}

// cpu is the processor time of this process, user and system.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident reads one line of this process's memory, in bytes; 0: not known here.
func resident(field string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			if words := strings.Fields(rest); len(words) > 0 {
				kb, _ := strconv.ParseInt(words[0], 10, 64)
				return kb << 10
			}
		}
	}
	return 0
}
