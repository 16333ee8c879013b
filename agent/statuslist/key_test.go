package statuslist_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
)

func TestHandlesOfOnePersonAreOne(t *testing.T) {
	const number, name = "11010519491231002X", "张三"
	want := statuslist.NewHandle("id-card", number, name)
	for what, got := range map[string]statuslist.Handle{
		"a small check letter":    statuslist.NewHandle("id-card", "11010519491231002x", name),
		"a name that is padded":   statuslist.NewHandle("id-card", number, name+"             "),
		"a number that is padded": statuslist.NewHandle("id-card", number+"  ", name),
		"a name with zeros after": statuslist.NewHandle("id-card", number, name+"\x00\x00"),
	} {
		if got != want {
			t.Errorf("%s makes another handle", what)
		}
	}
	for what, got := range map[string]statuslist.Handle{
		"another kind":        statuslist.NewHandle("permit", number, name),
		"another number":      statuslist.NewHandle("id-card", "110105194912310011", name),
		"another name":        statuslist.NewHandle("id-card", number, "张四"),
		"no name":             statuslist.NewHandle("id-card", number, ""),
		"a number moved over": statuslist.NewHandle("id-card1", number[1:], name),
	} {
		if got == want {
			t.Errorf("%s makes the same handle", what)
		}
	}
}

func TestNobodyIsPrinted(t *testing.T) {
	key := statuslist.Key{0xAB, 0xCD}
	h := statuslist.NewHandle("id-card", "11010519491231002X", "张三")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, key); got != "epoch key" {
			t.Errorf("a key prints as %s", got)
		}
		if got := fmt.Sprintf(verb, h); got != "handle" {
			t.Errorf("a handle prints as %s", got)
		}
	}
	if got := fmt.Sprintf("%x", key); strings.Contains(got, "abcd") {
		t.Errorf("a key prints as %s", got)
	}
}
