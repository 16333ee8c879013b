package trust_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/digital-sentinel/sentinel/agent/trust"
)

func TestDownload(t *testing.T) {
	for _, name := range []string{"target_file.txt", "path/to/a/target_file.txt", "a file?#.txt"} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			c := newClient(t, r)
			r.artifact("targets", name, []byte("content"))
			r.all()
			c.ok("refresh")
			if got := filesIn(t, c.into, "."); len(got) != 0 {
				t.Errorf("a refresh brought %d targets", len(got))
			}
			if name == "a file?#.txt" { // the test's own server does not unescape
				r.extra["targets/ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73.a%20file%3F%23.txt"] = []byte("content")
			}
			for range 2 { // the second time it is there already
				if err := c.download(name); err != nil {
					t.Fatal(err)
				}
				for _, data := range filesIn(t, c.into, ".") {
					if string(data) != "content" {
						t.Errorf("downloaded %q", data)
					}
				}
			}
			if len(r.loaded) != 0 {
				t.Errorf("it was fetched again: %q", r.loaded)
			}
		})
	}
}

func TestDownloadOfWhatWasChanged(t *testing.T) {
	r := newRepo(t)
	c := newClient(t, r)
	r.artifact("targets", "one", []byte("first"))
	r.artifact("targets", "two", []byte("first"))
	r.all()
	if err := c.download("one"); err != nil {
		t.Fatal(err)
	}
	r.artifacts["one"], r.artifacts["two"] = []byte("malicious"), []byte("fiRst")
	_ = c.download("one") // the copy that is there may serve
	if err := c.download("two"); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("another content of the same length: %v", err)
	}
	want := map[string][]byte{"one": []byte("first")}
	if d := cmp.Diff(want, filesIn(t, c.into, ".")); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	for i := range 3 { // each time the content is changed rightly
		text := fmt.Appendf(nil, "content %d", i)
		r.artifact("targets", "one", text)
		r.all()
		if err := c.download("one"); err != nil {
			t.Fatal(err)
		}
		if got := filesIn(t, c.into, ".")["one"]; !bytes.Equal(got, text) {
			t.Errorf("downloaded %q", got)
		}
	}
	r.artifacts["one"] = make([]byte, 1<<20)
	r.targets["targets"].Signed.Targets["one"].Hashes["sha256"][0] ^= 1
	r.all()
	if err := c.download("one"); !errors.Is(err, trust.ErrTooLong) {
		t.Errorf("endless content: %v", err)
	}
}

func TestHashesOfTargets(t *testing.T) {
	for _, hashes := range [][]string{{"sha256"}, {"sha512"}, {"sha256", "sha512"}} {
		r := newRepo(t)
		c := newClient(t, r)
		r.artifact("targets", "one", []byte("content"), hashes...)
		r.all()
		if err := c.download("one"); err != nil {
			t.Errorf("%v: %v", hashes, err)
		}
		r.targets["targets"].Signed.Targets["one"].Hashes["later"] = []byte("0123456789abcdef")
		r.all()
		if err := newClient(t, r).download("one"); !errors.Is(err, trust.ErrRefused) {
			t.Errorf("%v and one that nobody knows: %v", hashes, err)
		}
	}
	r := newRepo(t)
	r.artifact("targets", "one", []byte("content"))
	r.targets["targets"].Signed.Targets["one"].Hashes = metadata.Hashes{"later": []byte("0123456789abcdef")}
	r.all()
	if err := newClient(t, r).download("one"); !errors.Is(err, trust.ErrRefused) || len(r.loaded) != 0 {
		t.Errorf("only one that nobody knows: %v", err)
	}
}

