//go:build race

package trust_test

// stride leaves out most of the places to cut the power at: under the race
// detector each costs ten times as much.
const stride = 7
