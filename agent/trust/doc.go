// Package trust is the signed cache on disk: what authorities publish for
// kiosks, fetched from any file server, verified, and kept so that it can be
// used while the link is down. Nothing in it is believed because of where it
// came from or where it lies, only because of who signed it.
//
//	Store    slow things, by TUF: policies, issuers' keys, recipients, snapshots
//	Feed     fast things, by hash-chained headers: a shard's card table, deny list
//
// A Store is refreshed at the earliest time that it can be (lo), which refuses
// what is surely expired, and is used as State says over the whole interval
// [lo, hi]. Storing is not using: a kiosk without a latest time, as after a
// reboot, can be brought up to date and still grants nothing.
//
// Loops: none of its own. Loop runs a refresh about every d, spread by 20 % so
// that kiosks do not ask together, and sooner after an error.
//
// DESIGN.md, beside this file, says what lies where, what a power cut at each
// write leaves, what a thief can do, and what was turned down.
package trust