func TestNamesThatAreNotFetched(t *testing.T) {
	for _, name := range []string{"..", "../x", "/x", "a//b", "a/./b", ""} {
		r := newRepo(t)
		r.artifact("targets", name, []byte("content"))
		r.all()
		if err := newClient(t, r).download(name); !errors.Is(err, trust.ErrRefused) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// edge is one delegation of a graph.
type edge struct {
	from, to    string
	terminating bool
	paths       []string
}

func to(from, to string, paths ...string) edge {
	if len(paths) == 0 {
		paths = []string{"*"}
	}
	return edge{from, to, false, paths}
}

func last(e edge) edge { e.terminating = true; return e }

func TestOrderOfTheSearch(t *testing.T) {
	rows := []struct {
		name  string
		edges []edge
		want  []string
	}{
		{"one", []edge{to("targets", "A")}, []string{"A"}},
		{"two beside each other", []edge{to("targets", "A"), to("targets", "B")}, []string{"A", "B"}},
		{"two levels", []edge{to("targets", "A"), to("targets", "B"), to("B", "C")}, []string{"A", "B", "C"}},
		{"depth first", []edge{to("targets", "A"), to("targets", "B"), to("A", "C"), to("A", "D")}, []string{"A", "C", "D", "B"}},
		{"three levels", []edge{to("targets", "A"), to("targets", "B"), to("A", "C"), to("C", "D")}, []string{"A", "C", "D", "B"}},
		{"terminating", []edge{to("targets", "A"), to("targets", "B"), last(to("A", "C")), to("A", "D")}, []string{"A", "C"}},
		{"terminating, but not for those below", []edge{to("targets", "A"), to("targets", "B"), last(to("A", "C")), to("C", "D")}, []string{"A", "C", "D"}},
		{"paths that do not match", []edge{to("targets", "A", "*.py"), to("targets", "B"), to("A", "C")}, []string{"B"}},
		{"paths that do not match further down", []edge{to("targets", "A"), to("targets", "B"), to("A", "C", "*.py"), to("C", "D")}, []string{"A", "B"}},
		{"a circle", []edge{to("targets", "A"), to("targets", "B"), to("B", "C"), to("C", "D"), to("D", "B")}, []string{"A", "B", "C", "D"}},
		{"two lead to a third", []edge{to("targets", "A"), to("targets", "B"), to("B", "C"), to("A", "C")}, []string{"A", "C", "B"}},
		{"two lead to a third, one of them not for this", []edge{to("targets", "A"), to("targets", "B"), to("B", "C"), to("A", "C", "*.py")}, []string{"A", "B", "C"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRepo(t)
			var roles []string
			for _, e := range row.edges {
				r.delegate(e.from, e.to, e.terminating, e.paths...)
				if !slices.Contains(roles, e.to) {
					roles = append(roles, e.to)
				}
			}
			for _, role := range roles {
				r.publish(role)
			}
			r.all()
			c := newClient(t, r)
			if err := c.download("missingpath"); !errors.Is(err, trust.ErrRefused) {
				t.Fatalf("download: %v", err)
			}
			var want []string
			for _, role := range row.want {
				want = append(want, "1."+role)
			}
			if d := cmp.Diff(want, r.asked[4:]); d != "" {
				t.Errorf("visited (-want +got):\n%s", d)
			}
		})
	}
}

func TestSearchInATree(t *testing.T) {
	rows := []struct {
		name    string
		found   bool
		visited []string
	}{
		{"targetfile", true, nil},
		{"README.md", true, []string{"1.A"}},
		{"releases/x/x_v1", true, []string{"1.B", "1.C"}},
		{"releases/y/y_v1.zip", true, []string{"1.B", "1.D"}},
		{"releases/z/z_v1.zip", false, []string{"1.B"}}, // D names it, B did not let it
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRepo(t)
			r.delegate("targets", "A", false, "*.doc", "*.md")
			r.delegate("targets", "B", false, "releases/*/*")
			r.delegate("B", "C", false, "releases/x/*")
			r.delegate("B", "D", false, "releases/y/*.zip")
			for role, name := range map[string]string{"targets": "targetfile", "A": "README.md", "C": "releases/x/x_v1"} {
				r.artifact(role, name, []byte(name))
			}
			r.artifact("D", "releases/y/y_v1.zip", []byte("releases/y/y_v1.zip"))
			r.artifact("D", "releases/z/z_v1.zip", []byte("releases/z/z_v1.zip"))
			r.publish("A", "B", "C", "D")
			r.all()
			c := newClient(t, r)
			err := c.download(row.name)
			if (err == nil) != row.found {
				t.Errorf("download: %v", err)
			}
			if d := cmp.Diff(row.visited, slices.Clip(r.asked[4:]), cmp.Transformer("none", func(s []string) []string { return append([]string{}, s...) })); d != "" {
				t.Errorf("visited (-want +got):\n%s", d)
			}
			for _, data := range filesIn(t, c.into, ".") {
				if string(data) != row.name {
					t.Errorf("downloaded %q", data)
				}
			}
		})
	}
}

