package authority

// Quickly gives o a passphrase that costs little to try.
func Quickly(o Opts) Opts {
	o.work = 2
	return o
}
