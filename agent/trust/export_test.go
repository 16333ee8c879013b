package trust

import "time"

// OpenHooked opens a store whose disk asks hook before each operation, and does
// not really sync: the hook knows what would have been.
func OpenHooked(dir string, o Options, hook func(op, file string) error) (*Store, error) {
	return openStore(&disk{dir: dir, hook: hook, careless: true}, o)
}

// OpenCareless opens a store that does not sync.
func OpenCareless(dir string, o Options) (*Store, error) {
	return openStore(&disk{dir: dir, careless: true}, o)
}

// Hook sets the hook of an open store.
func (s *Store) Hook(hook func(op, file string) error) { s.disk.hook = hook }

// Jitter is what Loop waits.
func Jitter(d time.Duration) time.Duration { return jitter(d) }

// Rotations lowers how many roots one refresh follows.
func (s *Store) Rotations(n int) { s.rotations = n }

// VerifySet verifies the text of a usable set from a root on.
func VerifySet(root, text []byte) error {
	a, err := parseArchive(text)
	if err == nil {
		_, err = (&Store{o: Options{Root: root}}).verify(a)
	}
	return err
}
