package catalogue_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/digital-sentinel/sentinel/agent/catalogue"
	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// The ids of design.md, section 4, but for the reasons, which checkin lists.
var (
	states = []string{
		"starting", "idle", "reading", "asking", "closer", "granted", "refused", "manual",
		"assisted", "wait-host", "wrong-code", "out-of-service", "open",
	}
	prompts = []string{"wait", "read-again", "try-again"}
	alarms  = []string{
		"fire", "tailgating", "device-gone", "queue-50", "queue-80", "queue-95", "queue-damaged", "identity-expired",
		"cache-stale", "cache-tampered", "clock", "moved", "guard-unanswered", "unrecorded", "policy-refused",
	}
	// private reasons tell about the visitor's health or record.
	private = []string{
		"code-yellow", "code-red", "nat-missing", "nat-expired", "nat-positive",
		"antigen-positive", "fever", "denied-by-list",
	}
)

func get(t *testing.T, id string) catalogue.Entry {
	t.Helper()
	e, ok := catalogue.Get(id)
	if !ok {
		t.Fatalf("%q is not in the catalogue", id)
	}
	return e
}

// The catalogue holds exactly the ids of the design, each once.
func TestIDs(t *testing.T) {
	want := slices.Concat(states, prompts, alarms)
	for _, r := range checkin.Reasons() {
		if !slices.Contains(want, string(r)) {
			want = append(want, string(r))
		}
	}
	got := catalogue.IDs()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got ids\n%v, want\n%v", got, want)
	}
	for _, r := range checkin.Reasons() {
		if e := get(t, string(r)); e.Class != catalogue.Reason {
			t.Errorf("%s is filed under %s", r, e.Class)
		}
	}
}

func TestWords(t *testing.T) {
	for _, id := range catalogue.IDs() {
		e := get(t, id)
		if n := hanzi(e.Headline.Zh()); n < 1 || n > 4 || n != utf8.RuneCountInString(e.Headline.Zh()) {
			t.Errorf("%s: headline %q is not 1 to 4 Hanzi", id, e.Headline.Zh())
		}
		if n := len(e.Headline.En()); n < 1 || n > 14 {
			t.Errorf("%s: headline %q has %d characters, want 1 to 14", id, e.Headline.En(), n)
		}
		if zh := e.Text.Zh(); hanzi(zh) < 4 || !strings.HasSuffix(zh, "。") || utf8.RuneCountInString(zh) > 45 {
			t.Errorf("%s: text %q is no short sentence", id, zh)
		}
		if en := e.Text.En(); len(en) < 8 || len(en) > 125 || !strings.HasSuffix(en, ".") && !strings.HasSuffix(en, "reset") {
			t.Errorf("%s: text %q is no short sentence", id, en)
		}
		for _, en := range []string{e.Headline.En(), e.Text.En(), e.Caption} {
			if hanzi(en) > 0 {
				t.Errorf("%s: %q is not English", id, en)
			}
		}
	}
}

func hanzi(s string) int {
	n := 0
	for _, r := range s {
		if unicode.Is(unicode.Han, r) {
			n++
		}
	}
	return n
}

// A listener can tell every spoken id from every other, and a speech chip can
// take it: GBK, no commands, at most 100 bytes.
func TestSpoken(t *testing.T) {
	seen := map[string]string{}
	for _, id := range catalogue.IDs() {
		e := get(t, id)
		if e.Spoken == "" {
			if e.Class != catalogue.Alarm {
				t.Errorf("%s is silent", id)
			}
			continue
		}
		if other, twice := seen[e.Spoken]; twice {
			t.Errorf("%s and %s are both %q", id, other, e.Spoken)
		}
		seen[e.Spoken] = id
		gbk, err := simplifiedchinese.GBK.NewEncoder().String(e.Spoken)
		if err != nil || len(gbk) > 100 {
			t.Errorf("%s: %q is %d bytes of GBK (error %v)", id, e.Spoken, len(gbk), err)
		}
		if strings.ContainsAny(e.Spoken, "[]0123456789") {
			t.Errorf("%s: %q has what a chip takes for a command or reads badly", id, e.Spoken)
		}
		if e.Caption == "" {
			t.Errorf("%s is spoken without a caption", id)
		}
		if got, ok := catalogue.BySpoken(e.Spoken); !ok || got != id {
			t.Errorf("BySpoken(%q) = %q, %v; want %s", e.Spoken, got, ok, id)
		}
	}
	if id, ok := catalogue.BySpoken(""); ok {
		t.Errorf("silence is taken for %s", id)
	}
	if id, ok := catalogue.BySpoken("你好"); ok {
		t.Errorf("a stranger's words are taken for %s", id)
	}
}

// A bystander who reads or hears learns nothing about health, and cannot tell
// the grave reasons apart by the screen.
func TestPrivate(t *testing.T) {
	tells := []string{
		"红", "黄", "绿", "核酸", "抗原", "阳", "阴", "检测", "体温", "发热", "发烧", "健康", "名单", "管控", "隔离", "疫",
		"red", "yellow", "green", "test", "antigen", "positive", "negative", "fever", "temperature", "health", "list", "quarantine",
	}
	for _, id := range private {
		e := get(t, id)
		said := strings.ToLower(strings.Join([]string{
			e.Headline.Zh(), e.Headline.En(), e.Text.Zh(), e.Text.En(), e.Spoken, e.Caption,
		}, "\n"))
		for _, word := range tells {
			if strings.Contains(said, word) {
				t.Errorf("%s tells %q: %s", id, word, said)
			}
		}
		if !strings.Contains(e.Text.Zh(), "工作人员") || !strings.Contains(e.Text.En(), "staff") {
			t.Errorf("%s does not say whom to turn to: %q", id, e.Text)
		}
	}
	for _, id := range []string{"code-yellow", "nat-positive", "antigen-positive", "fever", "denied-by-list"} {
		if got, want := get(t, id).Text, get(t, "code-red").Text; got != want {
			t.Errorf("%s can be told from code-red: %q", id, got)
		}
	}
	if get(t, "nat-missing").Text != get(t, "nat-expired").Text {
		t.Error("a missing and an expired test read differently")
	}
}

// Every reason that lets nobody in says what to do next.
func TestNextStep(t *testing.T) {
	for _, r := range checkin.Reasons() {
		e := get(t, string(r))
		if !strings.Contains(e.Text.Zh(), "请") {
			t.Errorf("%s: %q asks for nothing", r, e.Text.Zh())
		}
		en := strings.ToLower(e.Text.En())
		if !strings.Contains(en, "please") && !strings.Contains(en, "show") && !strings.Contains(en, "ask") {
			if r != checkin.NATMissing && r != checkin.NATExpired {
				t.Errorf("%s: %q asks for nothing", r, e.Text.En())
			}
		}
		if !strings.Contains(e.Spoken, "请") {
			t.Errorf("%s: %q asks for nothing", r, e.Spoken)
		}
	}
}

func TestUnknownID(t *testing.T) {
	for _, id := range []string{"", "OK", "ok ", "nobody"} {
		if e, ok := catalogue.Get(id); ok {
			t.Errorf("Get(%q) = %v", id, e)
		}
	}
}
