package wipe

// Stepping tells step of every step of o's wipe.
func Stepping(o Opts, step func(string)) Opts {
	o.step = step
	return o
}
