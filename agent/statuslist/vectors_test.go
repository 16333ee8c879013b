package statuslist_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
)

// vectors reads testdata/vectors.txt: a name and bytes in hex on each line.
func vectors(t testing.TB) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	for line := range strings.Lines(string(text)) {
		if name, digits, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			if found[name], err = hex.DecodeString(digits); err != nil {
				t.Fatal(err)
			}
		}
	}
	return found
}

// vectorPeople are those of the vectors: before, after and on the deny list.
func vectorPeople() (before, after, deny people) {
	at := func(c statuslist.Colour, buckets int) statuslist.Value {
		return statuslist.NewValue(c, noon.Add(-time.Duration(buckets)*step), noon)
	}
	const never = 99
	before = people{
		0: at(statuslist.Green, 0), 1: at(statuslist.Green, never), 0x123456789ABC: at(statuslist.Red, 5),
		universe - 1: at(statuslist.Yellow, 30), 0x700000000001: at(statuslist.Green, 0),
	}
	after = maps.Clone(before)
	delete(after, universe-1)
	after[0], after[0x700000000001] = at(statuslist.Red, 0), at(statuslist.Green, 1)
	after[5] = at(statuslist.None, never)
	return before, after, people{0: at(statuslist.Red, 0), 5: at(statuslist.Yellow, never)}
}

func TestVectors(t *testing.T) {
	want := vectors(t)
	before, after, denied := vectorPeople()
	later := statuslist.Head{Epoch: 7, AsOf: noon.Add(5 * time.Minute)}
	a, b := build(t, head, maps.All(before)), build(t, later, maps.All(after))
	snapshot, err1 := statuslist.Snapshot(a)
	delta, err2 := statuslist.Diff(a, b)
	deny, err3 := statuslist.EncodeDeny(later, maps.All(denied))
	root := statuslist.Root(a.Bytes())
	handle := statuslist.NewHandle("id-card", "11010519491231002X", "张三")
	key := statuslist.Key{}
	for i := range key {
		key[i] = byte(i)
	}
	fingerprint, err4 := hex.DecodeString(fmt.Sprintf("%012x", key.Fingerprint(handle)))
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, map[string][]byte{
		"before": a.Bytes(), "after": b.Bytes(), "snapshot": snapshot, "delta": delta, "deny": deny,
		"root": root[:], "handle": handle[:], "fingerprint": fingerprint,
	}); diff != "" {
		t.Errorf("what is written (-want +got):\n%s", diff)
	}
}

func TestVectorsAreRead(t *testing.T) {
	v := vectors(t)
	before, after, denied := vectorPeople()
	table, err := statuslist.Expand(v["snapshot"], len(before))
	if err != nil || !bytes.Equal(table, v["before"]) {
		t.Fatalf("snapshot expands to %x, %v", table, err)
	}
	a := open(t, table)
	if diff := cmp.Diff(before, all(a)); diff != "" || a.Head() != head {
		t.Errorf("before, as of %v (-want +got):\n%s", a.Head(), diff)
	}
	next, err := statuslist.Apply(a, v["delta"], len(after))
	if err != nil || !bytes.Equal(next, v["after"]) {
		t.Fatalf("delta leads to %x, %v", next, err)
	}
	if diff := cmp.Diff(after, all(open(t, next))); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
	deny, err := statuslist.OpenDeny(v["deny"])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(denied, maps.Collect(deny.All())); diff != "" {
		t.Errorf("deny list (-want +got):\n%s", diff)
	}
}
