// Package catalogue holds every id that a person may see or hear explained,
// with its words in Chinese and English: reasons, screen states, prompts and
// alarms. Pure: a table and three ways to look into it.
//
// # What the words must do
//
// They tell what happened and what to do next. They stand on a big screen
// beside a queue, so they never tell a bystander about anybody's health: a
// code's colour, a test and a temperature that is too high all read alike.
// The venue's own people learn the reason at the console. A headline has at
// most four Hanzi, because it must be read at three metres.
//
// What is spoken is different for every id, so that a listener can tell which
// one it was, and can be encoded in GBK, because speech chips want that; '['
// and ']' are commands to such chips and never occur.
package catalogue

// Words is one text in Chinese and in English.
type Words [2]string

// Zh returns the Chinese text.
func (w Words) Zh() string { return w[0] }

// En returns the English text.
func (w Words) En() string { return w[1] }

// Class says what an id is used for.
type Class string

// The classes.
const (
	Reason Class = "reason" // of a verdict: checkin.Reasons
	State  Class = "state"  // of the screen
	Prompt Class = "prompt" // said beside a state
	Alarm  Class = "alarm"  // for the venue's people
)

// Entry is one id and its words.
type Entry struct {
	ID string
	// Class is the entry's first use; two reasons are states as well
	// (assisted, out-of-service).
	Class Class
	// Headline is the big word: at most 4 Hanzi, at most 14 characters of
	// English. An alarm has one too, for the console.
	Headline Words
	// Text is one or two short sentences.
	Text Words
	// Spoken is what the speaker says, in Chinese; empty: nothing.
	Spoken string
	// Caption is the English line under what is spoken.
	Caption string
}

// Get returns the entry of id.
func Get(id string) (Entry, bool) {
	for _, table := range tables() {
		for i := range table {
			if table[i].ID == id {
				return table[i], true
			}
		}
	}
	return Entry{}, false
}

// IDs lists every id once: reasons, states, prompts, alarms.
func IDs() []string {
	var ids []string
	for _, table := range tables() {
		for i := range table {
			ids = append(ids, table[i].ID)
		}
	}
	return ids
}

// BySpoken returns the id whose spoken words are zh, exactly.
func BySpoken(zh string) (id string, ok bool) {
	if zh == "" {
		return "", false
	}
	for _, table := range tables() {
		for i := range table {
			if table[i].Spoken == zh {
				return table[i].ID, true
			}
		}
	}
	return "", false
}

//

func tables() [4][]Entry { return [4][]Entry{reasons, states, prompts, alarms} }