// TestTooManyDelegations: a search has an end.
func TestTooManyDelegations(t *testing.T) {
	r := newRepo(t)
	for i := range 40 {
		r.delegate("targets", fmt.Sprintf("R%d", i), false, "*")
		r.publish(fmt.Sprintf("R%d", i))
	}
	r.all()
	c := newClient(t, r)
	if err := c.download("missingpath"); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("download: %v", err)
	}
	if got := len(r.asked); got != 4+32 {
		t.Errorf("%d files were asked for", got)
	}
}

// TestTwoDelegators: what one delegator vouches for does not count for another
// with other keys, though it lies in the same file.
func TestTwoDelegators(t *testing.T) {
	r := newRepo(t)
	r.delegate("targets", "A", false, "*")
	r.delegate("targets", "B", false, "*")
	r.delegate("A", "C", false, "a.*")
	r.delegate("B", "C", false, "b.*")
	b := r.targets["B"].Signed.Delegations
	b.Keys, b.Roles[0].KeyIDs = map[string]*metadata.Key{}, []string{}
	stranger := newSigner(t)
	r.delegator["C"] = "B"
	r.allow("C", stranger)
	r.artifact("C", "a.txt", []byte("a"))
	r.artifact("C", "b.txt", []byte("b"))
	r.publish("A", "B", "C")
	r.all()
	r.extra["targets/ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb.a.txt"] = []byte("a")
	c := newClient(t, r)
	if err := c.download("a.txt"); err != nil {
		t.Fatalf("by A: %v", err)
	}
	if err := c.download("b.txt"); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("by B, whose key did not sign it: %v", err)
	}
}

// TestSecondDelegatorOfOurRole: a role that is loaded already is not taken on
// somebody else's word.
func TestSecondDelegatorOfOurRole(t *testing.T) {
	r := kioskRepo(t)
	r.delegate("targets", "A", false, "other/*")
	r.delegate("A", "policy", false, "other/*")
	a := r.targets["A"].Signed.Delegations
	a.Keys, a.Roles[0].KeyIDs = map[string]*metadata.Key{}, []string{}
	r.allow("policy", newSigner(t))
	r.artifact("policy", "other/x", []byte("x"))
	r.publish("A")
	r.kiosk()
	c := newKiosk(t, r)
	if err := c.download("other/x"); !errors.Is(err, trust.ErrRefused) || !slices.Contains(r.asked, "1.A") {
		t.Errorf("download: %v, asked for %q", err, r.asked)
	}
}

func TestDelegatedRoleThatHasExpired(t *testing.T) {
	start := func(t *testing.T, days int) (*repo, *client) {
		r := newRepo(t)
		r.delegate("targets", "delegated", false, "delegated/*")
		r.targets["delegated"].Signed.Expires = now.AddDate(0, 0, days)
		r.artifact("delegated", "delegated/first", []byte("first"))
		r.artifact("delegated", "delegated/second", []byte("second"))
		r.publish("delegated")
		r.all()
		return r, newClient(t, r)
	}
	later := now.AddDate(0, 0, 18)
	at := func(c *client, name string) error {
		return c.open().Download(t.Context(), c.r.sources(), later, name, c.into)
	}
	t.Run("when it is first seen", func(t *testing.T) {
		_, c := start(t, -1)
		c.ok("refresh")
		if err := c.download("delegated/first"); !errors.Is(err, trust.ErrExpired) {
			t.Errorf("download: %v", err)
		}
		c.want("root 1, snapshot 2, targets 2, timestamp 2")
	})
	t.Run("later, and there is none newer", func(t *testing.T) {
		_, c := start(t, 7)
		if err := c.download("delegated/first"); err != nil {
			t.Fatal(err)
		}
		if err := at(c, "delegated/second"); !errors.Is(err, trust.ErrExpired) {
			t.Errorf("download: %v", err)
		}
	})
	t.Run("later, and there is a newer one", func(t *testing.T) {
		r, c := start(t, 7)
		if err := c.download("delegated/first"); err != nil {
			t.Fatal(err)
		}
		r.targets["delegated"].Signed.Expires = now.AddDate(0, 0, 21)
		r.publish("delegated", "snapshot", "timestamp")
		if err := at(c, "delegated/second"); err != nil {
			t.Errorf("download: %v", err)
		}
	})
}
