//go:build !race

package trust_test

// stride is how far the next place to cut the power at is.
const stride = 1
